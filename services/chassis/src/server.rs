//! The listener: HTTP/1.1 and HTTP/2 without TLS on one port, slow clients cut, old connections retired, all drained.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use http::{HeaderValue, header};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::edge::{Edge, Limits};

/// HTTP/2's first bytes (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection speaks, as its first bytes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// Accepts until `stop`, then drains what is in flight for at most `limits.drain`. Dropped, it cuts everything at once.
pub(crate) async fn serve(listener: TcpListener, edge: Edge, limits: Limits, stop: CancellationToken) {
    let builder = builder(limits);
    let free = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accept(&listener, &free) => accepted,
        };
        let (stream, peer, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                // Out of file descriptors, mostly: wait for connections to close instead of spinning.
                tracing::warn!(error = %e, "cannot accept a connection");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        let (edge, builder, stop) = (edge.clone(), builder.clone(), stop.clone());
        connections.spawn(async move {
            let _permit = permit;
            let spoken = tokio::select! {
                biased;
                spoken = speaks(&stream, limits.headers) => spoken,
                () = stop.cancelled() => None,
            };
            if let Some(protocol) = spoken {
                converse(&builder, (stream, peer), protocol, edge, limits.age, stop).await;
            }
        });
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain, ended).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections were cut: they did not end in time");
    }
}

/// One connection, until it ends by itself, has lived for `limit`, or the service stops; requests in flight are answered first.
async fn converse(
    builder: &auto::Builder<TokioExecutor>,
    (stream, peer): (TcpStream, SocketAddr),
    protocol: Protocol,
    edge: Edge,
    limit: Duration,
    stop: CancellationToken,
) {
    let old = Instant::now() + age(limit, peer);
    let service = tower::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
        let answer = edge.clone().answer(request);
        async move {
            let mut response = answer.await?;
            // An idle HTTP/1 connection that is simply closed may meet a request on its way; one that is announced cannot.
            if protocol == Protocol::Http1 && Instant::now() >= old {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection =
        pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
    let retired = async {
        match protocol {
            Protocol::Http1 => std::future::pending().await,
            // GOAWAY: the client opens another connection and sends nothing more here (RFC 9113, 6.8).
            Protocol::Http2 => sleep_until(old).await,
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = retired => { connection.as_mut().graceful_shutdown(); connection.await }
        () = stop.cancelled() => { connection.as_mut().graceful_shutdown(); connection.await }
    };
    if let Err(e) = ended {
        tracing::debug!(error = %e, "connection ended");
    }
}

/// Spread by a tenth to either side, so that clients which came together do not come back together.
fn age(limit: Duration, peer: SocketAddr) -> Duration {
    limit * (90 + u32::from(peer.port() % 21)) / 100
}

async fn accept(
    listener: &TcpListener,
    free: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = free.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, peer, permit))
}

/// Waits for the bytes that tell the protocols apart. hyper-util has no limit for this wait.
async fn speaks(stream: &TcpStream, limit: Duration) -> Option<Protocol> {
    let end = Instant::now() + limit;
    let mut first = [0; PREFACE.len()];
    loop {
        match timeout_at(end, stream.peek(&mut first)).await {
            Ok(Ok(0)) | Ok(Err(_)) | Err(_) => return None,
            Ok(Ok(n)) if first[..n] != PREFACE[..n] => return Some(Protocol::Http1),
            Ok(Ok(n)) if n == PREFACE.len() => return Some(Protocol::Http2),
            // Part of the preface: peek returns at once, again and again, and so never runs into the timeout.
            Ok(Ok(_)) if Instant::now() >= end => return None,
            Ok(Ok(_)) => sleep(Duration::from_millis(10)).await,
        }
    }
}

fn builder(limits: Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers)
        .max_buf_size(64 << 10)
        .keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10))
        .max_concurrent_streams(256)
        .max_header_list_size(16 << 10);
    builder
}

//! The listener: HTTP/1.1 and HTTP/2 on one port, connections bounded, drained on shutdown.

use bytes::Bytes;
use http::Request;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::{Intake, grpc, http1};
use crate::Store;

pub(super) type ReplyBody = UnsyncBoxBody<Bytes, Infallible>;

/// Connections served at once; more wait to be accepted.
const CONNECTIONS: usize = 1_024;
/// Calls on one HTTP/2 connection at once.
const STREAMS: u32 = 128;
/// Time that open requests have when the process ends.
const DRAIN: Duration = Duration::from_secs(5);
const HEADERS: Duration = Duration::from_secs(15);
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Takes OTLP on `listener` until `shutdown`, then lets open requests end (5 s).
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    store: Store,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let intake = Arc::new(Intake::new(store));
    let server = server();
    let drain = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    tokio::pin!(shutdown);
    loop {
        let permit = tokio::select! {
            () = &mut shutdown => break,
            permit = Arc::clone(&room).acquire_owned() => permit.map_err(io::Error::other)?,
        };
        let socket = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                Err(error) => {
                    // Out of file handles, or the peer is gone already: neither is the end of the listener.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        // Replies are small and waited for.
        let _ = socket.set_nodelay(true);
        let intake = Arc::clone(&intake);
        let service = service_fn(move |request| {
            let intake = Arc::clone(&intake);
            async move { Ok::<_, Infallible>(answer(&intake, request).await) }
        });
        let connection = server.serve_connection(TokioIo::new(socket), service).into_owned();
        let connection = drain.watch(connection);
        tokio::task::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = &*error, "a connection ended badly");
            }
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, drain.shutdown()).await.is_err() {
        tracing::warn!("requests were still open when the receiver stopped");
    }
    Ok(())
}

async fn answer(intake: &Intake, request: Request<Incoming>) -> http::Response<ReplyBody> {
    if grpc::is_grpc(request.headers()) {
        grpc::answer(intake, request).await
    } else {
        http1::answer(intake, request).await
    }
}

fn server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .max_frame_size(256 << 10)
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE);
    server
}

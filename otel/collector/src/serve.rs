//! One way to serve HTTP/1.1 and HTTP/2 on a listener, for everything in the collector that listens: bounded
//! connections, a deadline for each request's head, keep-alive pings, a graceful end.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::TaskTracker;

/// The most connections that one listener holds; more wait in the kernel's backlog.
const MAX_CONNECTIONS: usize = 4096;

/// How HTTP/2 announces itself; no HTTP/1 method begins so.
const HTTP2_PREFACE: &[u8] = b"PRI";

/// What one is told who speaks plain HTTP where TLS is spoken: word for word as the official collector says it.
const PLAIN_HTTP: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// Answers one request.
pub(crate) trait Handler<B>: Clone + Send + Sync + 'static {
    /// The answer's future.
    type Answer: Future<Output = Result<Response<B>, Infallible>> + Send + 'static;

    /// Starts to answer `request`.
    fn answer(&self, request: Request<Incoming>) -> Self::Answer;
}

/// What a peer may not exceed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// For the head of a request, and for a new connection's first bytes.
    pub(crate) header_timeout: Duration,
    /// Requests at once on one HTTP/2 connection.
    pub(crate) max_streams: u32,
    /// A silent HTTP/2 connection is pinged after this long.
    pub(crate) keepalive: Duration,
    /// And closed when the ping stays unanswered for this long.
    pub(crate) keepalive_timeout: Duration,
}

/// A connection that can be read, and whether it speaks HTTP/2.
enum Opened {
    Plain(TcpStream, bool),
    Secured(Box<TlsStream<TcpStream>>, bool),
}

/// A listener being served.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    connections: TaskTracker,
}

// === impl Handler ===

impl<F, Fut, B> Handler<B> for F
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
{
    type Answer = Fut;

    fn answer(&self, request: Request<Incoming>) -> Fut {
        self(request)
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(20),
            max_streams: 256,
            keepalive: Duration::from_secs(60),
            keepalive_timeout: Duration::from_secs(20),
        }
    }
}

// === impl Server ===

impl Server {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, lets requests that are under way end, at most for `deadline`.
    pub(crate) async fn stop(self, deadline: Duration) {
        let _ = self.stop.send(true);
        let _ = self.accepting.await;
        self.connections.close();
        let _ = tokio::time::timeout(deadline, self.connections.wait()).await;
    }
}

/// Serves `listener` until the server is stopped.
pub(crate) fn start<B>(listener: TcpListener, handler: impl Handler<B>, limits: Limits) -> Server
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    start_tls(listener, None, handler, limits)
}

/// Like [`start`], behind TLS when there are certificates.
pub(crate) fn start_tls<B>(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    handler: impl Handler<B>,
    limits: Limits,
) -> Server
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let address = listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
    let (stop, stopped) = watch::channel(false);
    let connections = TaskTracker::new();
    let tls = tls.map(TlsAcceptor::from);
    let accepting = tokio::spawn(accept(listener, tls, handler, limits, stopped, connections.clone()));
    Server { address, stop, accepting, connections }
}

async fn accept<B>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    handler: impl Handler<B>,
    limits: Limits,
    mut stopped: watch::Receiver<bool>,
    connections: TaskTracker,
) where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            _ = stopped.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let (tls, handler, stopped) = (tls.clone(), handler.clone(), stopped.clone());
                connections.spawn(async move {
                    connection(stream, tls, handler, limits, stopped).await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of descriptors, mostly: give others time to close theirs instead of spinning.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection<B>(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    handler: impl Handler<B>,
    limits: Limits,
    mut stopped: watch::Receiver<bool>,
) where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let _ = stream.set_nodelay(true);
    let opened = tokio::time::timeout(limits.header_timeout, open(stream, tls));
    let opened = tokio::select! {
        opened = opened => opened,
        _ = stopped.wait_for(|stop| *stop) => return,
    };
    match opened {
        Ok(Ok(Opened::Plain(stream, http2))) => answer(stream, http2, handler, limits, stopped).await,
        Ok(Ok(Opened::Secured(stream, http2))) => answer(*stream, http2, handler, limits, stopped).await,
        Ok(Err(error)) => tracing::debug!(%error, "a connection ended before its first request"),
        Err(_) => {}
    }
}

/// Shakes hands, and finds out which HTTP is spoken.
async fn open(stream: TcpStream, tls: Option<TlsAcceptor>) -> std::io::Result<Opened> {
    let Some(tls) = tls else {
        let http2 = speaks_http2(&stream).await?;
        return Ok(Opened::Plain(stream, http2));
    };
    if speaks_plain_http(&stream).await? {
        stream.writable().await?;
        stream.try_write(PLAIN_HTTP)?;
        return Err(std::io::Error::other("plain HTTP came in where TLS is spoken"));
    }
    let stream = tls.accept(stream).await?;
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok(Opened::Secured(Box::new(stream), http2))
}

async fn answer<B>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    http2: bool,
    handler: impl Handler<B>,
    limits: Limits,
    mut stopped: watch::Receiver<bool>,
) where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let service = service_fn(move |request| handler.answer(request));
    let io = TokioIo::new(stream);
    // A connection that ends badly is the peer's affair; what its requests did has been answered and counted.
    if http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.max_streams)
            .keep_alive_interval(Some(limits.keepalive))
            .keep_alive_timeout(limits.keepalive_timeout)
            .adaptive_window(false)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .max_header_list_size(64 << 10);
        let mut connection = std::pin::pin!(builder.serve_connection(io, service));
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = stopped.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    } else {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(limits.header_timeout).max_headers(128);
        let mut connection = std::pin::pin!(builder.serve_connection(io, service));
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = stopped.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }
}

/// Whether the first bytes are a request instead of a TLS record, which begins with 22; Go's `net/http` looks at as many.
async fn speaks_plain_http(stream: &TcpStream) -> std::io::Result<bool> {
    let mut first = [0; 5];
    loop {
        let seen = stream.peek(&mut first).await?;
        if seen == 0 || !first[0].is_ascii_uppercase() {
            return Ok(false);
        }
        if seen == first.len() {
            return Ok([b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO"].contains(&&first));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Looks at the first bytes without taking them.
async fn speaks_http2(stream: &TcpStream) -> std::io::Result<bool> {
    let mut first = [0; HTTP2_PREFACE.len()];
    loop {
        let seen = stream.peek(&mut first).await?;
        if seen == 0 || first[..seen] != HTTP2_PREFACE[..seen] {
            return Ok(false);
        }
        if seen == first.len() {
            return Ok(true);
        }
        // A lone "P" may still become POST; the rest is usually there already.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

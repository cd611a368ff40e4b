//! The edge of a service: what surrounds every request of either protocol, in this order from outside: telemetry, panic
//! barrier and problem documents, concurrency limit, deadline, body limit.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::{DefaultBodyLimit, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use http::{StatusCode, header};
use http_body_util::Limited;
use tokio::sync::Semaphore;
use tonic::Status;
use tower::ServiceExt;

use crate::{
    Settings, deadline,
    error::{Error, Kind},
    problem,
};

/// Limits on everything that is read from the network.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Time for one request, up to the head of its reply.
    pub(crate) request: Duration,
    /// Time for the first bytes and for the headers of a request.
    pub(crate) headers: Duration,
    /// Bytes of a request's body.
    pub(crate) body: usize,
    /// Requests at once; more are answered 503.
    pub(crate) requests: usize,
    /// Connections at once; more wait.
    pub(crate) connections: usize,
    /// A connection that is older is ended after its requests, so that its client looks for replicas again.
    pub(crate) age: Duration,
    /// Time for requests and relays in flight when the service stops.
    pub(crate) drain: Duration,
}

/// Both protocols of a service behind one port.
#[derive(Clone)]
pub(crate) struct Edge {
    http: Router,
    grpc: Router,
    /// gRPC health and reflection: no telemetry.
    meta: Router,
}

#[derive(Clone)]
struct Guard {
    limits: Limits,
    free: Arc<Semaphore>,
}

/// A body that notes when it was read to its end: a deadline that passes before is the sender's fault.
struct Watched {
    inner: Limited<Body>,
    read: Arc<AtomicBool>,
}

// === impl Limits ===

impl Limits {
    pub(crate) fn from_settings(settings: &Settings) -> Self {
        Self {
            request: settings.duration("WAYBILL_REQUEST_TIMEOUT", "30s"),
            headers: settings.duration("WAYBILL_HEADER_TIMEOUT", "10s"),
            body: settings.number("WAYBILL_MAX_BODY_BYTES", 1 << 20, 1024..=1 << 30),
            requests: settings.number("WAYBILL_MAX_REQUESTS", 1024, 1..=1_000_000),
            connections: settings.number("WAYBILL_MAX_CONNECTIONS", 4096, 1..=1_000_000),
            age: settings.duration("WAYBILL_CONNECTION_AGE", "30s"),
            drain: settings.duration("WAYBILL_DRAIN_TIMEOUT", "10s"),
        }
    }
}

// === impl Edge ===

impl Edge {
    /// Wraps a service's routes; `health` (live, ready) stays outside of telemetry.
    pub(crate) fn new(
        http: Router,
        grpc: Router,
        meta: Router,
        health: Router,
        layer: telemetry::http::ServerLayer,
        limits: Limits,
    ) -> Self {
        let guard = Guard { limits, free: Arc::new(Semaphore::new(limits.requests)) };
        let http = http
            .fallback(async || Error::not_found("there is nothing at this path"))
            .method_not_allowed_fallback(async || {
                Error::new(Kind::NotAllowed, "this path does not take this method")
            })
            .layer(DefaultBodyLimit::max(limits.body))
            .layer(middleware::from_fn_with_state(guard.clone(), over_http))
            .layer(layer)
            .merge(health);
        let grpc = grpc
            .layer(middleware::from_fn_with_state(guard, over_grpc))
            .layer(telemetry::grpc::ServerLayer::new());
        Self { http, grpc, meta }
    }

    /// Answers one request: gRPC is told by its content type (gRPC over HTTP/2, "Requests").
    pub(crate) async fn answer<B>(self, request: http::Request<B>) -> Result<Response, Infallible>
    where
        B: HttpBody<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let request = request.map(Body::new);
        let kind = request.headers().get(header::CONTENT_TYPE);
        let is_grpc = kind.is_some_and(|t| t.as_bytes().starts_with(b"application/grpc"));
        let path = request.uri().path();
        let router = match is_grpc {
            false => self.http,
            true if path.starts_with("/grpc.health.") || path.starts_with("/grpc.reflection.") => self.meta,
            true => self.grpc,
        };
        router.oneshot(request).await
    }
}

async fn over_http(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let declared =
        request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let outcome = if declared.is_some_and(|n| n > guard.limits.body as u64) {
        Err(Error::new(Kind::TooLarge, format!("a body may have {} bytes", guard.limits.body)))
    } else {
        guarded(&guard, request, next).await
    };
    let mut response = outcome.unwrap_or_else(IntoResponse::into_response);
    if response.status() == StatusCode::GATEWAY_TIMEOUT && response.extensions().get::<SlowSender>().is_some()
    {
        *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
    }
    if response.status().as_u16() < 400 {
        return response;
    }
    // Where the server span waits for its handler, it may wait still, or have been started in a scope that is over: the
    // document and the log belong to it.
    let scope = telemetry::http::continue_trace(&telemetry::context::StoredContext::default());
    scope.run(problem::render(&path, response)).await
}

#[derive(Clone, Copy)]
struct SlowSender;

async fn over_grpc(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match guarded(&guard, request, next).await {
        Ok(response) if response.extensions().get::<SlowSender>().is_none() => response,
        Ok(_) => Status::deadline_exceeded("the request did not arrive in time").into_http(),
        Err(error) => Status::from(error).into_http(),
    }
}

async fn guarded(guard: &Guard, request: Request, next: Next) -> Result<Response, Error> {
    let Ok(_permit) = guard.free.clone().try_acquire_owned() else {
        return Err(Error::new(Kind::Unavailable, "too many requests at once; try again").typed("overloaded"));
    };
    let limit =
        deadline::asked(request.headers()).map_or(guard.limits.request, |d| d.min(guard.limits.request));
    let read = Arc::new(AtomicBool::new(request.body().is_end_stream()));
    let request = {
        let read = read.clone();
        request.map(|body| Body::new(Watched { inner: Limited::new(body, guard.limits.body), read }))
    };
    // A panic is the request's end, not the process's: the state behind it is in the database, behind transactions.
    let run = AssertUnwindSafe(next.run(request)).catch_unwind();
    match deadline::within(limit, run).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(panic)) => Err(Error::internal(panic_text(panic.as_ref())).typed("panic")),
        Err(_) if read.load(Ordering::Relaxed) => {
            Err(Error::new(Kind::Timeout, "the request was not done in time"))
        }
        Err(_) => {
            let mut late =
                Error::new(Kind::Timeout, "the request's body did not arrive in time").into_response();
            late.extensions_mut().insert(SlowSender);
            Ok(late)
        }
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".to_owned())
}

// === impl Watched ===

impl HttpBody for Watched {
    type Data = bytes::Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if frame.is_none() || self.inner.is_end_stream() {
            self.read.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

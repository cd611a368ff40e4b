//! The tower layer for HTTP servers: one SERVER span a request, by the HTTP conventions (stable, 1.42).

use super::deferred::Pending;
use crate::body::{End, TracedBody};
use crate::metrics::Side;
use crate::operation::{Operation, Outcome};
use crate::propagation;
use crate::reply;
use axum::extract::{ConnectInfo, MatchedPath};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Body;
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanBuilder, SpanKind};
use opentelemetry_semantic_conventions::attribute as semconv;
use pin_project_lite::pin_project;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower::{Layer, Service};

/// Layer for axum (and any tower HTTP server): see [`crate::http`].
#[derive(Debug, Clone, Default)]
pub struct ServerLayer {
    settings: Arc<Settings>,
}

#[derive(Debug, Clone, Default)]
struct Settings {
    front_door: bool,
    deferred: Vec<(Method, &'static str)>,
}

/// The service that [`ServerLayer`] makes.
#[derive(Debug, Clone)]
pub struct Server<S> {
    inner: S,
    settings: Arc<Settings>,
}

pin_project! {
    /// The reply of a [`Server`] on its way.
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        traced: Option<Traced>,
    }
}

#[derive(Debug)]
struct Traced {
    operation: Operation,
    head: bool,
}

// === impl ServerLayer ===

impl ServerLayer {
    /// A layer that trusts its callers' context: for services behind the front door.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A layer that faces strangers: their `traceparent` is taken, their baggage is dropped.
    #[must_use]
    pub fn front_door() -> Self {
        Self { settings: Arc::new(Settings { front_door: true, ..Settings::default() }) }
    }

    /// On this route (axum's template, such as `/orders`) the server span waits for the handler to call
    /// [`continue_trace`](super::continue_trace); a handler that never does gets the caller as parent.
    #[must_use]
    pub fn deferred(mut self, method: Method, route: &'static str) -> Self {
        Arc::make_mut(&mut self.settings).deferred.push((method, route));
        self
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = Server<S>;

    fn layer(&self, inner: S) -> Server<S> {
        Server { inner, settings: Arc::clone(&self.settings) }
    }
}

// === impl Server ===

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Server<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body<Data = Bytes>,
    ResBody::Error: std::fmt::Display,
{
    type Response = Response<TracedBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        if crate::grpc::is_grpc(request.headers()) {
            return ResponseFuture { inner: self.inner.call(request), traced: None };
        }
        let traced = self.settings.begin(&request);
        let _current = traced.operation.cx.clone().attach();
        ResponseFuture { inner: self.inner.call(request), traced: Some(traced) }
    }
}

// === impl Settings ===

impl Settings {
    fn begin<B>(&self, request: &Request<B>) -> Traced {
        let parent = propagation::extract(request.headers(), !self.front_door);
        let (method, _) = super::method(request.method());
        let route = request.extensions().get::<MatchedPath>();
        let name = match route {
            Some(route) => {
                format!("{} {}", if method == "_OTHER" { "HTTP" } else { method }, route.as_str()).into()
            }
            None => if method == "_OTHER" { "HTTP" } else { method }.into(),
        };
        let mut measured = vec![
            KeyValue::new(semconv::HTTP_REQUEST_METHOD, method),
            KeyValue::new(semconv::URL_SCHEME, scheme(request)),
            KeyValue::new(semconv::NETWORK_PROTOCOL_VERSION, super::version(request.version())),
        ];
        if let Some(route) = route {
            measured.push(KeyValue::new(semconv::HTTP_ROUTE, route.as_str().to_owned()));
        }
        let mut attributes = measured.clone();
        attributes.extend(request_attributes(request));
        let builder = SpanBuilder { name, ..SpanBuilder::default() }
            .with_kind(SpanKind::Server)
            .with_attributes(attributes);
        let waits = route
            .is_some_and(|r| self.deferred.iter().any(|(m, d)| m == request.method() && *d == r.as_str()));
        let head = request.method() == Method::HEAD;
        if waits && crate::active::tracer().is_some() {
            let pending = Pending::new(builder, parent.clone());
            let cx = parent.with_value(pending.awaited());
            return Traced { operation: Operation::wait(Side::HttpServer, cx, pending, measured), head };
        }
        let operation = Operation::start(Side::HttpServer, builder, &parent, measured);
        Traced { operation, head }
    }
}

// === impl ResponseFuture ===

impl<F, ResBody, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
    ResBody: Body<Data = Bytes>,
    ResBody::Error: std::fmt::Display,
{
    type Output = Result<Response<TracedBody<ResBody>>, E>;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = {
            let _current = this.traced.as_ref().map(|traced| traced.operation.cx.clone().attach());
            ready!(this.inner.poll(task))
        };
        let Some(mut traced) = this.traced.take() else {
            return Poll::Ready(result.map(|response| response.map(|body| TracedBody::new(body, None))));
        };
        traced.operation.settle();
        Poll::Ready(match result {
            Ok(response) => Ok(traced.reply(response)),
            Err(error) => {
                traced
                    .operation
                    .finish(Outcome::failed("service_error", "the service failed without a reply"));
                Err(error)
            }
        })
    }
}

// === impl Traced ===

impl Traced {
    fn reply<B: Body<Data = Bytes>>(mut self, mut response: Response<B>) -> Response<TracedBody<B>>
    where
        B::Error: std::fmt::Display,
    {
        reply::mark(&self.operation.cx, response.headers_mut());
        let status = response.status();
        let outcome = outcome(status);
        let bodiless = self.head || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        let streams_events = response
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
        if bodiless {
            self.operation.finish(outcome);
            return response.map(|body| TracedBody::new(body, None));
        }
        if streams_events {
            // Readers of an event stream always leave before its end.
            self.operation.may_be_dropped();
            self.operation.observe(outcome.measured.clone());
            return response.map(|body| {
                TracedBody::new(
                    body,
                    Some((self.operation, End::Http(Outcome { measured: vec![], ..outcome }))),
                )
            });
        }
        response.map(|body| TracedBody::new(body, Some((self.operation, End::Http(outcome)))))
    }
}

/// On a server only 5xx is an error (HTTP conventions, status).
fn outcome(status: StatusCode) -> Outcome {
    let code = KeyValue::new(semconv::HTTP_RESPONSE_STATUS_CODE, i64::from(status.as_u16()));
    let failed = status.is_server_error();
    Outcome {
        measured: vec![code],
        error_type: failed.then(|| status.as_str().to_owned().into()),
        error: failed.then(|| "".into()),
    }
}

fn request_attributes<B>(request: &Request<B>) -> Vec<KeyValue> {
    let mut attributes = vec![KeyValue::new(semconv::URL_PATH, request.uri().path().to_owned())];
    if let Some(query) = request.uri().query().filter(|query| !query.is_empty()) {
        let query = reply::redacted_query(query).unwrap_or_else(|| query.to_owned());
        attributes.push(KeyValue::new(semconv::URL_QUERY, query));
    }
    let headers = request.headers();
    if !super::method(request.method()).1 {
        attributes
            .push(KeyValue::new(semconv::HTTP_REQUEST_METHOD_ORIGINAL, request.method().as_str().to_owned()));
    }
    if let Some((host, port)) = reply::authority(request) {
        attributes.push(KeyValue::new(semconv::SERVER_ADDRESS, host));
        attributes.extend(port.map(|port| KeyValue::new(semconv::SERVER_PORT, i64::from(port))));
    }
    if let Some(agent) = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()) {
        attributes.push(KeyValue::new(semconv::USER_AGENT_ORIGINAL, agent.to_owned()));
    }
    if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() {
        attributes.push(KeyValue::new(semconv::CLIENT_ADDRESS, peer.ip().to_string()));
        attributes.push(KeyValue::new(semconv::NETWORK_PEER_ADDRESS, peer.ip().to_string()));
        attributes.push(KeyValue::new(semconv::NETWORK_PEER_PORT, i64::from(peer.port())));
    }
    attributes
}

fn scheme<B>(request: &Request<B>) -> &'static str {
    match request.uri().scheme_str() {
        Some("https") => "https",
        _ => "http",
    }
}

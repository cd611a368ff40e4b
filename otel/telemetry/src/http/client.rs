//! The traced HTTP client: reqwest, with reqwest-tracing's middleware over a span backend of our own.
//!
//! The backend of reqwest-tracing writes ports and status codes as strings and knows no `error.type`; ours goes through
//! the OpenTelemetry API. Injection is ours, too: reqwest-tracing's would need its `opentelemetry_0_32` feature, which
//! compiles in a 0.33 tree and silently cuts traces.

use crate::metrics::Side;
use crate::operation::{Operation, Outcome};
use crate::peer::Peer;
use crate::propagation;
use async_trait::async_trait;
use http::{Extensions, HeaderValue, StatusCode};
use opentelemetry::trace::{SpanBuilder, SpanKind, TraceContextExt as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_semantic_conventions::attribute as semconv;
use reqwest::{Request, Response, Url};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next, Result};
use reqwest_tracing::{ReqwestOtelSpanBackend, TracingMiddleware};
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::Span;

/// The path's template, such as `/payments/{id}`, for one request (`.with_extension(Template("…"))`): becomes part of
/// the span's name and `url.template`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template(pub &'static str);

/// How often this request was sent before: 1 for the first retry. Becomes `http.request.resend_count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resend(pub u32);

/// A client with a connection pool of its own. Every request is a CLIENT span and carries the context that the peer
/// may have. Share it: clones are cheap.
///
/// # Errors
/// When reqwest cannot build its client.
pub fn client(peer: Peer) -> reqwest::Result<ClientWithMiddleware> {
    Ok(client_with(reqwest::Client::builder().build()?, peer))
}

/// As [`client`], over a reqwest client that is configured already (time-outs, redirects, TLS).
#[must_use]
pub fn client_with(client: reqwest::Client, peer: Peer) -> ClientWithMiddleware {
    let peer = Arc::new(peer);
    ClientBuilder::new(client)
        .with(Announce(Arc::clone(&peer)))
        .with(TracingMiddleware::<Semconv>::new())
        .with(Inject(peer))
        .build()
}

/// A client that carries the running context but makes no span of its own: the transport below another span, such as
/// the `send` of a message.
#[must_use]
pub fn carrier(client: reqwest::Client, peer: Peer) -> ClientWithMiddleware {
    ClientBuilder::new(client).with(Inject(Arc::new(peer))).build()
}

/// Tells the span backend, which has no state of its own, who the peer is.
struct Announce(Arc<Peer>);

/// Writes the running context to the request.
struct Inject(Arc<Peer>);

/// reqwest-tracing's backend by the letter of the HTTP client conventions.
struct Semconv;

/// The operation of one request, handed from start to end through the request's extensions.
#[derive(Clone)]
struct Running(Arc<Mutex<Option<Operation>>>);

// === impl Announce ===

#[async_trait]
impl Middleware for Announce {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        extensions.insert(Arc::clone(&self.0));
        next.run(request, extensions).await
    }
}

// === impl Inject ===

#[async_trait]
impl Middleware for Inject {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        let cx = match extensions.get::<Running>() {
            Some(Running(operation)) => operation
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .as_ref()
                .map_or_else(Context::current, |operation| operation.cx.clone()),
            None => Context::current(),
        };
        propagation::inject(&cx, request.headers_mut(), self.0.may_have_baggage());
        if self.0.wants_trace_id() && cx.span().span_context().is_valid() {
            let id = cx.span().span_context().trace_id().to_string();
            if let Ok(value) = HeaderValue::try_from(id) {
                request.headers_mut().insert(crate::reply::X_TRACE_ID, value);
            }
        }
        next.run(request, extensions).await
    }
}

// === impl Semconv ===

impl ReqwestOtelSpanBackend for Semconv {
    fn on_request_start(request: &Request, extensions: &mut Extensions) -> Span {
        let operation = begin(request, extensions);
        extensions.insert(Running(Arc::new(Mutex::new(Some(operation)))));
        Span::none()
    }

    fn on_request_end(_: &Span, outcome: &Result<Response>, extensions: &mut Extensions) {
        let Some(Running(operation)) = extensions.remove::<Running>() else {
            return;
        };
        let taken = operation.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut operation) = taken {
            operation.finish(self::outcome(outcome));
        }
    }
}

fn begin(request: &Request, extensions: &Extensions) -> Operation {
    let (method, known) = super::method(request.method());
    let url = request.url();
    let template = extensions.get::<Template>().map(|template| template.0);
    let verb = if known { method } else { "HTTP" };
    let name: Cow<'static, str> = match template {
        Some(template) => format!("{verb} {template}").into(),
        None => verb.into(),
    };
    let mut measured = vec![
        KeyValue::new(semconv::HTTP_REQUEST_METHOD, method),
        KeyValue::new(semconv::SERVER_ADDRESS, url.host_str().unwrap_or_default().to_owned()),
        KeyValue::new(semconv::URL_SCHEME, url.scheme().to_owned()),
    ];
    measured
        .extend(url.port_or_known_default().map(|port| KeyValue::new(semconv::SERVER_PORT, i64::from(port))));
    measured.extend(template.map(|template| KeyValue::new(semconv::URL_TEMPLATE, template)));
    let mut attributes = measured.clone();
    attributes.push(KeyValue::new(semconv::URL_FULL, redacted(url)));
    if !known {
        attributes
            .push(KeyValue::new(semconv::HTTP_REQUEST_METHOD_ORIGINAL, request.method().as_str().to_owned()));
    }
    if let Some(Resend(count)) = extensions.get::<Resend>()
        && *count > 0
    {
        attributes.push(KeyValue::new(semconv::HTTP_REQUEST_RESEND_COUNT, i64::from(*count)));
    }
    if let Some(peer) = extensions.get::<Arc<Peer>>() {
        attributes.extend(peer.attributes());
    }
    let builder = SpanBuilder { name, ..SpanBuilder::default() }
        .with_kind(SpanKind::Client)
        .with_attributes(attributes);
    Operation::start(Side::HttpClient, builder, &Context::current(), measured)
}

/// On a client 4xx and 5xx are errors (HTTP conventions, status).
fn outcome(result: &Result<Response>) -> Outcome {
    match result {
        Ok(response) => {
            let status = response.status();
            let failed = status.is_client_error() || status.is_server_error();
            Outcome {
                measured: vec![
                    status_code(status),
                    KeyValue::new(semconv::NETWORK_PROTOCOL_VERSION, super::version(response.version())),
                ],
                error_type: failed.then(|| status.as_str().to_owned().into()),
                error: failed.then(|| "".into()),
            }
        }
        Err(error) => {
            let mut outcome = Outcome::failed(error_type(error), cause(error));
            outcome.measured.extend(error.status().map(status_code));
            outcome
        }
    }
}

fn status_code(status: StatusCode) -> KeyValue {
    KeyValue::new(semconv::HTTP_RESPONSE_STATUS_CODE, i64::from(status.as_u16()))
}

fn error_type(error: &reqwest_middleware::Error) -> &'static str {
    match error {
        reqwest_middleware::Error::Middleware(_) => "middleware",
        reqwest_middleware::Error::Reqwest(e) if e.is_timeout() => "timeout",
        reqwest_middleware::Error::Reqwest(e) if e.is_connect() => "connect",
        reqwest_middleware::Error::Reqwest(e) if e.is_redirect() => "redirect",
        reqwest_middleware::Error::Reqwest(e) if e.is_body() || e.is_decode() => "body_error",
        reqwest_middleware::Error::Reqwest(_) => "request_error",
    }
}

/// The innermost cause, which says what happened ("Connection refused") and holds no URL.
fn cause(error: &reqwest_middleware::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    match error {
        reqwest_middleware::Error::Reqwest(e) if std::error::Error::source(e).is_none() => {
            error_type(error).to_owned()
        }
        _ => innermost.to_string(),
    }
}

/// `url.full` without credentials, and without the values of query parameters that hold secrets
/// (HTTP conventions, `url.full`).
fn redacted(url: &Url) -> String {
    let mut url = url.clone();
    if !url.username().is_empty() || url.password().is_some() {
        let _ = url.set_username("REDACTED");
        let _ = url.set_password(Some("REDACTED"));
    }
    if let Some(query) = url.query().and_then(crate::reply::redacted_query) {
        url.set_query(Some(&query));
    }
    url.into()
}

//! The tower layer for gRPC clients: one CLIENT span a call, context in the metadata.

use super::call;
use crate::body::TracedBody;
use crate::metrics::Side;
use crate::operation::{Operation, Outcome};
use crate::peer::Peer;
use crate::{propagation, reply};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri};
use http_body::Body;
use opentelemetry::trace::{SpanBuilder, SpanKind, TraceContextExt as _};
use opentelemetry::{Context as OtelContext, KeyValue};
use opentelemetry_semantic_conventions::attribute as semconv;
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tonic::Status;
use tonic::transport::Endpoint;
use tower::{Layer, Service};

/// A traced channel, ready for a generated client.
pub type Channel = Client<tonic::transport::Channel>;

/// A traced channel to `url` that connects at the first call and again when it was broken.
///
/// # Errors
/// When `url` is not an `http://` or `https://` URL.
pub fn channel(url: &str, peer: Peer) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(url.to_owned())?;
    let layer = ClientLayer::new().peer(peer).server(endpoint.uri());
    Ok(layer.layer(endpoint.connect_lazy()))
}

/// Layer for tonic channels whose [`Endpoint`] is configured by hand: see [`channel`] for the short way.
#[derive(Debug, Clone, Default)]
pub struct ClientLayer {
    target: Arc<Target>,
}

#[derive(Debug, Clone, Default)]
struct Target {
    peer: Option<Peer>,
    host: Option<String>,
    port: Option<u16>,
}

/// The service that [`ClientLayer`] makes.
#[derive(Debug, Clone)]
pub struct Client<S> {
    inner: S,
    target: Arc<Target>,
}

pin_project! {
    /// The reply to a [`Client`] on its way.
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        operation: Option<Operation>,
    }
}

// === impl ClientLayer ===

impl ClientLayer {
    /// A layer that knows nothing of the other end; it is taken for one of ours.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Who is called, and so what they may be told.
    #[must_use]
    pub fn peer(mut self, peer: Peer) -> Self {
        Arc::make_mut(&mut self.target).peer = Some(peer);
        self
    }

    /// Where the channel goes: `server.address` and `server.port`. A channel's own requests do not say.
    #[must_use]
    pub fn server(mut self, uri: &Uri) -> Self {
        let target = Arc::make_mut(&mut self.target);
        target.host = uri.host().map(ToOwned::to_owned);
        target.port = uri.port_u16().or(Some(if uri.scheme_str() == Some("https") { 443 } else { 80 }));
        self
    }
}

impl<S> Layer<S> for ClientLayer {
    type Service = Client<S>;

    fn layer(&self, inner: S) -> Client<S> {
        Client { inner, target: Arc::clone(&self.target) }
    }
}

// === impl Client ===

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Client<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: std::fmt::Display,
    ResBody: Body<Data = Bytes>,
    ResBody::Error: std::fmt::Display,
{
    type Response = Response<TracedBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let operation = self.target.begin(&mut request);
        let _current = operation.cx.clone().attach();
        ResponseFuture { inner: self.inner.call(request), operation: Some(operation) }
    }
}

// === impl Target ===

impl Target {
    fn begin<B>(&self, request: &mut Request<B>) -> Operation {
        let method = call::method(request.uri().path());
        let mut measured = call::measured(&method);
        measured.extend(self.host.clone().map(|host| KeyValue::new(semconv::SERVER_ADDRESS, host)));
        measured.extend(self.port.map(|port| KeyValue::new(semconv::SERVER_PORT, i64::from(port))));
        let mut attributes = measured.clone();
        attributes.extend(self.peer.iter().flat_map(Peer::attributes));
        let builder = SpanBuilder::from_name(method).with_kind(SpanKind::Client).with_attributes(attributes);
        let operation = Operation::start(Side::RpcClient, builder, &OtelContext::current(), measured);
        let ours = self.peer.as_ref().is_none_or(Peer::may_have_baggage);
        propagation::inject(&operation.cx, request.headers_mut(), ours);
        if self.peer.as_ref().is_some_and(Peer::wants_trace_id)
            && let Ok(id) = HeaderValue::try_from(operation.cx.span().span_context().trace_id().to_string())
        {
            request.headers_mut().insert(reply::X_TRACE_ID, id);
        }
        operation
    }
}

// === impl ResponseFuture ===

impl<F, ResBody, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
    E: std::fmt::Display,
    ResBody: Body<Data = Bytes>,
    ResBody::Error: std::fmt::Display,
{
    type Output = Result<Response<TracedBody<ResBody>>, E>;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = {
            let _current = this.operation.as_ref().map(|operation| operation.cx.clone().attach());
            ready!(this.inner.poll(task))
        };
        let Some(mut operation) = this.operation.take() else {
            return Poll::Ready(result.map(|response| response.map(|body| TracedBody::new(body, None))));
        };
        Poll::Ready(match result {
            Ok(response) => Ok(call::watch(Side::RpcClient, operation, response)),
            Err(error) => {
                operation.finish(Outcome {
                    error: Some(error.to_string().into()),
                    ..call::outcome(Side::RpcClient, &Status::unavailable(""))
                });
                Err(error)
            }
        })
    }
}

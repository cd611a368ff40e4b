//! The tower layer for gRPC servers: one SERVER span a call, ended by its trailers.

use super::call;
use crate::body::TracedBody;
use crate::metrics::Side;
use crate::operation::{Operation, Outcome};
use crate::{propagation, reply};
use axum::extract::ConnectInfo;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanBuilder, SpanKind};
use opentelemetry_semantic_conventions::attribute as semconv;
use pin_project_lite::pin_project;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tonic::Status;
use tonic::transport::server::TcpConnectInfo;
use tower::{Layer, Service};

/// Layer for tonic servers and for tonic routes in axum: see [`crate::grpc`].
#[derive(Debug, Clone, Copy, Default)]
pub struct ServerLayer {
    front_door: bool,
}

/// The service that [`ServerLayer`] makes.
#[derive(Debug, Clone)]
pub struct Server<S> {
    inner: S,
    front_door: bool,
}

pin_project! {
    /// The reply of a [`Server`] on its way.
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        operation: Option<Operation>,
    }
}

// === impl ServerLayer ===

impl ServerLayer {
    /// A layer that trusts its callers' context.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A layer that faces strangers: their `traceparent` is taken, their baggage is dropped.
    #[must_use]
    pub fn front_door() -> Self {
        Self { front_door: true }
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = Server<S>;

    fn layer(&self, inner: S) -> Server<S> {
        Server { inner, front_door: self.front_door }
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
        let operation = begin(&request, !self.front_door);
        let _current = operation.cx.clone().attach();
        ResponseFuture { inner: self.inner.call(request), operation: Some(operation) }
    }
}

fn begin<B>(request: &Request<B>, trust_baggage: bool) -> Operation {
    let parent = propagation::extract(request.headers(), trust_baggage);
    let method = call::method(request.uri().path());
    let mut measured = call::measured(&method);
    if let Some((host, port)) = reply::authority(request) {
        measured.push(KeyValue::new(semconv::SERVER_ADDRESS, host));
        measured.extend(port.map(|port| KeyValue::new(semconv::SERVER_PORT, i64::from(port))));
    }
    let mut attributes = measured.clone();
    if let Some(peer) = peer(request) {
        attributes.push(KeyValue::new(semconv::CLIENT_ADDRESS, peer.ip().to_string()));
        attributes.push(KeyValue::new(semconv::NETWORK_PEER_ADDRESS, peer.ip().to_string()));
        attributes.push(KeyValue::new(semconv::NETWORK_PEER_PORT, i64::from(peer.port())));
    }
    let builder = SpanBuilder::from_name(method).with_kind(SpanKind::Server).with_attributes(attributes);
    Operation::start(Side::RpcServer, builder, &parent, measured)
}

fn peer<B>(request: &Request<B>) -> Option<SocketAddr> {
    let extensions = request.extensions();
    let axum = extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| *address);
    axum.or_else(|| extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr))
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
            let _current = this.operation.as_ref().map(|operation| operation.cx.clone().attach());
            ready!(this.inner.poll(task))
        };
        let Some(mut operation) = this.operation.take() else {
            return Poll::Ready(result.map(|response| response.map(|body| TracedBody::new(body, None))));
        };
        Poll::Ready(match result {
            Ok(mut response) => {
                reply::mark(&operation.cx, response.headers_mut());
                Ok(call::watch(Side::RpcServer, operation, response))
            }
            Err(error) => {
                operation.finish(Outcome {
                    error: Some("the service failed without a reply".into()),
                    ..call::outcome(Side::RpcServer, &Status::internal(""))
                });
                Err(error)
            }
        })
    }
}

//! gRPC to others: one lazy channel for each peer, the remaining time on the wire, retired connections passed over.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use telemetry::Peer;
use tonic::{Status, body::Body as GrpcBody, transport::Endpoint};
use tower::{Layer, Service, ServiceExt};

use crate::{
    Settings,
    client::{address_of, call_limit},
    deadline,
    names::Names,
};

/// A gRPC channel for generated clients: lazy, reconnecting, traced, with the remaining time as `grpc-timeout`.
pub type Channel = telemetry::grpc::Client<Timed>;

/// The part of a [`Channel`] that keeps deadlines.
#[derive(Debug, Clone)]
pub struct Timed {
    inner: tonic::transport::Channel,
    limit: Duration,
}

/// How many connections in a row may be retired under a call's hands.
const UNSENT: u32 = 3;

/// See [`Start::grpc`](crate::Start::grpc).
pub(crate) fn grpc(peer: &'static str, url: &str, settings: &Settings) -> Channel {
    grpc_with(Names::system(), peer, url, settings)
}

/// As [`grpc`], with another way to find addresses.
pub(crate) fn grpc_with(names: Names, peer: &'static str, url: &str, settings: &Settings) -> Channel {
    let limit = call_limit(settings);
    // The settings have checked the URL; what still cannot be an endpoint is noted there and never called.
    let endpoint = Endpoint::from_shared(url.to_owned()).unwrap_or_else(|e| {
        settings.reject(&address_of(peer).0, e);
        Endpoint::from_static("http://127.0.0.1:9")
    });
    let endpoint = endpoint
        .connect_timeout(Duration::from_secs(3))
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    // The settings take http:// URLs only: no TLS.
    let mut connector = HttpConnector::new_with_resolver(names);
    connector.set_nodelay(true);
    let layer = telemetry::grpc::ClientLayer::new().peer(Peer::ours(peer)).server(endpoint.uri());
    layer.layer(Timed { inner: endpoint.connect_with_connector_lazy(connector), limit })
}

// === impl Timed ===

impl Service<http::Request<GrpcBody>> for Timed {
    type Response = http::Response<GrpcBody>;
    type Error = tonic::transport::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<GrpcBody>) -> Self::Future {
        let left = deadline::remaining_or(self.limit);
        request.headers_mut().insert(deadline::GRPC_HEADER, deadline::grpc_value(left));
        // The clone has not been asked whether it is ready; the one that was makes the call.
        let next = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, next);
        // The channel keeps the time too, but not while it connects; and it calls it a cancellation.
        let answer = tokio::time::timeout(left, unary(ready, request));
        Box::pin(async move {
            match answer.await {
                Ok(Err(e)) if !timed_out(&e) => Err(e),
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(_)) | Err(_) => Ok(Status::deadline_exceeded("no answer in time").into_http()),
            }
        })
    }
}

/// A call with one message, as all of ours are. A server may retire the connection in the moment in which a call is handed to
/// it; hyper gives it back unsent then, so it may go over the next connection whatever it does.
async fn unary(
    mut channel: tonic::transport::Channel,
    request: http::Request<GrpcBody>,
) -> Result<http::Response<GrpcBody>, tonic::transport::Error> {
    let (head, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(status) => return Ok(status.into_http()),
    };
    let mut unsent = 0;
    loop {
        let request = http::Request::from_parts(head.clone(), GrpcBody::new(Full::new(body.clone())));
        match channel.call(request).await {
            Err(e) if unsent < UNSENT && caused_by(&e, hyper::Error::is_canceled) => unsent += 1,
            answer => return answer,
        }
        channel.ready().await?;
    }
}

fn timed_out(e: &tonic::transport::Error) -> bool {
    caused_by(e, |_: &tonic::TimeoutExpired| true)
}

/// Whether a `T` for which `is` holds is among the causes.
fn caused_by<T: std::error::Error + 'static>(e: &tonic::transport::Error, is: impl Fn(&T) -> bool) -> bool {
    let mut next = std::error::Error::source(e);
    while let Some(e) = next {
        if e.downcast_ref::<T>().is_some_and(&is) {
            return true;
        }
        next = e.source();
    }
    false
}

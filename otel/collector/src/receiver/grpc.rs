//! OTLP over gRPC: three unary methods over raw bytes.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use ::http::{HeaderMap, HeaderValue, Request, Response};
use bytes::Bytes;
use hyper::body::Incoming;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Status};

use super::Intake;
use super::body::{BodyError, Budget, Guarded};
use super::codec::RawCodec;
use super::status::Fault;
use crate::config::GrpcServer;
use crate::pipeline::Signal;
use crate::serve::Handler;

/// The service behind the gRPC listener.
pub(crate) fn service(settings: &GrpcServer, intake: Arc<Intake>, budget: Budget) -> impl Handler<Body> {
    let settings = settings.clone();
    move |request: Request<Incoming>| {
        let (settings, intake, budget) = (settings.clone(), intake.clone(), budget.clone());
        async move { Ok::<_, Infallible>(answer(settings, intake, budget, request).await) }
    }
}

async fn answer(
    settings: GrpcServer,
    intake: Arc<Intake>,
    budget: Budget,
    request: Request<Incoming>,
) -> Response<Body> {
    let path = request.uri().path();
    let found = Signal::ALL.into_iter().find(|signal| signal.grpc_path() == path && intake.takes(*signal));
    let Some(signal) = found else {
        let text = format!("{path} is not served: only OTLP's Export for the signals that have a pipeline");
        return Status::unimplemented(text).into_http();
    };
    if !request
        .headers()
        .get("content-type")
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
    {
        return Response::builder().status(415).body(Body::empty()).unwrap_or_default();
    }
    let request = request.map(|body| {
        let body = Guarded::new(body, settings.read_timeout, budget);
        http_body_util::BodyExt::map_err(body, refused)
    });
    let mut grpc = Grpc::new(RawCodec)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .max_decoding_message_size(settings.max_message);
    let mut response = grpc.unary(Export { signal, intake }, request).await;
    correct(response.headers_mut());
    response
}

/// tonic recognises a `Status` among a body's errors and passes it on.
fn refused(error: BodyError) -> Status {
    Fault::from(error).grpc()
}

/// tonic answers before our code runs when a message cannot be read, with codes that OTLP does not mean: OUT_OF_RANGE
/// (retryable) for a message that is too large, INTERNAL for one that does not decompress or is not there at all.
/// Our own code answers with neither.
fn correct(headers: &mut HeaderMap) {
    let code = match headers.get("grpc-status").map(HeaderValue::as_bytes) {
        Some(b"11") => Code::ResourceExhausted,
        Some(b"13") => Code::InvalidArgument,
        _ => return,
    };
    headers.insert("grpc-status", HeaderValue::from(code as i32));
}

struct Export {
    signal: Signal,
    intake: Arc<Intake>,
}

impl UnaryService<Bytes> for Export {
    // An empty message: `partial_success` is unset when everything was accepted.
    type Response = Vec<Bytes>;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<Self::Response>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let (signal, intake) = (self.signal, self.intake.clone());
        Box::pin(async move {
            match intake.accept(signal, request.into_inner()).await {
                Ok(()) => Ok(tonic::Response::new(Vec::new())),
                Err(error) => Err(Fault::from(error).grpc()),
            }
        })
    }
}

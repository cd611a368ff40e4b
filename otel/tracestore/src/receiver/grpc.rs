//! OTLP over gRPC, by hand: one message in, one out. Three reasons: the bytes stay as they are, limits hold before
//! anything is read, and a refusal has the status that OTLP asks for.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Incoming;
use tonic::{Code, Status};

use super::body::collect;
use super::encoding::Encoding;
use super::fault::Fault;
use super::serve::ReplyBody;
use super::{Intake, Kind};

/// Flag and length before each message (gRPC over HTTP/2, "Length-Prefixed-Message").
const PREFIX: usize = 5;
const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");

/// Whether a request is gRPC's.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

pub(super) async fn answer(intake: &Intake, request: Request<Incoming>) -> Response<ReplyBody> {
    match export(intake, request).await {
        Ok(message) => success(&message),
        Err(status) => {
            status.into_http::<Empty<Bytes>>().map(|body| body.map_err(|never| match never {}).boxed_unsync())
        }
    }
}

async fn export(intake: &Intake, request: Request<Incoming>) -> Result<Bytes, Status> {
    let path = request.uri().path();
    let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.grpc_path() == path) else {
        return Err(Status::unimplemented(format!(
            "{path} is not served: the trace store takes traces and logs"
        )));
    };
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let Some(encoding) = Encoding::named(header("grpc-encoding")) else {
        let mut status = Status::unimplemented("the message encoding must be identity, gzip or zstd");
        status.metadata_mut().insert(
            "grpc-accept-encoding",
            tonic::metadata::MetadataValue::from_static("identity,gzip,zstd"),
        );
        return Err(status);
    };
    let mut share = intake.budget.share();
    let most = intake.limit() + PREFIX;
    let body =
        collect(request.into_body(), announced, most, &mut share).await.map_err(|fault| fault.grpc())?;
    let (compressed, message) = unframe(body)?;
    let encoding = match (compressed, encoding) {
        (false, _) => Encoding::Identity,
        (true, Encoding::Identity) => {
            return Err(Status::internal("a compressed message without grpc-encoding"));
        }
        (true, encoding) => encoding,
    };
    let message = encoding.decode(message, intake.limit(), &mut share).await.map_err(|fault| fault.grpc())?;
    let appended = intake.keep(kind, message).await.map_err(|error| Fault::from(error).grpc())?;
    Ok(kind.response(&appended))
}

/// How long a body is, by its first message's prefix.
fn announced(start: &[u8]) -> Option<usize> {
    let length = start.get(1..PREFIX)?.try_into().map(u32::from_be_bytes).ok()?;
    Some(PREFIX + length as usize)
}

/// The one message of a unary call, and whether it is compressed.
fn unframe(mut body: Bytes) -> Result<(bool, Bytes), Status> {
    let bad = |what: &str| Status::new(Code::InvalidArgument, format!("not one gRPC message: {what}"));
    let prefix: [u8; PREFIX] =
        body.get(..PREFIX).and_then(|p| p.try_into().ok()).ok_or_else(|| bad("the body is too short"))?;
    let [flag, length @ ..] = prefix;
    let message = body.split_off(PREFIX);
    if u32::from_be_bytes(length) as usize != message.len() {
        return Err(bad("its length is not the announced one"));
    }
    match flag {
        0 => Ok((false, message)),
        1 => Ok((true, message)),
        _ => Err(bad("its flag is neither 0 nor 1")),
    }
}

fn success(message: &[u8]) -> Response<ReplyBody> {
    let mut data = BytesMut::with_capacity(PREFIX + message.len());
    data.put_u8(0);
    data.put_u32(message.len() as u32);
    data.put_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
    let frames = [Ok(Frame::data(data.freeze())), Ok(Frame::trailers(trailers))];
    let mut response = Response::new(StreamBody::new(futures::stream::iter(frames)).boxed_unsync());
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(http::header::CONTENT_TYPE, CONTENT_TYPE);
    response
}

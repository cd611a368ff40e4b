//! OTLP over HTTP: `POST /v1/{traces,logs,metrics}` with protobuf or JSON; each answer in the request's content type.

use std::convert::Infallible;
use std::sync::Arc;

use ::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Code;

use super::Intake;
use super::body::{Budget, Guarded, header as text_of};
use super::decompress::Encoding;
use super::status::Fault;
use crate::config::HttpServer;
use crate::otlp::json;
use crate::pipeline::Signal;
use crate::serve::Handler;

/// A body above this is unpacked on a thread for blocking work: a worker that parses for a second serves nobody.
const LARGE: usize = 256 << 10;

/// The two encodings of OTLP over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Protobuf,
    Json,
}

/// The service behind the HTTP listener.
pub(crate) fn service(
    settings: &HttpServer,
    intake: Arc<Intake>,
    budget: Budget,
) -> impl Handler<Full<Bytes>> {
    let settings = Arc::new(settings.clone());
    move |request: Request<Incoming>| {
        let (settings, intake, budget) = (settings.clone(), intake.clone(), budget.clone());
        async move {
            let format = format_of(&request);
            // Where the request's type is not one of ours, JSON is what a person can read.
            let shown = format.unwrap_or(Format::Json);
            Ok::<_, Infallible>(match handle(&settings, &intake, budget, format, request).await {
                Ok(()) => success(shown),
                Err(fault) => failure(shown, &fault),
            })
        }
    }
}

async fn handle(
    settings: &HttpServer,
    intake: &Intake,
    budget: Budget,
    format: Option<Format>,
    request: Request<Incoming>,
) -> Result<(), Fault> {
    let path = request.uri().path();
    let found = settings.paths.iter().position(|known| known == path).map(|at| Signal::ALL[at]);
    let signal = found.filter(|signal| intake.takes(*signal)).ok_or_else(|| {
        Fault::new(
            StatusCode::NOT_FOUND,
            Code::NotFound,
            format!("{path} is not served, {} are", settings.paths.join(", ")),
        )
    })?;
    if request.method() != Method::POST {
        return Err(Fault::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, "only POST is allowed"));
    }
    let format = format.ok_or_else(|| {
        let text = "the content type must be application/x-protobuf or application/json";
        Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, text)
    })?;
    let encoding =
        Encoding::from_header(text_of(request.headers(), "content-encoding")).ok_or_else(|| {
            let text = "the content encoding must be gzip, zstd, deflate or identity";
            Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, text)
        })?;
    let body = Guarded::new(request.into_body(), settings.read_timeout, budget.clone());
    let (bytes, _held) = body.collect(settings.max_body).await?;
    let length = bytes.len();
    let limit = settings.max_body;
    let unpack = move || unpack(signal, format, encoding, bytes, limit, &budget);
    let (bytes, _unpacked) = if length > LARGE && (format, encoding) != (Format::Protobuf, Encoding::Identity)
    {
        let broken = |_| {
            Fault::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, "the request could not be read")
        };
        tokio::task::spawn_blocking(unpack).await.map_err(broken)??
    } else {
        unpack()?
    };
    Ok(intake.accept(signal, bytes).await?)
}

/// Turns a body into a request's protobuf. What it holds beyond the body itself is taken from the budget.
fn unpack(
    signal: Signal,
    format: Format,
    encoding: Encoding,
    body: Bytes,
    limit: usize,
    budget: &Budget,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Fault> {
    let bytes = encoding.decompress(body, limit)?;
    let held = if encoding == Encoding::Identity { None } else { Some(budget.take(bytes.len())?) };
    let bytes = match format {
        Format::Protobuf => bytes,
        Format::Json => json::to_protobuf(signal, &bytes).map_err(|error| {
            Fault::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, format!("not OTLP/JSON: {error}"))
        })?,
    };
    Ok((bytes, held))
}

fn format_of(request: &Request<Incoming>) -> Option<Format> {
    let value = text_of(request.headers(), "content-type")?;
    let essence = value.split(';').next().unwrap_or_default().trim();
    match essence.to_ascii_lowercase().as_str() {
        "application/x-protobuf" => Some(Format::Protobuf),
        "application/json" => Some(Format::Json),
        _ => None,
    }
}

fn success(format: Format) -> Response<Full<Bytes>> {
    // An empty message: `partial_success` is unset when everything was accepted.
    let body = match format {
        Format::Protobuf => Bytes::new(),
        Format::Json => Bytes::from_static(b"{}"),
    };
    respond(StatusCode::OK, format, body)
}

fn failure(format: Format, fault: &Fault) -> Response<Full<Bytes>> {
    let body = match format {
        Format::Protobuf => fault.protobuf(),
        Format::Json => fault.json(),
    };
    let mut response = respond(fault.http, format, body);
    let headers = response.headers_mut();
    if let Some(delay) = fault.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(delay.as_secs_f64().ceil() as u64));
    }
    if fault.http == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    if matches!(fault.http, StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE) {
        // The rest of the body is not wanted: do not read on for the sake of the connection.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn respond(status: StatusCode, format: Format, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let content_type = match format {
        Format::Protobuf => "application/x-protobuf",
        Format::Json => "application/json",
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

//! OTLP over HTTP: `POST /v1/traces` and `/v1/logs`; every answer, refusals too, in the request's content type.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tonic::Code;

use super::body::collect;
use super::encoding::Encoding;
use super::fault::Fault;
use super::serve::ReplyBody;
use super::{Intake, Kind};
use crate::Appended;

/// OTLP's two encodings over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Protobuf,
    Json,
}

pub(super) async fn answer(intake: &Intake, request: Request<Incoming>) -> Response<ReplyBody> {
    let format = format_of(request.headers());
    match export(intake, format, request).await {
        Ok((kind, appended)) => success(format.unwrap_or(Format::Protobuf), kind, &appended),
        // Whoever sends neither form can best read JSON.
        Err(fault) => failure(format.unwrap_or(Format::Json), &fault),
    }
}

async fn export(
    intake: &Intake,
    format: Option<Format>,
    request: Request<Incoming>,
) -> Result<(Kind, Appended), Fault> {
    let path = request.uri().path();
    let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.http_path() == path) else {
        let message = format!("{path} is not served: the trace store takes POST /v1/traces and /v1/logs");
        return Err(Fault::new(StatusCode::NOT_FOUND, Code::NotFound, message));
    };
    if request.method() != Method::POST {
        return Err(Fault::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, "only POST is allowed"));
    }
    let unsupported =
        |message| Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, message);
    let format = format
        .ok_or_else(|| unsupported("the content type must be application/x-protobuf or application/json"))?;
    let encoding = Encoding::named(text(request.headers(), header::CONTENT_ENCODING.as_str()))
        .ok_or_else(|| unsupported("the content encoding must be identity, gzip or zstd"))?;
    let announced: Option<usize> =
        text(request.headers(), "content-length").and_then(|length| length.parse().ok());
    if announced.is_some_and(|length| length > intake.limit()) {
        return Err(Fault::too_large(intake.limit()));
    }
    let mut share = intake.budget.share();
    let body = collect(request.into_body(), |_| announced, intake.limit(), &mut share).await?;
    let body = encoding.decode(body, intake.limit(), &mut share).await?;
    let message = match format {
        Format::Protobuf => body,
        Format::Json => from_json(kind, &body)?,
    };
    Ok((kind, intake.keep(kind, message).await?))
}

fn from_json(kind: Kind, body: &[u8]) -> Result<Bytes, Fault> {
    let encoded =
        match kind {
            Kind::Traces => serde_json::from_slice::<ExportTraceServiceRequest>(body)
                .map(|request| request.encode_to_vec()),
            Kind::Logs => serde_json::from_slice::<ExportLogsServiceRequest>(body)
                .map(|request| request.encode_to_vec()),
        };
    encoded.map(Bytes::from).map_err(|error| Fault::malformed(format!("not OTLP/JSON: {error}")))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn format_of(headers: &HeaderMap) -> Option<Format> {
    let kind =
        text(headers, "content-type")?.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "application/x-protobuf" => Some(Format::Protobuf),
        "application/json" => Some(Format::Json),
        _ => None,
    }
}

fn success(format: Format, kind: Kind, appended: &Appended) -> Response<ReplyBody> {
    let body = match format {
        Format::Protobuf => kind.response(appended),
        Format::Json if appended.rejected == 0 => Bytes::from_static(b"{}"),
        Format::Json => {
            let count = match kind {
                Kind::Traces => "rejectedSpans",
                Kind::Logs => "rejectedLogRecords",
            };
            // 64-bit integers are strings in protobuf's JSON.
            let partial =
                serde_json::json!({ count: appended.rejected.to_string(), "errorMessage": appended.reason });
            serde_json::json!({ "partialSuccess": partial }).to_string().into()
        }
    };
    respond(StatusCode::OK, format, body)
}

fn failure(format: Format, fault: &Fault) -> Response<ReplyBody> {
    let body = match format {
        Format::Protobuf => fault.protobuf(),
        Format::Json => fault.json(),
    };
    let mut response = respond(fault.http, format, body);
    let headers = response.headers_mut();
    if let Some(delay) = fault.retry {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(delay.as_secs().max(1)));
    }
    if fault.http == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

fn respond(status: StatusCode, format: Format, body: Bytes) -> Response<ReplyBody> {
    let kind = match format {
        Format::Protobuf => "application/x-protobuf",
        Format::Json => "application/json",
    };
    let mut response = Response::new(Full::new(body).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

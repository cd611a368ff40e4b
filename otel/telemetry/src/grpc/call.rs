//! What both sides of a call share: names, status codes, and which of them are errors on which side.

use crate::body::{End, TracedBody};
use crate::metrics::Side;
use crate::operation::{Operation, Outcome};
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::Body;
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;
use std::borrow::Cow;
use tonic::{Code, Status};

/// `pkg.Service/Method` of a request's path, which is the span's name and `rpc.method`.
pub(super) fn method(path: &str) -> String {
    path.trim_start_matches('/').to_owned()
}

/// The attributes that span and metric begin with.
pub(super) fn measured(method: &str) -> Vec<KeyValue> {
    vec![
        KeyValue::new(semconv::RPC_SYSTEM_NAME, "grpc"),
        KeyValue::new(semconv::RPC_METHOD, method.to_owned()),
    ]
}

/// The status in a call's trailers. A body without breaks the protocol: the client sees UNKNOWN.
pub(crate) fn status(trailers: Option<&HeaderMap>) -> Status {
    trailers
        .and_then(Status::from_header_map)
        .unwrap_or_else(|| Status::unknown("no grpc-status in the trailers"))
}

/// Error rules: a client takes everything but OK as an error, a server only what is the server's fault
/// (RPC conventions, gRPC status).
pub(crate) fn outcome(side: Side, status: &Status) -> Outcome {
    let code = status.code();
    let failed = match side {
        Side::RpcClient => code != Code::Ok,
        _ => matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        ),
    };
    Outcome {
        measured: vec![KeyValue::new(semconv::RPC_RESPONSE_STATUS_CODE, name(code))],
        error_type: failed.then(|| Cow::Borrowed(name(code))),
        error: failed.then(|| Cow::Owned(status.message().to_owned())),
    }
}

/// The code's name as gRPC writes it.
pub(super) fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Lets the reply's body end the call; a reply of headers only ("trailers-only") has its status in them.
pub(super) fn watch<B>(side: Side, mut operation: Operation, response: Response<B>) -> Response<TracedBody<B>>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    if let Some(status) = Status::from_header_map(response.headers()) {
        if side == Side::RpcServer && status.code() == Code::Unimplemented {
            operation.disown_method();
        }
        operation.finish(outcome(side, &status));
        return response.map(|body| TracedBody::new(body, None));
    }
    if !response.status().is_success() {
        // Not a gRPC reply at all: a proxy's, or a plain HTTP 404. gRPC maps it to a status.
        let status =
            Status::new(from_http(response.status()), format!("HTTP status {}", response.status().as_u16()));
        operation.finish(outcome(side, &status));
        return response.map(|body| TracedBody::new(body, None));
    }
    response.map(|body| TracedBody::new(body, Some((operation, End::Grpc(side)))))
}

/// gRPC's own table for replies that are not gRPC (`http-grpc-status-mapping.md`).
fn from_http(status: StatusCode) -> Code {
    match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502..=504 => Code::Unavailable,
        _ => Code::Unknown,
    }
}

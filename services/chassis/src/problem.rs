//! Failures over HTTP: problem documents (RFC 9457), for what handlers return and for what the framework answers itself.

use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use serde_json::{Map, Value, json};

use crate::error::{Error, Kind};

/// The media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Prefix of every problem type; the last part is [`Error::slug`].
pub const TYPE_PREFIX: &str = "urn:waybill:problem:";

#[derive(Clone)]
struct Failed(Arc<Error>);

impl IntoResponse for Error {
    /// A bare status that carries the error; the edge, which knows path and trace, writes the document.
    fn into_response(self) -> Response {
        let mut response = self.kind().status().into_response();
        response.extensions_mut().insert(Failed(Arc::new(self)));
        response
    }
}

/// Turns any failed response into a problem document, and logs it if the failure is ours.
pub(crate) async fn render(path: &str, mut response: Response) -> Response {
    let status = response.status();
    if let Some(Failed(error)) = response.extensions_mut().remove::<Failed>() {
        return document(&error, path, response);
    }
    let is_problem = response.headers().get(header::CONTENT_TYPE).is_some_and(|t| t == MEDIA_TYPE);
    match Kind::from_status(status) {
        Some(kind) if !is_problem => {
            let (mut parts, body) = response.into_parts();
            // What axum's extractors say about a request is meant for the caller; about our own faults it is not.
            let text = to_bytes(body, 4096).await.unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            let public = status.is_client_error() && !text.is_empty();
            let error = Error::new(kind, if public { text } else { kind.title().to_owned() });
            parts.headers.remove(header::CONTENT_LENGTH);
            document(&error, path, Response::from_parts(parts, Body::empty()))
        }
        _ => response,
    }
}

fn document(error: &Error, path: &str, mut response: Response) -> Response {
    error.log();
    let mut fields = Map::new();
    fields.insert("type".into(), json!(format!("{TYPE_PREFIX}{}", error.slug())));
    fields.insert("title".into(), json!(error.kind().title()));
    fields.insert("status".into(), json!(response.status().as_u16()));
    fields.insert("detail".into(), json!(error.detail()));
    fields.insert("instance".into(), json!(path));
    fields.insert("trace_id".into(), json!(telemetry::context::trace_id()));
    fields.extend(error.fields().clone());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.remove(header::CONTENT_LENGTH);
    if error.kind() == Kind::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    *response.body_mut() = Body::from(Value::Object(fields).to_string());
    response
}

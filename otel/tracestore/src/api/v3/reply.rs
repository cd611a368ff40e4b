//! Errors of `/api/v3` in the form of the gRPC gateway.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;

use crate::api::engine::QueryError;
use crate::api::reply::{error_text, query_status};

/// An error of `/api/v3`: status and text.
#[derive(Debug)]
pub(super) struct V3Error {
    status: StatusCode,
    message: String,
}

#[derive(Serialize)]
struct Body {
    error: Details,
}

#[derive(Serialize)]
struct Details {
    #[serde(rename = "httpCode")]
    http_code: u16,
    message: String,
}

// === impl V3Error ===

impl V3Error {
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into() }
    }

    pub(super) fn none_found() -> Self {
        Self { status: StatusCode::NOT_FOUND, message: "No traces found".to_owned() }
    }
}

impl From<QueryError> for V3Error {
    fn from(error: QueryError) -> Self {
        Self { status: query_status(&error), message: error.to_string() }
    }
}

impl IntoResponse for V3Error {
    fn into_response(self) -> Response {
        let details = Details { http_code: self.status.as_u16(), message: self.message };
        error_text(self.status, &Body { error: details })
    }
}

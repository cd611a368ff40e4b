//! What a third party says: a status, a JSON body and what its log notes about it.

use axum::{
    Json,
    response::{Html, IntoResponse, Response},
};
use http::StatusCode;
use serde_json::{Value, json};

/// A reply before it is sent, kept or lost.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
    /// The caller's order.
    pub(crate) order_id: Option<String>,
    /// Our own id of what was done.
    pub(crate) reference: Option<String>,
    /// One word for the log.
    pub(crate) outcome: String,
}

impl Answer {
    /// Something was done, or found.
    pub(crate) fn done(
        status: StatusCode,
        outcome: &str,
        order_id: &str,
        reference: &str,
        body: Value,
    ) -> Self {
        Self {
            status,
            body,
            order_id: Some(order_id.to_owned()),
            reference: Some(reference.to_owned()),
            outcome: outcome.to_owned(),
        }
    }

    /// A no, with a stable `error` for machines and a `message` for people.
    pub(crate) fn no(status: StatusCode, error: &str, message: impl Into<String>) -> Self {
        let body = json!({ "error": error, "message": message.into() });
        Self { status, body, order_id: None, reference: None, outcome: error.to_owned() }
    }

    /// The same, about an order.
    pub(crate) fn about(mut self, order_id: &str) -> Self {
        self.order_id = Some(order_id.to_owned());
        self
    }

    /// A body that is not what the API takes.
    pub(crate) fn unprocessable(message: impl Into<String>) -> Self {
        Self::no(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", message)
    }

    /// Something is broken on our side; the cause stays in our own log.
    pub(crate) fn broken(error: &sqlx::Error) -> Self {
        tracing::error!(error = %error, "the partners' database failed");
        Self::no(StatusCode::INTERNAL_SERVER_ERROR, "internal", "something went wrong on our side")
    }

    /// An answer that no client can take for one.
    pub(crate) fn nonsense() -> Response {
        Html("<html><body><h1>It works!</h1></body></html>").into_response()
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}

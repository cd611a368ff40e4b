//! `GET /health`, `/ready` and `/metrics`.

use std::fmt::Write as _;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::json;

use super::router::Shared;

/// 200 as long as the process answers.
pub(super) async fn live() -> Response {
    axum::Json(json!({"status": "ok"})).into_response()
}

/// 200 when the store takes and answers, 503 with the reason when it does not.
pub(super) async fn ready(State(shared): State<Shared>) -> Response {
    match shared.backend().ailment() {
        None => axum::Json(json!({"status": "ready"})).into_response(),
        Some(reason) => {
            let body = axum::Json(json!({"status": "unavailable", "reason": reason}));
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

/// The store's numbers in Prometheus's text format 0.0.4.
pub(super) async fn metrics(State(shared): State<Shared>) -> Response {
    let mut text = String::new();
    for counter in shared.backend().counters() {
        let (name, kind) = (counter.name, counter.kind);
        _ = write!(text, "# HELP {name} {}\n# TYPE {name} {kind}\n{name} {}\n", counter.help, counter.value);
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

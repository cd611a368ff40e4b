//! `/api/v3/*`: Jaeger's query API over OTLP, with the parameter names of 2.14 and of later versions.

mod adjust;
mod operations;
mod reply;
mod traces;

use axum::Router;
use axum::routing::get;

use super::router::Shared;

/// All routes below `/api/v3`, without it.
pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/services", get(operations::services))
        .route("/operations", get(operations::operations))
        .route("/traces", get(traces::find))
        .route("/traces/{id}", get(traces::by_id))
}

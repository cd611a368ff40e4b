//! The legacy query API, `/api/*`, as Jaeger 2.14.1 answers it: what the UI of that version calls.

mod archive;
mod dependencies;
mod metrics;
pub(crate) mod operations;
pub(crate) mod search;
mod trace;
mod transform;

use axum::Router;
use axum::routing::{get, post};

use super::router::Shared;

/// All routes below `/api`, without it.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/services", get(operations::services))
        .route("/services/{service}/operations", get(operations::names))
        .route("/operations", get(operations::with_kind))
        .route("/traces", get(search::search))
        .route("/traces/{id}", get(trace::get))
        .route("/archive/{id}", post(archive::put))
        .route("/dependencies", get(dependencies::list))
        .route("/transform", post(transform::transform))
        .route("/metrics/{name}", get(metrics::disabled))
}

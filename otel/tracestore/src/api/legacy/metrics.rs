//! `GET /api/metrics/*` (the UI's Monitor tab): this store aggregates no metrics and says so as Jaeger does.

use http::StatusCode;

use crate::api::reply::LegacyError;

/// 501, on which the UI shows how to get started.
pub(super) async fn disabled() -> LegacyError {
    LegacyError {
        status: StatusCode::NOT_IMPLEMENTED,
        message: "metrics querying is currently disabled".to_owned(),
    }
}

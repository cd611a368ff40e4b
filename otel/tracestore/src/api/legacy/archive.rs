//! `POST /api/archive/{id}`: this store keeps no archive and says so as Jaeger does.

use axum::extract::{OriginalUri, RawQuery, State};
use http::StatusCode;

use super::trace::parse;
use crate::api::params::Params;
use crate::api::reply::LegacyError;
use crate::api::router::Shared;

/// Always an error: for a bad id, for an unknown trace, and otherwise because there is no archive.
pub(super) async fn put(
    State(shared): State<Shared>,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
) -> LegacyError {
    let id = match parse(uri.path(), &Params::parse(query.as_deref())) {
        Ok((id, _)) => id,
        Err(message) => return LegacyError::bad(message),
    };
    match shared.trace(id, true).await {
        Ok(Some(_)) => LegacyError {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            message: "archive span storage was not configured".to_owned(),
        },
        Ok(None) => LegacyError::trace_not_found(),
        Err(error) => error.into(),
    }
}

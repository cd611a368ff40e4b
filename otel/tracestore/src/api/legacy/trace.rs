//! `GET /api/traces/{id}`.

use axum::extract::{OriginalUri, RawQuery, State};
use axum::response::Response;

use super::search::{flag, micros};
use crate::api::ids::parse_trace_id;
use crate::api::params::{Params, unescape_path};
use crate::api::reply::{self, Envelope, LegacyError};
use crate::api::router::Shared;
use crate::model::TraceId;

/// One trace with all its spans. `start` and `end` are hints that this store does not need; they must be well formed.
pub(super) async fn get(
    State(shared): State<Shared>,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
) -> Result<Response, LegacyError> {
    let params = Params::parse(query.as_deref());
    let (id, raw) = parse(uri.path(), &params).map_err(LegacyError::bad)?;
    let trace = shared.trace(id, raw).await?.ok_or_else(LegacyError::trace_not_found)?;
    Ok(reply::json(Envelope::of([trace]), params.pretty()).await)
}

/// The id at the end of `path`, and whether adjusters are left out.
pub(super) fn parse(path: &str, params: &Params) -> Result<(TraceId, bool), String> {
    let segment = path.rsplit('/').next().unwrap_or_default();
    let id = parse_trace_id(&unescape_path(segment).unwrap_or_default())?;
    micros(params, "start")?;
    micros(params, "end")?;
    Ok((id, flag(params, "raw")?))
}

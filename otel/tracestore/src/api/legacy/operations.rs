//! `GET /api/services`, `/api/services/{service}/operations`, `/api/operations`.

use axum::extract::{OriginalUri, RawQuery, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::api::params::{Params, unescape_form};
use crate::api::reply::{self, Envelope, LegacyError};
use crate::api::router::Shared;
use crate::model::Operation;

/// One row of `/api/operations`.
#[derive(Serialize)]
struct Named {
    name: String,
    #[serde(rename = "spanKind")]
    kind: &'static str,
}

/// All services, sorted.
pub(super) async fn services(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, LegacyError> {
    let services = shared.services().await?;
    let total = services.len();
    Ok(reply::json(Envelope::of(services).total(total), Params::parse(query.as_deref()).pretty()).await)
}

/// Span names of one service, whatever their kind, each once.
pub(super) async fn names(
    State(shared): State<Shared>,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
) -> Result<Response, LegacyError> {
    // The segment as it was sent: a service's name may hold an encoded slash, and `+` means a space here.
    let segment = uri.path().trim_end_matches('/').rsplit('/').nth(1).unwrap_or_default();
    let service = unescape_form(segment).unwrap_or_default();
    let mut names: Vec<String> = shared.operations(service).await?.into_iter().map(|o| o.name).collect();
    names.sort();
    names.dedup();
    let total = names.len();
    Ok(reply::json(Envelope::of(names).total(total), Params::parse(query.as_deref()).pretty()).await)
}

/// Span names with their kinds, of one service and, where given, of one kind.
pub(super) async fn with_kind(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, LegacyError> {
    let params = Params::parse(query.as_deref());
    let service = params.first("service");
    if service.is_empty() {
        return Err(LegacyError::bad("parameter 'service' is required"));
    }
    let operations = of_kind(shared.operations(service.to_owned()).await?, params.first("spanKind"));
    let rows: Vec<Named> = operations.into_iter().map(|o| Named { name: o.name, kind: o.kind }).collect();
    let total = rows.len();
    Ok(reply::json(Envelope::of(rows).total(total), params.pretty()).await.into_response())
}

/// Those of `kind`, or all when it is empty.
pub(crate) fn of_kind(mut operations: Vec<Operation>, kind: &str) -> Vec<Operation> {
    operations.retain(|operation| kind.is_empty() || operation.kind == kind);
    operations
}

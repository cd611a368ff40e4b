//! `GET /api/v3/services` and `/api/v3/operations`.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Serialize;

use super::reply::V3Error;
use crate::api::legacy::operations::of_kind;
use crate::api::params::Params;
use crate::api::reply;
use crate::api::router::Shared;

#[derive(Serialize)]
struct Services {
    services: Vec<String>,
}

#[derive(Serialize)]
struct Operations {
    operations: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    span_kind: &'static str,
}

/// All services, sorted.
pub(super) async fn services(State(shared): State<Shared>) -> Result<Response, V3Error> {
    Ok(reply::json(Services { services: shared.services().await? }, false).await)
}

/// Span names of one service, of one kind where given.
pub(super) async fn operations(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, V3Error> {
    let params = Params::parse(query.as_deref());
    let (_, kind) = params.first_of(&["spanKind", "span_kind"]);
    let operations = of_kind(shared.operations(params.first("service").to_owned()).await?, kind);
    let rows = operations.into_iter().map(|o| Row { name: o.name, span_kind: o.kind });
    Ok(reply::json(Operations { operations: rows.collect() }, false).await)
}

//! `GET /api/dependencies`: who calls whom.

use std::collections::BTreeMap;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Serialize;

use super::search::{named, now_ns};
use crate::api::golang::parse_int;
use crate::api::params::Params;
use crate::api::reply::{self, Envelope, LegacyError};
use crate::api::router::Shared;
use crate::model::Dependency;

/// How far back the calls go when the request does not say.
const DEFAULT_LOOKBACK_MS: i64 = 24 * 3_600 * 1_000;

#[derive(Serialize)]
struct Link {
    parent: String,
    child: String,
    #[serde(rename = "callCount")]
    call_count: u64,
}

/// Calls between different services that ended in `endTs - lookback ..= endTs` (milliseconds), where `service` is given
/// only those of that service. Never null: the UI turns white on it.
pub(super) async fn list(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, LegacyError> {
    let params = Params::parse(query.as_deref());
    let (start_ns, end_ns) = range(&params).map_err(LegacyError::bad)?;
    let found = shared.run(move |store| store.dependencies(start_ns, end_ns)).await?;
    Ok(reply::json(Envelope::of(links(found, params.first("service"))), params.pretty()).await)
}

fn range(params: &Params) -> Result<(u64, u64), String> {
    let end = match params.first("endTs") {
        "" => i64::try_from(now_ns() / 1_000_000).unwrap_or(i64::MAX),
        text => named("endTs", parse_int(text, 64))?,
    };
    let lookback = match params.first("lookback") {
        "" => DEFAULT_LOOKBACK_MS,
        text => named("lookback", parse_int(text, 64))?,
    };
    let nanos = |millis: i64| u64::try_from(millis).unwrap_or(0).saturating_mul(1_000_000);
    Ok((nanos(end.saturating_sub(lookback)), nanos(end)))
}

/// One link for each pair, without calls of a service to itself.
fn links(found: Vec<Dependency>, service: &str) -> Vec<Link> {
    let mut sums: BTreeMap<(String, String), u64> = BTreeMap::new();
    let wanted = |d: &Dependency| service.is_empty() || d.parent == service || d.child == service;
    for call in found.into_iter().filter(|d| d.parent != d.child && wanted(d)) {
        let sum = sums.entry((call.parent, call.child)).or_default();
        *sum = sum.saturating_add(call.call_count);
    }
    sums.into_iter().map(|((parent, child), call_count)| Link { parent, child, call_count }).collect()
}

//! `GET /analytics/v1/dependencies`: the paths on which calls pass through one service, for the UI's graph of
//! service dependencies.

use std::collections::{BTreeMap, HashMap, HashSet};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;

use super::golang::parse_int;
use super::ids::format_trace_id;
use super::legacy::search::{named, now_ns};
use super::params::Params;
use super::reply::{self, LegacyError};
use super::router::Shared;
use crate::jaeger::{Span, Trace};
use crate::model::Query;

/// Traces that are looked at: the newest ones.
const SAMPLE: usize = 200;
/// Most different paths in one answer.
const MAX_PATHS: usize = 1_000;
/// Longest path that is followed.
const MAX_STEPS: usize = 100;
/// How far back to look when the request gives no start.
const LOOKBACK_NS: u64 = 48 * 3_600 * 1_000_000_000;

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/v1/dependencies", get(dependencies))
}

#[derive(Serialize)]
struct Answer {
    dependencies: Vec<PathRow>,
}

#[derive(Serialize)]
struct PathRow {
    path: Vec<Step>,
    attributes: Vec<Attribute>,
}

/// One service on a path, with the operation that took the call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Step {
    service: String,
    operation: String,
}

#[derive(Serialize)]
struct Attribute {
    key: &'static str,
    value: String,
}

/// Paths through `service` (and `operation`) in a sample of the newest traces, each with one trace that took it.
async fn dependencies(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, LegacyError> {
    let params = Params::parse(query.as_deref());
    let service = params.first("service").to_owned();
    let operation = params.first("operation").to_owned();
    if service.is_empty() {
        return Err(LegacyError::bad("parameter 'service' is required"));
    }
    let micros = |name: &str| match params.first(name) {
        "" => Ok(0),
        text => named(name, parse_int(text, 64)).map(|v| u64::try_from(v).unwrap_or(0).saturating_mul(1_000)),
    };
    let (start, end) = (micros("start").map_err(LegacyError::bad)?, micros("end").map_err(LegacyError::bad)?);
    let now = now_ns();
    let found = shared
        .find(
            Query {
                service: Some(service.clone()),
                operation: (!operation.is_empty()).then(|| operation.clone()),
                start_min_ns: if start == 0 { now.saturating_sub(LOOKBACK_NS) } else { start },
                start_max_ns: if end == 0 { now } else { end },
                limit: SAMPLE,
                ..Query::default()
            },
            false,
        )
        .await?;
    let mut paths: BTreeMap<Vec<Step>, String> = BTreeMap::new();
    for trace in &found {
        collect(trace, &service, &operation, &mut paths);
    }
    let rows = paths.into_iter().map(|(path, trace_id)| PathRow {
        path,
        attributes: vec![Attribute { key: "exemplar_trace_id", value: trace_id }],
    });
    Ok(reply::json(Answer { dependencies: rows.collect() }, params.pretty()).await)
}

/// Adds the trace's paths, root to leaf, that pass through the service.
fn collect(trace: &Trace, service: &str, operation: &str, paths: &mut BTreeMap<Vec<Step>, String>) {
    let by_id: HashMap<u64, &Span> = trace.spans.iter().map(|span| (span.span_id, span)).collect();
    let parents: HashSet<u64> = trace.spans.iter().filter_map(Span::parent).collect();
    for leaf in trace.spans.iter().filter(|span| !parents.contains(&span.span_id)) {
        let path = path_to(leaf, trace, &by_id);
        let through = |s: &Step| s.service == service && (operation.is_empty() || s.operation == operation);
        if paths.len() < MAX_PATHS && path.iter().any(through) {
            paths.entry(path).or_insert_with(|| format_trace_id(leaf.trace_id));
        }
    }
}

/// The services from the root to `leaf`: of several spans of one service in a row, the first, which took the call.
fn path_to(leaf: &Span, trace: &Trace, by_id: &HashMap<u64, &Span>) -> Vec<Step> {
    let mut path: Vec<Step> = Vec::new();
    let mut next = Some(leaf);
    // The bound also ends circles.
    for _ in 0..MAX_STEPS {
        let Some(span) = next else { break };
        let service = trace.processes.get(span.process).map(|p| p.service.clone()).unwrap_or_default();
        let step = Step { service, operation: span.operation.clone() };
        match path.last_mut().filter(|last| last.service == step.service) {
            Some(last) => *last = step,
            None => path.push(step),
        }
        next = span.parent().and_then(|id| by_id.get(&id)).copied();
    }
    path.reverse();
    path
}

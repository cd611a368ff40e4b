//! `GET /api/traces`: search, or several traces by id.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use time::OffsetDateTime;

use crate::api::golang::{parse_bool, parse_duration, parse_int};
use crate::api::ids::{format_trace_id, parse_trace_id};
use crate::api::params::Params;
use crate::api::reply::{self, Envelope, LegacyError, Problem};
use crate::api::router::Shared;
use crate::api::tags::{check_count, string_map};
use crate::model::{Query, TraceId};

/// How far back a search reaches that gives no start.
const DEFAULT_LOOKBACK_NS: u64 = 48 * 3_600 * 1_000_000_000;
/// How many traces a search that gives no limit returns.
pub(crate) const DEFAULT_LIMIT: usize = 100;
/// Most `traceID` parameters of one request.
const MAX_IDS: usize = 100;

/// What a request asks for.
#[derive(Debug, PartialEq)]
struct Search {
    want: Want,
    raw: bool,
}

#[derive(Debug, PartialEq)]
enum Want {
    /// These traces, in this order.
    Ids(Vec<TraceId>),
    /// What matches.
    Matching(Query),
    /// A bound that no span can meet.
    Nothing,
}

/// Answers with whole traces, newest first.
pub(super) async fn search(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, LegacyError> {
    let params = Params::parse(query.as_deref());
    let search = Search::parse(&params, shared.max_traces()).map_err(LegacyError::bad)?;
    let (traces, problems) = match search.want {
        Want::Nothing => (Vec::new(), Vec::new()),
        Want::Matching(query) => (shared.find(query, search.raw).await?, Vec::new()),
        Want::Ids(ids) => {
            let (mut traces, mut problems) = (Vec::new(), Vec::new());
            for id in ids {
                match shared.trace(id, search.raw).await? {
                    Some(trace) => traces.push(trace),
                    None => problems.push(not_found(id)),
                }
            }
            (traces, problems)
        }
    };
    Ok(reply::json(Envelope::of(traces).errors(problems), params.pretty()).await)
}

fn not_found(id: TraceId) -> Problem {
    Problem { code: None, msg: "trace not found".to_owned(), trace_id: Some(format_trace_id(id)) }
}

impl Search {
    /// Checks in Jaeger's order, so that of two faults the same one is named.
    fn parse(params: &Params, max_traces: usize) -> Result<Self, String> {
        let now = now_ns();
        let start_min_ns = micros(params, "start")?.unwrap_or(now.saturating_sub(DEFAULT_LOOKBACK_NS));
        let start_max_ns = micros(params, "end")?.unwrap_or(now);
        let tags = tags(params)?;
        let limit = limit(params.first("limit"))?;
        let min = duration(params, "minDuration")?;
        let max = duration(params, "maxDuration")?;
        let ids = ids(params)?;
        let raw = flag(params, "raw")?;
        let service = params.first("service");
        if !ids.is_empty() {
            return Ok(Self { want: Want::Ids(ids), raw });
        }
        if service.is_empty() {
            return Err("parameter 'service' is required".to_owned());
        }
        if min != 0 && max != 0 && max < min {
            return Err("'maxDuration' should be greater than 'minDuration'".to_owned());
        }
        let limit = checked_limit(limit, max_traces)?;
        if max < 0 {
            return Ok(Self { want: Want::Nothing, raw });
        }
        let operation = params.first("operation");
        let query = Query {
            service: Some(service.to_owned()),
            operation: (!operation.is_empty()).then(|| operation.to_owned()),
            tags,
            start_min_ns,
            start_max_ns,
            duration_min_ns: u64::try_from(min).unwrap_or(0),
            duration_max_ns: u64::try_from(max).unwrap_or(0),
            limit,
        };
        Ok(Self { want: Want::Matching(query), raw })
    }
}

/// Now, in Unix nanoseconds.
pub(crate) fn now_ns() -> u64 {
    u64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos()).unwrap_or(0)
}

/// `parse`'s error with the parameter's name before it.
pub(crate) fn named<T>(name: &str, result: Result<T, String>) -> Result<T, String> {
    result.map_err(|error| format!("unable to parse param '{name}': {error}"))
}

/// Unix microseconds as nanoseconds; none when the parameter is empty. A time before 1970 is 1970.
pub(crate) fn micros(params: &Params, name: &str) -> Result<Option<u64>, String> {
    let text = params.first(name);
    if text.is_empty() {
        return Ok(None);
    }
    let micros = named(name, parse_int(text, 64))?;
    Ok(Some(u64::try_from(micros).unwrap_or(0).saturating_mul(1_000)))
}

/// A boolean parameter, false when empty.
pub(crate) fn flag(params: &Params, name: &str) -> Result<bool, String> {
    match params.first(name) {
        "" => Ok(false),
        text => named(name, parse_bool(text)),
    }
}

fn duration(params: &Params, name: &str) -> Result<i64, String> {
    match params.first(name) {
        "" => Ok(0),
        text => named(name, parse_duration(text)),
    }
}

fn limit(text: &str) -> Result<Option<i64>, String> {
    // Jaeger names no parameter here.
    if text.is_empty() { Ok(None) } else { parse_int(text, 32).map(Some) }
}

/// A limit that the store will serve.
pub(crate) fn checked_limit(limit: Option<i64>, max_traces: usize) -> Result<usize, String> {
    let limit = limit.map_or(Some(DEFAULT_LIMIT.min(max_traces)), |limit| usize::try_from(limit).ok());
    limit.filter(|limit| (1..=max_traces).contains(limit)).ok_or_else(|| {
        format!("unable to parse param 'limit': search depth must be greater than 0 and at most {max_traces}")
    })
}

fn ids(params: &Params) -> Result<Vec<TraceId>, String> {
    let ids: Result<Vec<_>, _> = params.all("traceID").map(parse_trace_id).collect();
    let ids = ids.map_err(|error| format!("cannot parse traceID param: {error}"))?;
    if ids.len() > MAX_IDS {
        return Err(format!("cannot parse traceID param: at most {MAX_IDS} ids are answered at once"));
    }
    Ok(ids)
}

/// `tag=key:value` and `tags={"key":"value"}`; the latter override the former.
fn tags(params: &Params) -> Result<Vec<(String, String)>, String> {
    let mut tags: Vec<(String, String)> = Vec::new();
    for tag in params.all("tag") {
        let (key, value) = tag
            .split_once(':')
            .ok_or_else(|| format!("malformed 'tag' parameter, expecting key:value, received: {tag}"))?;
        put(&mut tags, key, value);
    }
    for text in params.all("tags") {
        let map = string_map(text)
            .map_err(|error| format!("malformed 'tags' parameter, cannot unmarshal JSON: {error}"))?;
        for (key, value) in &map {
            put(&mut tags, key, value);
        }
    }
    check_count(&tags)?;
    Ok(tags)
}

fn put(tags: &mut Vec<(String, String)>, key: &str, value: &str) {
    match tags.iter_mut().find(|(k, _)| k == key) {
        Some((_, old)) => value.clone_into(old),
        None => tags.push((key.to_owned(), value.to_owned())),
    }
}

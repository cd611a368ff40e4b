//! `GET /api/v3/traces` and `/api/v3/traces/{trace_id}`: OTLP JSON.

use std::time::Duration;

use axum::extract::{OriginalUri, RawQuery, State};
use axum::response::Response;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, TracesData};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::adjust;
use super::reply::V3Error;
use crate::api::golang::{parse_bool, parse_duration, parse_int};
use crate::api::ids::parse_trace_id;
use crate::api::legacy::search::checked_limit;
use crate::api::params::{Params, unescape_path};
use crate::api::reply;
use crate::api::router::Shared;
use crate::api::tags::{check_count, string_map};
use crate::model::{Query, Trace};

#[derive(Serialize)]
struct Answer {
    result: TracesData,
}

/// One trace.
pub(super) async fn by_id(
    State(shared): State<Shared>,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
) -> Result<Response, V3Error> {
    let params = Params::parse(query.as_deref());
    let segment = uri.path().rsplit('/').next().unwrap_or_default();
    let id = malformed("trace_id", parse_trace_id(&unescape_path(segment).unwrap_or_default()))?;
    time(&params, &["startTime", "start_time"])?;
    time(&params, &["endTime", "end_time"])?;
    let raw = flag(&params, &["rawTraces", "raw_traces"])?;
    let adjust = adjuster(raw, shared.max_clock_skew());
    let trace = shared.run(move |store| Ok(store.trace(id)?.map(adjust))).await?;
    answer(trace.into_iter().collect()).await
}

/// Search.
pub(super) async fn find(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, V3Error> {
    let params = Params::parse(query.as_deref());
    let Some(query) = parse(&params, shared.max_traces())? else { return Err(V3Error::none_found()) };
    let raw = flag(&params, &["query.rawTraces", "query.raw_traces"])?;
    let adjust = adjuster(raw, shared.max_clock_skew());
    let traces = shared.run(move |store| Ok(store.find(&query)?.into_iter().map(adjust).collect())).await?;
    answer(traces).await
}

/// Nothing when a bound excludes every span.
fn parse(params: &Params, max_traces: usize) -> Result<Option<Query>, V3Error> {
    let text =
        |keys: &[&'static str]| Some(params.first_of(keys).1.to_owned()).filter(|text| !text.is_empty());
    let tags = match params.first("query.attributes") {
        "" => Vec::new(),
        json => malformed("query.attributes", string_map(json))?,
    };
    malformed("query.attributes", check_count(&tags))?;
    if !params.first("query.filter").is_empty() {
        return Err(V3Error::bad(
            "malformed parameter query.filter: expressions are not supported by this store",
        ));
    }
    let start = time(params, &["query.startTimeMin", "query.start_time_min"])?;
    let end = time(params, &["query.startTimeMax", "query.start_time_max"])?;
    let (Some(start), Some(end)) = (start, end) else {
        return Err(V3Error::bad("query.start_time_min and query.start_time_max are required"));
    };
    if start >= end {
        return Err(V3Error::bad("query.startTimeMin must be before query.startTimeMax"));
    }
    let (limit_name, limit) =
        params.first_of(&["query.searchDepth", "query.search_depth", "query.num_traces"]);
    let limit = match limit {
        "" => None,
        // The reference reads this one with another function of Go's library, which names itself.
        text => Some(malformed(limit_name, parse_int(text, 64).map_err(|e| e.replace("ParseInt", "Atoi")))?),
    };
    let limit = checked_limit(limit, max_traces).map_err(V3Error::bad)?;
    let min = duration(params, &["query.durationMin", "query.duration_min"])?;
    let max = duration(params, &["query.durationMax", "query.duration_max"])?;
    if min != 0 && max != 0 && max < min {
        return Err(V3Error::bad("query.durationMax must not be less than query.durationMin"));
    }
    Ok((max >= 0).then(|| Query {
        service: text(&["query.serviceName", "query.service_name"]),
        operation: text(&["query.operationName", "query.operation_name"]),
        tags,
        start_min_ns: start,
        start_max_ns: end,
        duration_min_ns: u64::try_from(min).unwrap_or(0),
        duration_max_ns: u64::try_from(max).unwrap_or(0),
        limit,
    }))
}

fn adjuster(raw: bool, max_skew: Duration) -> impl Fn(Trace) -> Vec<ResourceSpans> + Send + 'static {
    move |mut trace| {
        adjust::sanitize(&mut trace.resource_spans);
        if !raw {
            adjust::standard(&mut trace.resource_spans, max_skew);
        }
        trace.resource_spans
    }
}

async fn answer(traces: Vec<Vec<ResourceSpans>>) -> Result<Response, V3Error> {
    if traces.is_empty() {
        return Err(V3Error::none_found());
    }
    let result = TracesData { resource_spans: traces.into_iter().flatten().collect() };
    Ok(reply::json(Answer { result }, false).await)
}

fn malformed<T>(name: &str, result: Result<T, String>) -> Result<T, V3Error> {
    result.map_err(|error| V3Error::bad(format!("malformed parameter {name}: {error}")))
}

/// Unix nanoseconds of an RFC 3339 time; none when the parameter is empty.
fn time(params: &Params, keys: &[&'static str]) -> Result<Option<u64>, V3Error> {
    let (name, text) = params.first_of(keys);
    if text.is_empty() {
        return Ok(None);
    }
    let time = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|error| format!("cannot parse {text:?} as an RFC 3339 time: {error}"));
    let nanos = malformed(name, time)?.unix_timestamp_nanos();
    Ok(Some(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX)))
}

fn duration(params: &Params, keys: &[&'static str]) -> Result<i64, V3Error> {
    match params.first_of(keys) {
        (_, "") => Ok(0),
        (name, text) => malformed(name, parse_duration(text)),
    }
}

fn flag(params: &Params, keys: &[&'static str]) -> Result<bool, V3Error> {
    match params.first_of(keys) {
        (_, "") => Ok(false),
        (name, text) => malformed(name, parse_bool(text)),
    }
}

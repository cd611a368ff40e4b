//! `GET /logs?trace_id=…`: the log records of one trace, as JSON or as a page.

mod page;
mod record;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, VARY};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;

use super::golang::parse_int;
use super::ids::{format_trace_id, parse_trace_id};
use super::legacy::search::named;
use super::params::Params;
use super::reply::{self, LegacyError};
use super::router::Shared;
use record::Record;

/// Records in one answer when the request does not say.
const DEFAULT_LIMIT: usize = 1_000;
/// Most records in one answer.
const MAX_LIMIT: usize = 10_000;

/// The answer in JSON.
#[derive(Serialize)]
struct Answer {
    trace_id: String,
    /// Oldest first.
    logs: Vec<Record>,
    /// Whether there are more than `limit`.
    truncated: bool,
}

/// The log records that carry `trace_id`, oldest first.
pub(super) async fn list(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, LegacyError> {
    let params = Params::parse(query.as_deref());
    let id = params.first_of(&["trace_id", "traceID"]).1;
    if id.is_empty() {
        return Err(LegacyError::bad("parameter 'trace_id' is required"));
    }
    let id = named("trace_id", parse_trace_id(id)).map_err(LegacyError::bad)?;
    let limit = limit(&params).map_err(LegacyError::bad)?;
    let found = shared.run(move |store| store.logs(id, limit + 1)).await?;
    let mut logs = record::records(&found);
    let truncated = logs.len() > limit;
    logs.truncate(limit);
    let answer = Answer { trace_id: format_trace_id(id), logs, truncated };
    let mut response = if wants_page(&headers) {
        page::page(&answer).into_response()
    } else {
        reply::json(answer, params.pretty()).await
    };
    response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

fn limit(params: &Params) -> Result<usize, String> {
    let limit = match params.first("limit") {
        "" => return Ok(DEFAULT_LIMIT),
        text => named("limit", parse_int(text, 32))?,
    };
    usize::try_from(limit)
        .ok()
        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
        .ok_or_else(|| format!("unable to parse param 'limit': must be from 1 to {MAX_LIMIT}"))
}

/// Browsers name `text/html` first; everything else gets JSON.
fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let mut kinds = accept.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
    kinds.find(|kind| matches!(*kind, "text/html" | "application/json")) == Some("text/html")
}

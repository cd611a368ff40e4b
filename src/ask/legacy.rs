//! The legacy query API: `GET /api/services`, `/api/traces`, `/api/traces/{id}`; what Jaeger 1, and Jaeger 2 until early
//! 2026, serve. Times are microseconds.

use journey::Trace;
use serde::Deserialize;
use serde_json::json;
use url::form_urlencoded::Serializer;

use super::{Window, backend::Search};

/// What the server's names of services are asked for with.
pub(super) const SERVICES: &str = "/api/services";

/// Whether the body is an answer to [`SERVICES`], and not some page.
pub(super) fn speaks(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Services {
        // Present, and null when there is none.
        #[serde(rename = "data")]
        _data: serde_json::Value,
        #[serde(rename = "errors")]
        _errors: serde_json::Value,
    }
    serde_json::from_slice::<Services>(body).is_ok()
}

/// Path of one trace, as it was sent: no clock is adjusted.
pub(super) fn trace(id: &str) -> String {
    format!("/api/traces/{id}?raw=true")
}

/// Path of a search.
pub(super) fn search(search: &Search<'_>) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("service", search.service);
    if let Some(operation) = search.operation {
        query.append_pair("operation", operation);
    }
    if let Some((key, value)) = search.tag {
        query.append_pair("tags", &json!({ key: value }).to_string());
    }
    let Window { start_ns, end_ns } = search.window;
    query.append_pair("start", &(start_ns / 1_000).to_string());
    query.append_pair("end", &end_ns.div_ceil(1_000).to_string());
    query.append_pair("limit", &search.limit.to_string());
    query.append_pair("raw", "true");
    format!("/api/traces?{}", query.finish())
}

/// Reads an answer.
pub(super) fn parse(body: &[u8]) -> Result<Vec<Trace>, journey::Error> {
    journey::adapters::jaeger::parse(body)
}

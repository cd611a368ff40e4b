//! `/api/v3`: OTLP over HTTP, all that Jaeger 2 of today has. Parameters by their older names, which newer servers read,
//! too. The search of 2.13 and 2.14 ignores `query.attributes`.

use journey::Trace;
use serde::Deserialize;
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use url::form_urlencoded::Serializer;

use super::{Window, backend::Search};

/// What the server's names of services are asked for with.
pub(super) const SERVICES: &str = "/api/v3/services";

/// Whether the body is an answer to [`SERVICES`], and not some page. One without services may leave the key out.
pub(super) fn speaks(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Services {
        #[serde(default, rename = "services")]
        _services: Option<Vec<String>>,
    }
    serde_json::from_slice::<Services>(body).is_ok()
}

/// Path of one trace, as it was sent: no clock is adjusted.
pub(super) fn trace(id: &str) -> String {
    format!("/api/v3/traces/{id}?raw_traces=true")
}

/// Path of a search.
pub(super) fn search(search: &Search<'_>) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("query.service_name", search.service);
    if let Some(operation) = search.operation {
        query.append_pair("query.operation_name", operation);
    }
    if let Some((key, value)) = search.tag {
        query.append_pair("query.attributes", &json!({ key: value }).to_string());
    }
    let Window { start_ns, end_ns } = search.window;
    query.append_pair("query.start_time_min", &rfc3339(start_ns));
    query.append_pair("query.start_time_max", &rfc3339(end_ns));
    // The one name is that of 2.14 and before, the other the later one.
    query.append_pair("query.num_traces", &search.limit.to_string());
    query.append_pair("query.search_depth", &search.limit.to_string());
    query.append_pair("query.raw_traces", "true");
    format!("/api/v3/traces?{}", query.finish())
}

/// Reads an answer.
pub(super) fn parse(body: &[u8]) -> Result<Vec<Trace>, journey::Error> {
    journey::adapters::otlp::parse(body)
}

fn rfc3339(ns: u64) -> String {
    // Years beyond 9999 have no RFC 3339 form; u64 nanoseconds end in 2554.
    let time =
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(ns)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&Rfc3339).unwrap_or_default()
}

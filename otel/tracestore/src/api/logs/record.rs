//! One log record as it is shown.

use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs};
use serde::Serialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::jaeger::convert::{attributes_json, json_value, service_name};

/// A log record with where it came from.
#[derive(Debug, Serialize)]
pub(super) struct Record {
    /// RFC 3339, UTC; when it was observed if the record has no time of its own.
    pub(super) time: String,
    /// As the service wrote it, or the OTLP name of the number.
    pub(super) severity: String,
    /// OTLP severity, 1 (trace) to 24 (fatal); 0 when not given.
    pub(super) severity_number: i32,
    pub(super) body: Value,
    pub(super) service: String,
    /// The instrumentation scope: for logs of `tracing`, the target.
    pub(super) scope: String,
    pub(super) trace_id: String,
    pub(super) span_id: String,
    pub(super) attributes: Map<String, Value>,
    #[serde(skip)]
    time_ns: u64,
}

/// All records of `logs`, oldest first.
pub(super) fn records(logs: &[ResourceLogs]) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for resource in logs {
        let service = service_name(resource.resource.as_ref());
        for scope in &resource.scope_logs {
            let scope_name = scope.scope.as_ref().map_or("", |s| &s.name);
            records.extend(scope.log_records.iter().map(|log| record(log, service, scope_name)));
        }
    }
    records.sort_by_key(|record| record.time_ns);
    records
}

fn record(log: &LogRecord, service: &str, scope: &str) -> Record {
    let time_ns = if log.time_unix_nano == 0 { log.observed_time_unix_nano } else { log.time_unix_nano };
    let named = log.severity_text.is_empty();
    Record {
        time: rfc3339(time_ns),
        severity: if named {
            severity_name(log.severity_number).to_owned()
        } else {
            log.severity_text.clone()
        },
        severity_number: log.severity_number,
        body: log.body.as_ref().map_or(Value::Null, json_value),
        service: service.to_owned(),
        scope: scope.to_owned(),
        trace_id: hex::encode(&log.trace_id),
        span_id: hex::encode(&log.span_id),
        attributes: attributes_json(&log.attributes),
        time_ns,
    }
}

fn rfc3339(nanos: u64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanos)).ok();
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}

/// The short names of the log data model ("Displaying Severity").
fn severity_name(number: i32) -> &'static str {
    match number {
        1..=4 => "TRACE",
        5..=8 => "DEBUG",
        9..=12 => "INFO",
        13..=16 => "WARN",
        17..=20 => "ERROR",
        21..=24 => "FATAL",
        _ => "",
    }
}

//! Spans and log records in a form that can be compared: each with all that it came with.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

/// A span or a log record with all that it came with, fields in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Flat {
    /// Its name or body and the first attribute, for a reader.
    pub(crate) label: String,
    pub(crate) trace: Vec<u8>,
    /// The whole of it.
    pub(crate) item: Vec<u8>,
    pub(crate) scope: Vec<u8>,
    pub(crate) resource: Vec<u8>,
    pub(crate) schemas: (String, String),
}

/// Every span, sorted.
pub(crate) fn flat(requests: &[ExportTraceServiceRequest]) -> Vec<Flat> {
    let mut found = Vec::new();
    for resource in requests.iter().flat_map(|request| &request.resource_spans) {
        for scope in &resource.scope_spans {
            found.extend(scope.spans.iter().map(plain).map(|span| Flat {
                label: format!("{} {:?}", span.name, span.attributes.first().map(|one| &one.value)),
                item: span.encode_to_vec(),
                trace: span.trace_id,
                scope: scope.scope.clone().unwrap_or_default().encode_to_vec(),
                resource: resource.resource.clone().unwrap_or_default().encode_to_vec(),
                schemas: (resource.schema_url.clone(), scope.schema_url.clone()),
            }));
        }
    }
    found.sort();
    found
}

/// Every log record, sorted.
pub(crate) fn flat_logs(requests: &[ExportLogsServiceRequest]) -> Vec<Flat> {
    let mut found = Vec::new();
    for resource in requests.iter().flat_map(|request| &request.resource_logs) {
        for scope in &resource.scope_logs {
            found.extend(scope.log_records.iter().map(plain_record).map(|record| Flat {
                label: format!("{:?} {:?}", record.body, record.attributes.first()),
                item: record.encode_to_vec(),
                trace: record.trace_id,
                scope: scope.scope.clone().unwrap_or_default().encode_to_vec(),
                resource: resource.resource.clone().unwrap_or_default().encode_to_vec(),
                schemas: (resource.schema_url.clone(), scope.schema_url.clone()),
            }));
        }
    }
    found.sort();
    found
}

/// A span as every reader of OTLP must understand it: absent is empty is zeros. The official collector writes an empty
/// status and an empty value where there was none, and no id where there were zeros (`pdata/internal/generated_proto_span.go`).
fn plain(span: &Span) -> Span {
    let mut span = span.clone();
    span.status.get_or_insert_default();
    fill(&mut span.attributes);
    let links = span.links.iter_mut().flat_map(|link| [&mut link.trace_id, &mut link.span_id]);
    for id in links.chain([&mut span.trace_id, &mut span.span_id, &mut span.parent_span_id]) {
        clear(id);
    }
    span
}

/// The same of a log record.
fn plain_record(record: &LogRecord) -> LogRecord {
    let mut record = record.clone();
    record.body.get_or_insert_default();
    fill(&mut record.attributes);
    clear(&mut record.trace_id);
    clear(&mut record.span_id);
    record
}

fn fill(attributes: &mut [KeyValue]) {
    for attribute in attributes {
        attribute.value.get_or_insert_default();
    }
}

fn clear(id: &mut Vec<u8>) {
    if id.iter().all(|byte| *byte == 0) {
        id.clear();
    }
}

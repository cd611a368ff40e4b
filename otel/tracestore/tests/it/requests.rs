//! Export requests made by hand.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use tracestore::model::{Trace, TraceId};

/// The trace id with this number.
pub(crate) fn trace_id(n: u128) -> TraceId {
    TraceId(n.to_be_bytes())
}

pub(crate) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

/// A span of this trace; its id is `id`, it starts then and takes 1 ms.
pub(crate) fn span(trace: u128, id: u64, name: &str, start: u64) -> Span {
    Span {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        name: name.to_owned(),
        kind: 2,
        start_time_unix_nano: start,
        end_time_unix_nano: start.saturating_add(1_000_000),
        ..Default::default()
    }
}

/// Spans of one service and one scope.
pub(crate) fn group(service: &str, spans: Vec<Span>) -> ResourceSpans {
    ResourceSpans {
        resource: Some(Resource { attributes: vec![text("service.name", service)], ..Default::default() }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "tests".into(),
                version: "1".into(),
                ..Default::default()
            }),
            spans,
            schema_url: String::new(),
        }],
        schema_url: "https://opentelemetry.io/schemas/1.42.0".into(),
    }
}

pub(crate) fn request(resource_spans: Vec<ResourceSpans>) -> Bytes {
    ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
}

pub(crate) fn one(service: &str, span: Span) -> Bytes {
    request(vec![group(service, vec![span])])
}

/// One log record of a trace.
pub(crate) fn log(trace: &[u8], body: &str) -> Bytes {
    let record = LogRecord {
        time_unix_nano: 1,
        trace_id: trace.to_vec(),
        body: Some(AnyValue { value: Some(Value::StringValue(body.to_owned())) }),
        ..Default::default()
    };
    let scope_logs = vec![ScopeLogs { log_records: vec![record], ..Default::default() }];
    ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { scope_logs, ..Default::default() }] }
        .encode_to_vec()
        .into()
}

/// A trace's spans, sorted by id.
pub(crate) fn spans_of(trace: &Trace) -> Vec<Span> {
    let mut spans: Vec<Span> =
        trace.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans).cloned().collect();
    spans.sort_by(|a, b| a.span_id.cmp(&b.span_id));
    spans
}

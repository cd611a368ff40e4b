//! Short ways to write spans.

use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::Event};
use tracestore::model::{Trace, TraceId};

pub(crate) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

pub(crate) fn string(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

pub(crate) fn int(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

/// An attribute's value as text, strings and integers only.
pub(crate) fn text(attribute: &KeyValue) -> String {
    match attribute.value.as_ref().and_then(|v| v.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        _ => String::new(),
    }
}

pub(crate) fn kind_name(kind: i32) -> &'static str {
    ["", "internal", "server", "client", "producer", "consumer"][usize::try_from(kind).unwrap()]
}

/// A span of `trace` that lasts from `start` to `end` (Unix nanoseconds). `parent` 0 makes a root.
pub(crate) fn span(trace: u128, id: u64, parent: u64, name: &str, start: u64, end: u64) -> Span {
    Span {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id: if parent == 0 { vec![] } else { parent.to_be_bytes().to_vec() },
        name: name.into(),
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        ..Span::default()
    }
}

pub(crate) fn event(name: &str, time_unix_nano: u64, attributes: Vec<KeyValue>) -> Event {
    Event { time_unix_nano, name: name.into(), attributes, dropped_attributes_count: 0 }
}

pub(crate) fn failed(message: &str) -> Status {
    Status { message: message.into(), code: 2 }
}

/// Spans of one service.
pub(crate) fn of_service(service: &str, spans: Vec<Span>) -> ResourceSpans {
    let attributes =
        vec![string("service.name", service), string("service.instance.id", &format!("{service}-1"))];
    let scope = InstrumentationScope { name: "tests".into(), version: "1.0".into(), ..Default::default() };
    ResourceSpans {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans, schema_url: String::new() }],
        schema_url: String::new(),
    }
}

pub(crate) fn trace(id: u128, resource_spans: Vec<ResourceSpans>) -> Trace {
    Trace { id: TraceId(id.to_be_bytes()), resource_spans }
}

//! OTLP spans → Jaeger's model, by the mapping that the OpenTelemetry specification gives
//! ("OpenTelemetry to Jaeger Transformation") and the collector's translator implements.

use std::collections::HashMap;

use base64::Engine as _;
use opentelemetry_proto::tonic::common::v1::KeyValue as OtlpKeyValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span as OtlpSpan, Status};

use super::{KeyValue, Log, Process, Reference, ReferenceKind, Span, Trace, Value};
use crate::api::golang::format_time;
use crate::model::TraceId;
use crate::nested;

/// Service name shown for a resource that has none.
pub(crate) const MISSING_SERVICE: &str = "missing-service-name";
/// Service name shown for a resource whose `service.name` is empty.
pub(crate) const EMPTY_SERVICE: &str = "empty-service-name";
/// Service name shown for a resource whose `service.name` is not a string.
pub(crate) const WRONG_TYPE_SERVICE: &str = "service-name-wrong-type";

/// All spans of `resource_spans` as one trace, in the order received. Equal processes are one.
pub(crate) fn trace(resource_spans: &[ResourceSpans]) -> Trace {
    let mut processes = Interner::default();
    let mut spans = Vec::new();
    for resource in resource_spans {
        let process = processes.intern(process(resource.resource.as_ref()));
        for scope in &resource.scope_spans {
            spans.extend(scope.spans.iter().map(|span| convert_span(span, scope.scope.as_ref(), process)));
        }
    }
    Trace { spans, processes: processes.list }
}

/// Groups the spans by trace id in the order in which the ids first appear.
pub(crate) fn traces(resource_spans: &[ResourceSpans]) -> Vec<Trace> {
    let all = trace(resource_spans);
    let mut order: Vec<TraceId> = Vec::new();
    let mut groups: HashMap<TraceId, Vec<Span>> = HashMap::new();
    for span in all.spans {
        let group = groups.entry(span.trace_id).or_default();
        if group.is_empty() {
            order.push(span.trace_id);
        }
        group.push(span);
    }
    let grouped = order.into_iter().filter_map(|id| groups.remove(&id));
    grouped.map(|spans| Trace { spans, processes: all.processes.clone() }).collect()
}

/// Gives equal processes one index.
#[derive(Default)]
pub(crate) struct Interner {
    list: Vec<Process>,
    index: HashMap<Process, usize>,
}

impl Interner {
    pub(crate) fn new(list: Vec<Process>) -> Self {
        let index = list.iter().cloned().enumerate().map(|(at, process)| (process, at)).collect();
        Self { list, index }
    }

    pub(crate) fn intern(&mut self, process: Process) -> usize {
        if let Some(at) = self.index.get(&process) {
            return *at;
        }
        self.list.push(process.clone());
        self.index.insert(process, self.list.len() - 1);
        self.list.len() - 1
    }

    pub(crate) fn get(&self, at: usize) -> Option<&Process> {
        self.list.get(at)
    }

    pub(crate) fn into_list(self) -> Vec<Process> {
        self.list
    }
}

/// The name under which the spans of a resource are listed.
pub(crate) fn service_name(resource: Option<&Resource>) -> &str {
    let attributes = resource.map(|r| r.attributes.as_slice()).unwrap_or_default();
    let named = attributes.iter().find(|a| a.key == "service.name");
    match named.map(|a| a.value.as_ref().and_then(|v| v.value.as_ref())) {
        None => MISSING_SERVICE,
        Some(Some(any_value::Value::StringValue(name))) if name.is_empty() => EMPTY_SERVICE,
        Some(Some(any_value::Value::StringValue(name))) => name,
        Some(_) => WRONG_TYPE_SERVICE,
    }
}

fn process(resource: Option<&Resource>) -> Process {
    let attributes = resource.map(|r| r.attributes.as_slice()).unwrap_or_default();
    let tags = attributes.iter().filter(|a| a.key != "service.name").map(tag).collect();
    Process { service: service_name(resource).to_owned(), tags }
}

fn convert_span(span: &OtlpSpan, scope: Option<&InstrumentationScope>, process: usize) -> Span {
    let trace_id = trace_id(&span.trace_id);
    Span {
        trace_id,
        span_id: span_id(&span.span_id),
        operation: span.name.clone(),
        references: references(span, trace_id),
        start_ns: span.start_time_unix_nano,
        duration_ns: sane_end(span).saturating_sub(span.start_time_unix_nano),
        tags: span_tags(span, scope),
        logs: span.events.iter().map(log).collect(),
        process,
        warnings: backwards(span).into_iter().collect(),
    }
}

/// When the span ended: a nanosecond after its start when it says that it ended before.
pub(crate) fn sane_end(span: &OtlpSpan) -> u64 {
    let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
    if end < start { start.saturating_add(1) } else { end }
}

/// The warning for a span that says that it ended before it started.
pub(crate) fn backwards(span: &OtlpSpan) -> Option<String> {
    let (said, sane) = (span.end_time_unix_nano, sane_end(span));
    (said < span.start_time_unix_nano).then(|| {
        format!(
            "Negative duration detected, sanitizing end timestamp. Original end timestamp: {}, adjusted to: {}",
            format_time(said),
            format_time(sane)
        )
    })
}

/// The parent first, then the links. A parent that is also linked to stands there once, as the kind that the link says.
fn references(span: &OtlpSpan, trace_id: TraceId) -> Vec<Reference> {
    let id = span_id(&span.parent_span_id);
    let mut references = Vec::with_capacity(span.links.len() + 1);
    if id != 0 {
        references.push(Reference { kind: ReferenceKind::ChildOf, trace_id, span_id: id });
    }
    for link in span.links.iter().map(link) {
        match references.first_mut() {
            Some(parent) if id != 0 && (link.trace_id, link.span_id) == (trace_id, id) => {
                parent.kind = link.kind
            }
            _ => references.push(link),
        }
    }
    references
}

fn link(link: &Link) -> Reference {
    let child_of = link.attributes.iter().any(|a| {
        let text = a.value.as_ref().and_then(|v| v.value.as_ref());
        a.key == "opentracing.ref_type"
            && matches!(text, Some(any_value::Value::StringValue(t)) if t == "child_of")
    });
    Reference {
        kind: if child_of { ReferenceKind::ChildOf } else { ReferenceKind::FollowsFrom },
        trace_id: self::trace_id(&link.trace_id),
        span_id: span_id(&link.span_id),
    }
}

fn span_tags(span: &OtlpSpan, scope: Option<&InstrumentationScope>) -> Vec<KeyValue> {
    let mut tags = Vec::with_capacity(span.attributes.len() + 6);
    let mut push = |key: &str, value: &str| {
        if !value.is_empty() {
            tags.push(KeyValue::text(key, value));
        }
    };
    push("otel.scope.name", scope.map_or("", |s| &s.name));
    push("otel.scope.version", scope.map_or("", |s| &s.version));
    tags.extend(span.attributes.iter().map(tag));
    let mut push = |key: &str, value: &str| {
        if !value.is_empty() {
            tags.push(KeyValue::text(key, value));
        }
    };
    push("span.kind", kind_name(span.kind));
    push("w3c.tracestate", &span.trace_state);
    if let Some(status) = &span.status {
        push_status(&mut tags, status);
    }
    tags
}

fn push_status(tags: &mut Vec<KeyValue>, status: &Status) {
    match StatusCode::try_from(status.code) {
        Ok(StatusCode::Error) => {
            tags.push(KeyValue::text("otel.status_code", "ERROR"));
            tags.push(KeyValue { key: "error".to_owned(), value: Value::Bool(true) });
        }
        Ok(StatusCode::Ok) => tags.push(KeyValue::text("otel.status_code", "OK")),
        _ => {}
    }
    if !status.message.is_empty() {
        tags.push(KeyValue::text("otel.status_description", &status.message));
    }
}

/// Jaeger's word for an OTLP span kind; empty when unspecified or unknown.
pub(crate) fn kind_name(kind: i32) -> &'static str {
    match SpanKind::try_from(kind) {
        Ok(SpanKind::Internal) => "internal",
        Ok(SpanKind::Server) => "server",
        Ok(SpanKind::Client) => "client",
        Ok(SpanKind::Producer) => "producer",
        Ok(SpanKind::Consumer) => "consumer",
        _ => "",
    }
}

fn log(event: &Event) -> Log {
    let has_event = event.attributes.iter().any(|a| a.key == "event");
    let name = (!event.name.is_empty() && !has_event).then(|| KeyValue::text("event", &event.name));
    Log {
        time_ns: event.time_unix_nano,
        fields: name.into_iter().chain(event.attributes.iter().map(tag)).collect(),
    }
}

fn tag(attribute: &OtlpKeyValue) -> KeyValue {
    let value = match attribute.value.as_ref().and_then(|v| v.value.as_ref()) {
        None => Value::Text(String::new()),
        Some(any_value::Value::StringValue(v)) => Value::Text(v.clone()),
        Some(any_value::Value::BoolValue(v)) => Value::Bool(*v),
        Some(any_value::Value::IntValue(v)) => Value::Int(*v),
        Some(any_value::Value::DoubleValue(v)) => Value::Float(*v),
        Some(any_value::Value::BytesValue(v)) => Value::Binary(v.clone()),
        // Meant for profiles only; elsewhere the specification says to treat it as absent.
        Some(any_value::Value::StringValueStrindex(_)) => Value::Text(String::new()),
        Some(any_value::Value::ArrayValue(_) | any_value::Value::KvlistValue(_)) => {
            let mut text = String::new();
            attribute.value.iter().for_each(|value| nested::push_json(&mut text, value));
            Value::Text(text)
        }
    };
    KeyValue { key: attribute.key.clone(), value }
}

/// An attribute value as plain JSON: bytes in base64, what JSON cannot hold as text.
pub(crate) fn json_value(value: &AnyValue) -> serde_json::Value {
    use serde_json::Value as Json;
    match &value.value {
        None | Some(any_value::Value::StringValueStrindex(_)) => Json::Null,
        Some(any_value::Value::StringValue(v)) => Json::String(v.clone()),
        Some(any_value::Value::BoolValue(v)) => Json::Bool(*v),
        Some(any_value::Value::IntValue(v)) => Json::from(*v),
        Some(any_value::Value::DoubleValue(v)) => {
            serde_json::Number::from_f64(*v).map_or_else(|| Json::String(float_text(*v)), Json::Number)
        }
        Some(any_value::Value::BytesValue(v)) => {
            Json::String(base64::engine::general_purpose::STANDARD.encode(v))
        }
        Some(any_value::Value::ArrayValue(v)) => v.values.iter().map(json_value).collect(),
        Some(any_value::Value::KvlistValue(v)) => Json::Object(attributes_json(&v.values)),
    }
}

/// Attributes as a JSON object; of equal keys the last one wins.
pub(crate) fn attributes_json(attributes: &[OtlpKeyValue]) -> serde_json::Map<String, serde_json::Value> {
    attributes
        .iter()
        .map(|a| (a.key.clone(), a.value.as_ref().map_or(serde_json::Value::Null, json_value)))
        .collect()
}

/// The text of a number that JSON has no form for.
pub(crate) fn float_text(value: f64) -> String {
    match value {
        v if v.is_nan() => "NaN".to_owned(),
        v if v == f64::INFINITY => "Infinity".to_owned(),
        v if v == f64::NEG_INFINITY => "-Infinity".to_owned(),
        v => v.to_string(),
    }
}

/// An id of the wrong length is read as zero, which no valid id is.
fn trace_id(bytes: &[u8]) -> TraceId {
    TraceId(bytes.try_into().unwrap_or_default())
}

fn span_id(bytes: &[u8]) -> u64 {
    bytes.try_into().map(u64::from_be_bytes).unwrap_or_default()
}

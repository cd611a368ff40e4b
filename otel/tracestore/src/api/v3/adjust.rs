//! What a trace in OTLP form goes through before it is answered, as in Jaeger's query service.

use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};

use crate::jaeger::adjust::{IP_KEYS, SDK_KEYS, clock_skew, packed_address};
use crate::jaeger::{self, convert};

/// Attribute that holds what Jaeger has to say about a span.
const WARNINGS: &str = "@jaeger@warnings";

/// What Jaeger does when it takes spans: every resource gets a service name, no span ends before it starts.
pub(super) fn sanitize(resource_spans: &mut [ResourceSpans]) {
    for owner in resource_spans {
        let name = convert::service_name(owner.resource.as_ref()).to_owned();
        let resource = owner.resource.get_or_insert_default();
        put(&mut resource.attributes, "service.name", Value::StringValue(name));
        for span in spans(owner) {
            if let Some(warning) = convert::backwards(span) {
                span.end_time_unix_nano = convert::sane_end(span);
                warn(span, &[warning]);
            }
        }
    }
}

/// What Jaeger does when it is asked, unless for raw traces.
pub(super) fn standard(resource_spans: &mut [ResourceSpans], max_skew: Duration) {
    correct_clocks(resource_spans, max_skew);
    for owner in resource_spans {
        let mut resource = owner.resource.take().unwrap_or_default();
        for span in spans(owner) {
            write_addresses(&mut span.attributes);
            move_sdk_attributes(span, &mut resource);
            drop_empty_links(span);
            sort(span);
        }
        write_addresses(&mut resource.attributes);
        sort_attributes(&mut resource.attributes);
        owner.resource = Some(resource);
    }
}

fn spans(owner: &mut ResourceSpans) -> impl Iterator<Item = &mut Span> {
    owner.scope_spans.iter_mut().flat_map(|scope| &mut scope.spans)
}

/// The rule is that of the legacy API; its verdict is carried over span by span.
fn correct_clocks(resource_spans: &mut [ResourceSpans], max_skew: Duration) {
    let mut trace = convert::trace(resource_spans);
    trace.spans.iter_mut().for_each(|span| span.warnings.clear());
    clock_skew::correct(&mut trace, max_skew, |id| {
        format!("parent span ID={id} is not in the trace; skipping clock skew adjustment")
    });
    let all = resource_spans.iter_mut().flat_map(spans);
    for (span, judged) in all.zip(&trace.spans) {
        shift(span, judged);
        warn(span, &judged.warnings);
    }
}

fn shift(span: &mut Span, judged: &jaeger::Span) {
    if span.start_time_unix_nano == judged.start_ns {
        return;
    }
    span.start_time_unix_nano = judged.start_ns;
    span.end_time_unix_nano = judged.start_ns.saturating_add(judged.duration_ns);
    for (event, log) in span.events.iter_mut().zip(&judged.logs) {
        event.time_unix_nano = log.time_ns;
    }
}

fn write_addresses(attributes: &mut [KeyValue]) {
    for attribute in attributes.iter_mut().filter(|a| IP_KEYS.contains(&a.key.as_str())) {
        let number = match attribute.value.as_ref().and_then(|v| v.value.as_ref()) {
            Some(Value::IntValue(v)) => jaeger::Value::Int(*v),
            Some(Value::DoubleValue(v)) => jaeger::Value::Float(*v),
            _ => continue,
        };
        let address = packed_address(&number).map(|address| Value::StringValue(address.to_string()));
        attribute.value = Some(AnyValue { value: address });
    }
}

/// Attributes about the SDK belong to the resource; one that says otherwise stays, with a warning.
fn move_sdk_attributes(span: &mut Span, resource: &mut Resource) {
    let mut conflicts = Vec::new();
    span.attributes.retain(|attribute| {
        if !SDK_KEYS.contains(&attribute.key.as_str()) {
            return true;
        }
        match resource.attributes.iter().find(|own| own.key == attribute.key) {
            Some(own) if own.value != attribute.value => {
                let key = &attribute.key;
                conflicts.push(format!("conflicting values between Span and Resource for attribute {key}"));
                true
            }
            Some(_) => false,
            None => {
                resource.attributes.push(attribute.clone());
                false
            }
        }
    });
    warn(span, &conflicts);
}

fn drop_empty_links(span: &mut Span) {
    let before = span.links.len();
    span.links.retain(|link| link.trace_id.iter().any(|byte| *byte != 0));
    let dropped = before - span.links.len();
    warn(span, &vec!["Invalid span link removed".to_owned(); dropped]);
}

fn sort(span: &mut Span) {
    sort_attributes(&mut span.attributes);
    span.events.sort_by(|a, b| a.name.cmp(&b.name));
    span.events.iter_mut().for_each(|event| sort_attributes(&mut event.attributes));
    span.links.iter_mut().for_each(|link| sort_attributes(&mut link.attributes));
}

fn sort_attributes(attributes: &mut [KeyValue]) {
    attributes.sort_by(|a, b| a.key.cmp(&b.key));
}

fn warn(span: &mut Span, warnings: &[String]) {
    if warnings.is_empty() {
        return;
    }
    let added = warnings.iter().map(|text| AnyValue { value: Some(Value::StringValue(text.clone())) });
    let own = span.attributes.iter_mut().find(|a| a.key == WARNINGS);
    match own.and_then(|a| a.value.as_mut()).and_then(|v| v.value.as_mut()) {
        Some(Value::ArrayValue(list)) => list.values.extend(added),
        _ => {
            let list = ArrayValue { values: added.collect() };
            put(&mut span.attributes, WARNINGS, Value::ArrayValue(list));
        }
    }
}

/// Sets an attribute, in place where there is one.
fn put(attributes: &mut Vec<KeyValue>, key: &str, value: Value) {
    let value = Some(AnyValue { value: Some(value) });
    match attributes.iter_mut().find(|a| a.key == key) {
        Some(attribute) => attribute.value = value,
        None => attributes.push(KeyValue { key: key.to_owned(), value, ..KeyValue::default() }),
    }
}

//! What a trace in OTLP form goes through before it is answered, as in Jaeger's query service.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

use crate::jaeger::adjust::{IP_KEYS, SDK_KEYS, clock_skew, packed_address};
use crate::jaeger::{self, convert};

/// Attribute that holds what Jaeger has to say about a span.
const WARNINGS: &str = "@jaeger@warnings";

/// What Jaeger does when it takes spans: every resource gets a service name, no span ends before it starts.
pub(super) fn sanitize(resource_spans: &mut [ResourceSpans]) {
    for owner in resource_spans {
        say_empty(owner);
        let name = convert::service_name(owner.resource.as_ref()).to_owned();
        let resource = owner.resource.get_or_insert_default();
        put(&mut resource.attributes, "service.name", Value::StringValue(name));
        for span in spans(owner) {
            without_zero_ids(span);
            if let Some(warning) = convert::backwards(span) {
                span.end_time_unix_nano = convert::sane_end(span);
                warn(span, &[warning]);
            }
        }
    }
}

/// What Jaeger does when it is asked, unless for raw traces.
pub(super) fn standard(resource_spans: &mut [ResourceSpans], max_skew: Duration) {
    give_servers_their_own_ids(resource_spans);
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

/// Attributes without a value have an empty one.
fn say_empty(owner: &mut ResourceSpans) {
    let fill = |attributes: &mut Vec<KeyValue>| {
        for attribute in attributes {
            attribute.value.get_or_insert_default();
        }
    };
    owner.resource.iter_mut().for_each(|resource| fill(&mut resource.attributes));
    for scope in &mut owner.scope_spans {
        scope.scope.iter_mut().for_each(|scope| fill(&mut scope.attributes));
        for span in &mut scope.spans {
            fill(&mut span.attributes);
            span.events.iter_mut().for_each(|event| fill(&mut event.attributes));
            span.links.iter_mut().for_each(|link| fill(&mut link.attributes));
        }
    }
}

fn spans(owner: &mut ResourceSpans) -> impl Iterator<Item = &mut Span> {
    owner.scope_spans.iter_mut().flat_map(|scope| &mut scope.spans)
}

/// The rule is that of the legacy API; its verdict is carried over span by span.
fn correct_clocks(resource_spans: &mut [ResourceSpans], max_skew: Duration) {
    let bare: Vec<ResourceSpans> = resource_spans.iter().map(bare).collect();
    let mut trace = convert::trace(&bare);
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

/// What this API judges clocks by: times, parents but not links, and the host that the resource names.
fn bare(owner: &ResourceSpans) -> ResourceSpans {
    let span = |span: &Span| Span {
        trace_id: span.trace_id.clone(),
        span_id: span.span_id.clone(),
        parent_span_id: span.parent_span_id.clone(),
        start_time_unix_nano: span.start_time_unix_nano,
        end_time_unix_nano: span.end_time_unix_nano,
        events: span
            .events
            .iter()
            .map(|event| Event { time_unix_nano: event.time_unix_nano, ..Event::default() })
            .collect(),
        ..Span::default()
    };
    let mut resource = Resource::default();
    put(&mut resource.attributes, "ip", Value::StringValue(host_key(owner.resource.as_ref())));
    let scope_spans = owner
        .scope_spans
        .iter()
        .map(|scope| ScopeSpans { spans: scope.spans.iter().map(span).collect(), ..ScopeSpans::default() });
    ResourceSpans { resource: Some(resource), scope_spans: scope_spans.collect(), ..ResourceSpans::default() }
}

/// What tells two hosts apart: `host.id`, else `host.ip`, else `host.name`, where it is text.
fn host_key(resource: Option<&Resource>) -> String {
    let attribute = |key: &str| {
        let found = resource?.attributes.iter().find(|attribute| attribute.key == key)?;
        Some(found.value.as_ref().and_then(|value| value.value.as_ref()))
    };
    let text = |value: Option<&Value>| match value {
        Some(Value::StringValue(text)) => text.clone(),
        _ => String::new(),
    };
    if let Some(id) = attribute("host.id") {
        return text(id);
    }
    match attribute("host.ip") {
        Some(Some(Value::StringValue(ip))) => return ip.clone(),
        Some(Some(Value::ArrayValue(list))) => {
            if let Some(first) = list.values.first() {
                return text(first.value.as_ref());
            }
        }
        _ => {}
    }
    attribute("host.name").map(text).unwrap_or_default()
}

/// Gives each server span that shares its id with a client span a free id, as Zipkin's have; the shared id becomes its
/// parent and its children follow it.
fn give_servers_their_own_ids(resource_spans: &mut [ResourceSpans]) {
    let mut taken: HashSet<Vec<u8>> = HashSet::new();
    let mut clients: HashSet<Vec<u8>> = HashSet::new();
    for span in resource_spans.iter_mut().flat_map(spans) {
        taken.insert(span.span_id.clone());
        if span.kind() == SpanKind::Client {
            clients.insert(span.span_id.clone());
        }
    }
    let mut next: u64 = 0;
    let mut renamed: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    for span in resource_spans.iter_mut().flat_map(spans) {
        if span.kind() != SpanKind::Server || !clients.contains(&span.span_id) {
            continue;
        }
        // Ends: a trace holds fewer spans than there are ids.
        next += 1;
        while !taken.insert(next.to_be_bytes().to_vec()) {
            next += 1;
        }
        span.parent_span_id = std::mem::replace(&mut span.span_id, next.to_be_bytes().to_vec());
        renamed.insert(span.parent_span_id.clone(), span.span_id.clone());
    }
    for span in resource_spans.iter_mut().flat_map(spans).filter(|_| !renamed.is_empty()) {
        if let Some(id) = renamed.get(&span.parent_span_id).filter(|id| **id != span.span_id) {
            span.parent_span_id.clone_from(id);
        }
    }
}

/// Ids of zeros only are none.
fn without_zero_ids(span: &mut Span) {
    let ids = span.links.iter_mut().flat_map(|link| [&mut link.trace_id, &mut link.span_id]);
    for id in ids.chain([&mut span.parent_span_id]) {
        if id.iter().all(|byte| *byte == 0) {
            id.clear();
        }
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

//! Requests made up at random, with every type of attribute.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::trace::v1::{Span, Status, span::Event, span::Link};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::rig::spans;

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        ".{0,12}".prop_map(Value::StringValue),
        any::<bool>().prop_map(Value::BoolValue),
        any::<i64>().prop_map(Value::IntValue),
        (-1e300..1e300).prop_map(Value::DoubleValue),
        vec(any::<u8>(), 0..8).prop_map(Value::BytesValue),
    ]
    .prop_map(|value| AnyValue { value: Some(value) });
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(|values| Value::ArrayValue(ArrayValue { values })),
            vec(("[a-z.]{0,6}", inner), 0..3).prop_map(|pairs| {
                let pair = |(key, value)| KeyValue { key, value: Some(value), ..Default::default() };
                Value::KvlistValue(KeyValueList { values: pairs.into_iter().map(pair).collect() })
            }),
        ]
        .prop_map(|value| AnyValue { value: Some(value) })
    })
}

pub(crate) fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let pair = |(key, value)| KeyValue { key, value: Some(value), ..Default::default() };
    vec(("[a-z.]{1,8}", any_value()).prop_map(pair), 0..4)
}

fn a_span() -> impl Strategy<Value = Span> {
    let ids = (1..u128::MAX, 1..u64::MAX, proptest::option::of(1..u64::MAX));
    let rest = (".{0,20}", 0..6_i32, any::<u64>(), any::<u64>(), any::<u32>(), attributes(), attributes());
    (ids, rest).prop_map(|((trace, span, parent), (name, kind, start, end, flags, attributes, more))| Span {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: span.to_be_bytes().to_vec(),
        parent_span_id: parent.map(|id| id.to_be_bytes().to_vec()).unwrap_or_default(),
        events: vec![Event {
            name: name.clone(),
            time_unix_nano: start,
            attributes: more,
            ..Default::default()
        }],
        links: vec![Link { trace_id: vec![7; 16], span_id: vec![8; 8], flags, ..Default::default() }],
        status: Some(Status { code: kind % 3, message: name.clone() }),
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        dropped_events_count: flags,
        name,
        kind,
        flags,
        attributes,
        ..Default::default()
    })
}

pub(crate) fn traces() -> impl Strategy<Value = ExportTraceServiceRequest> {
    vec(vec(vec(a_span(), 0..5), 0..3), 0..3).prop_map(|resources| {
        let mut request = ExportTraceServiceRequest::default();
        for scopes in resources {
            let mut resource = spans([]).resource_spans.remove(0);
            let scope = resource.scope_spans.remove(0);
            resource.scope_spans = scopes
                .into_iter()
                .map(|spans| opentelemetry_proto::tonic::trace::v1::ScopeSpans { spans, ..scope.clone() })
                .collect();
            request.resource_spans.push(resource);
        }
        request
    })
}

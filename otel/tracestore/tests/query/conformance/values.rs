//! Generated attributes: every type of value under keys plain and meaningful.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Keys, among them those that Jaeger gives a meaning.
const KEYS: [&str; 24] = [
    "order.id",
    "order.amount",
    "http.response.status_code",
    "ключ",
    "",
    "with space",
    "with:colon",
    "error.type",
    "error",
    "span.kind",
    "ip",
    "peer.ipv4",
    "host.name",
    "host.id",
    "host.ip",
    "otel.scope.name",
    "otel.status_code",
    "otel.status_description",
    "w3c.tracestate",
    "event",
    "message",
    "service.name",
    "internal.span.format",
    "level",
];

/// One attribute of any key.
pub(super) fn pair() -> impl Strategy<Value = KeyValue> {
    (select(&KEYS[..]), option::weighted(0.97, value())).prop_map(|(key, value)| KeyValue {
        key: key.into(),
        value,
        ..KeyValue::default()
    })
}

fn value() -> impl Strategy<Value = AnyValue> {
    let leaf = leaf().prop_map(|value| AnyValue { value: Some(value) });
    leaf.prop_recursive(3, 6, 3, |inner| {
        let list = vec(inner.clone(), 0..3).prop_map(|values| Any::ArrayValue(ArrayValue { values }));
        let pairs = vec((select(&["a", "b", "ü", ""][..]), inner), 0..3).prop_map(|pairs| {
            let pairs = pairs.into_iter().map(|(key, value)| KeyValue {
                key: key.into(),
                value: Some(value),
                ..KeyValue::default()
            });
            Any::KvlistValue(KeyValueList { values: unique(pairs.collect()) })
        });
        prop_oneof![list, pairs].prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn leaf() -> impl Strategy<Value = Any> {
    let texts =
        ["", "o-1", "o-2", "true", "-5", "naïve 🍕", "<b>\"q\"</b>&\\", "a:b", "OK", "server", "a\nb\u{0}"];
    let ints = [0, 1, -5, 200, 0x0808_0404, 9_007_199_254_740_991, 9_007_199_254_740_992, i64::MAX, i64::MIN];
    let floats = [0.0, -0.0, 72.5, 1e300, 1e-7, 1e20, 1e21, 123_456_789.0, -2.5e-9, 0.1, f64::MAX];
    prop_oneof![
        8 => select(texts.to_vec()).prop_map(|text| Any::StringValue(text.into())),
        2 => any::<bool>().prop_map(Any::BoolValue),
        5 => select(ints.to_vec()).prop_map(Any::IntValue),
        3 => select(floats.to_vec()).prop_map(Any::DoubleValue),
        1 => select(vec![vec![], vec![0, 255], b"bytes".to_vec()]).prop_map(Any::BytesValue),
    ]
}

/// OTLP forbids two attributes of one key.
pub(super) fn unique(mut attributes: Vec<KeyValue>) -> Vec<KeyValue> {
    let mut seen = std::collections::BTreeSet::new();
    attributes.retain(|attribute| seen.insert(attribute.key.clone()));
    attributes
}

/// A value as a search writes it, near enough: what it misses is asked for in vain, of both.
pub(super) fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Any::StringValue(text)) => text.clone(),
        Some(Any::BoolValue(value)) => value.to_string(),
        Some(Any::IntValue(value)) => value.to_string(),
        Some(Any::DoubleValue(value)) => serde_json::json!(value).to_string(),
        Some(Any::ArrayValue(list)) if list.values.is_empty() => "[]".into(),
        Some(Any::ArrayValue(list)) if list.values.len() == 1 => format!("[{}]", text(list.values.first())),
        Some(Any::KvlistValue(pairs)) if pairs.values.is_empty() => "{}".into(),
        _ => String::new(),
    }
}

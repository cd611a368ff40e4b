//! The one way in which two answers are compared.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::peer::Answer;

/// One place where the answers differ.
#[derive(Debug, Clone)]
pub(super) struct Difference {
    /// Path without positions: differences of one cause have one.
    pub(super) place: String,
    /// Path, Jaeger's value, ours.
    pub(super) text: String,
}

/// Every place where the answers to `target` differ.
pub(super) fn compare(target: &str, theirs: Answer, ours: Answer) -> Vec<Difference> {
    let mut found = Vec::new();
    if theirs.status != ours.status {
        put(&mut found, "status", theirs.status.to_string(), ours.status.to_string());
    }
    let plain = |body| match numbers(body) {
        body if target.starts_with("/api/v3") => plain_v3(body),
        body => plain_legacy(target, body),
    };
    differ("", &plain(theirs.body), &plain(ours.body), &mut found);
    found
}

fn put(found: &mut Vec<Difference>, path: &str, theirs: String, ours: String) {
    let mut place = String::new();
    let mut depth = false;
    for c in path.chars() {
        depth |= c == '[';
        if !depth {
            place.push(c);
        }
        depth &= c != ']';
    }
    found.push(Difference { place, text: format!("{path}: {theirs} / {ours}") });
}

fn differ(path: &str, theirs: &Value, ours: &Value, found: &mut Vec<Difference>) {
    match (theirs, ours) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
                differ(&format!("{path}.{key}"), &of(a), &of(b), found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (at, (x, y)) in a.iter().zip(b).enumerate() {
                differ(&format!("{path}[{at}]"), x, y, found);
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            let only = |x: &[Value], y: &[Value]| {
                let extra: Vec<&Value> = x.iter().filter(|v| !y.contains(v)).collect();
                format!("{} with {}", x.len(), short(&json!(extra)))
            };
            put(found, &format!("{path}.length"), only(a, b), only(b, a));
        }
        (a, b) if a == b => {}
        (a, b) => put(found, path, short(a), short(b)),
    }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(700).collect()
}

/// Without what is free in the legacy API: the order of traces, spans and tags, and the names of processes. A span that
/// was sent twice is one here (`docs/conformance.md`), as are calls of a service to itself none.
fn plain_legacy(target: &str, mut body: Value) -> Value {
    let dependencies = target.starts_with("/api/dependencies");
    if let Some(Value::Array(items)) = body.get_mut("data") {
        items.retain(|link| !dependencies || link["parent"] != link["child"]);
        for trace in items.iter_mut().filter(|item| item["spans"].is_array()) {
            plain_trace(trace);
        }
        sort(items);
    }
    body
}

fn plain_trace(trace: &mut Value) {
    let processes = trace["processes"].take();
    let Value::Array(spans) = &mut trace["spans"] else { return };
    for span in &mut *spans {
        plain_warnings(span);
        let name = span["processID"].as_str().unwrap_or_default();
        let mut process = processes[name].clone();
        sort_field(&mut process, "tags");
        span["processID"] = process;
        sort_field(span, "tags");
    }
    sort(spans);
    spans.dedup();
}

/// Without the internals of Go's protobuf structures that one of Jaeger's warnings prints.
fn plain_warnings(span: &mut Value) {
    for warning in span["warnings"].as_array_mut().into_iter().flatten() {
        let text = warning.as_str().unwrap_or_default();
        *warning = text.replace(" XXX_NoUnkeyedLiteral:{} XXX_unrecognized:[] XXX_sizecache:0", "").into();
    }
}

/// Without what is free in `/api/v3`: the order and grouping of spans, the order of attributes, fields that hold their
/// type's zero.
fn plain_v3(mut body: Value) -> Value {
    if let Some(Value::Array(owners)) = body.pointer_mut("/result/resourceSpans").map(Value::take) {
        let mut spans: Vec<Value> = owners.iter().flat_map(of_owner).map(plain).collect();
        sort(&mut spans);
        spans.dedup();
        return json!({ "spans": spans });
    }
    plain(body)
}

/// Each span with its resource and scope.
fn of_owner(owner: &Value) -> Vec<Value> {
    let scopes = owner["scopeSpans"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut all = Vec::new();
    for scope in scopes {
        for span in scope["spans"].as_array().into_iter().flatten() {
            all.push(json!({"resource": owner["resource"], "resourceSchema": owner["schemaUrl"],
                "scope": scope["scope"], "scopeSchema": scope["schemaUrl"], "span": span}));
        }
    }
    all
}

/// 5.0 and 5 are one number in JSON.
fn numbers(value: Value) -> Value {
    match value {
        Value::Object(map) => map.into_iter().map(|(k, v)| (k, numbers(v))).collect(),
        Value::Array(items) => items.into_iter().map(numbers).collect(),
        #[expect(clippy::cast_possible_truncation, reason = "whole and small enough")]
        Value::Number(n) => match n.as_f64().filter(|f| n.is_f64() && f.fract() == 0.0 && f.abs() < 1e15) {
            Some(whole) => json!(whole as i64),
            None => Value::Number(n),
        },
        other => other,
    }
}

fn plain(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let zero = |v: &Value| {
                v.as_f64() == Some(0.0)
                    || *v == json!("")
                    || *v == json!([])
                    || v.is_null()
                    || *v == json!({})
            };
            // A value may be zero and say so.
            let kept = map.into_iter().map(|(k, v)| (k, plain(v))).filter(|(k, v)| k == "value" || !zero(v));
            let mut sorted: BTreeMap<String, Value> = kept.collect();
            for key in ["attributes", "services", "operations"] {
                if let Some(Value::Array(items)) = sorted.get_mut(key) {
                    sort(items);
                }
            }
            Value::Object(sorted.into_iter().collect())
        }
        Value::Array(items) => items.into_iter().map(plain).collect(),
        other => other,
    }
}

fn sort_field(value: &mut Value, key: &str) {
    if let Some(Value::Array(items)) = value.get_mut(key) {
        sort(items);
    }
}

/// By what names an item, so that two lists that differ in little stand side by side.
fn sort(items: &mut [Value]) {
    let name = |v: &Value, key: &str| v[key].as_str().unwrap_or_default().to_owned();
    items.sort_by_cached_key(|v| {
        let span = &v["span"];
        let keys = ["traceID", "spanID", "operationName", "key", "name"].map(|key| name(v, key)).join("\0");
        format!("{keys}\0{}\0{}\0{v}", name(span, "traceId"), name(span, "spanId"))
    });
}

//! OTLP JSON, as Jaeger's `/api/v3` answers: one or several `{"result":{"resourceSpans":[…]}}` objects, one after another.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::{Deserializer, Value};

use super::jaeger::padded;
use crate::{Error, Kind, Link, Span, Trace};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk {
    #[serde(default)]
    result: Option<Spans>,
    #[serde(default)]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spans {
    #[serde(default)]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans {
    #[serde(default)]
    resource: Resource,
    #[serde(default)]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Deserialize, Default)]
struct Resource {
    #[serde(default)]
    attributes: Vec<Attribute>,
}

#[derive(Deserialize)]
struct ScopeSpans {
    #[serde(default)]
    spans: Vec<OtlpSpan>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OtlpSpan {
    trace_id: String,
    span_id: String,
    #[serde(default)]
    parent_span_id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    kind: Value,
    #[serde(default)]
    start_time_unix_nano: Value,
    #[serde(default)]
    end_time_unix_nano: Value,
    #[serde(default)]
    attributes: Vec<Attribute>,
    #[serde(default)]
    links: Vec<OtlpLink>,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OtlpLink {
    #[serde(default)]
    trace_id: String,
    #[serde(default)]
    span_id: String,
}

#[derive(Deserialize, Default)]
struct Status {
    #[serde(default)]
    code: Value,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Attribute {
    key: String,
    #[serde(default)]
    value: Value,
}

/// Reads the traces of an answer, one for each trace id, in the order of their first spans.
///
/// # Errors
/// [`Error::Answer`] when the body is not such an answer.
pub fn parse(body: &[u8]) -> Result<Vec<Trace>, Error> {
    let mut traces = Traces::default();
    for chunk in Deserializer::from_slice(body).into_iter::<Chunk>() {
        let chunk = chunk.map_err(|e| Error::Answer { format: "OTLP trace JSON", message: e.to_string() })?;
        let inner = chunk.result.map(|r| r.resource_spans).unwrap_or_default();
        for resource in chunk.resource_spans.into_iter().chain(inner) {
            resource.add_to(&mut traces);
        }
    }
    Ok(traces.all)
}

/// Traces in the order of their first spans.
#[derive(Default)]
struct Traces {
    all: Vec<Trace>,
    at: HashMap<String, usize>,
}

// === impl Traces ===

impl Traces {
    fn add(&mut self, id: String, span: Span) {
        let at = *self.at.entry(id).or_insert_with_key(|id| {
            self.all.push(Trace { id: id.clone(), spans: Vec::new() });
            self.all.len() - 1
        });
        self.all[at].spans.push(span);
    }
}

// === impl ResourceSpans ===

impl ResourceSpans {
    fn add_to(self, traces: &mut Traces) {
        let resource: BTreeMap<_, _> =
            self.resource.attributes.into_iter().map(|a| (a.key, text(&a.value))).collect();
        for span in self.scope_spans.into_iter().flat_map(|s| s.spans) {
            let id = padded(&span.trace_id, 32);
            let span = span.into_span(&resource);
            traces.add(id, span);
        }
    }
}

// === impl OtlpSpan ===

impl OtlpSpan {
    fn into_span(self, resource: &BTreeMap<String, String>) -> Span {
        let attributes: BTreeMap<_, _> =
            self.attributes.into_iter().map(|a| (a.key, text(&a.value))).collect();
        let link = |l: OtlpLink| Link { trace: padded(&l.trace_id, 32), span: padded(&l.span_id, 16) };
        let links = self.links.into_iter().map(link).collect();
        Span {
            id: padded(&self.span_id, 16),
            parent: Some(self.parent_span_id).filter(|p| !p.is_empty()).map(|p| padded(&p, 16)),
            service: resource.get("service.name").cloned().unwrap_or_default(),
            name: self.name,
            kind: kind(&self.kind),
            start_ns: integer(&self.start_time_unix_nano),
            end_ns: integer(&self.end_time_unix_nano),
            error: integer(&self.status.code) == 2 || self.status.code == "STATUS_CODE_ERROR",
            error_message: self.status.message,
            attributes,
            resource: resource.clone(),
            links,
        }
    }
}

/// Enums are integers by the OTLP specification; some servers write the names.
fn kind(value: &Value) -> Kind {
    match value.as_str().map(|name| name.trim_start_matches("SPAN_KIND_").to_ascii_lowercase()) {
        Some(word) => Kind::from_word(&word),
        None => match value.as_u64() {
            Some(2) => Kind::Server,
            Some(3) => Kind::Client,
            Some(4) => Kind::Producer,
            Some(5) => Kind::Consumer,
            _ => Kind::Internal,
        },
    }
}

/// 64-bit integers come as numbers or as decimal strings.
fn integer(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str().and_then(|s| s.parse().ok())).unwrap_or(0)
}

/// The text of an `AnyValue`: `{"stringValue":"x"}` → `x`, `{"intValue":"7"}` → `7`.
fn text(any: &Value) -> String {
    let inner = any.as_object().and_then(|o| o.values().next()).unwrap_or(&Value::Null);
    match inner {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const ONE: &str = r#"{"result":{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"van"}}]},
        "scopeSpans":[{"spans":[{"traceId":"000000000000000000000000000000ab","spanId":"0000000000000002",
        "parentSpanId":"0000000000000001","name":"drive","kind":5,"startTimeUnixNano":"5000","endTimeUnixNano":7000,
        "attributes":[{"key":"n","value":{"intValue":"7"}}],"status":{"code":2,"message":"timeout"}}]}]}]}}"#;

    #[test]
    fn chunks_of_one_trace_are_put_together() {
        let body = format!("{ONE}\n{}", ONE.replace("0000000000000002", "0000000000000003"));
        let traces = parse(body.as_bytes()).unwrap();
        assert_eq!((traces.len(), traces[0].spans.len()), (1, 2));
        let span = &traces[0].spans[0];
        assert_eq!((span.service.as_str(), span.kind, span.error), ("van", Kind::Consumer, true));
        assert_eq!((span.start_ns, span.end_ns, span.attributes["n"].as_str()), (5_000, 7_000, "7"));
    }

    proptest::proptest! {
        #[test]
        fn no_body_makes_a_reader_panic(cut in 0usize..600, put in ".{0,3}") {
            let cut = ONE.char_indices().map(|(i, _)| i).take(cut + 1).last().unwrap_or(0);
            let body = format!("{}{put}{}", &ONE[..cut], &ONE[cut..]);
            drop(parse(body.as_bytes()));
            drop(super::super::jaeger::parse(body.as_bytes()));
        }
    }
}

//! The legacy Jaeger query API: `GET /api/traces` and `GET /api/traces/{id}`, what the Jaeger UI itself uses.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::Value;

use crate::{Error, Kind, Link, Span, Trace};

#[derive(Deserialize)]
struct Answer {
    data: Option<Vec<JaegerTrace>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JaegerTrace {
    #[serde(rename = "traceID")]
    trace_id: String,
    #[serde(default)]
    spans: Option<Vec<JaegerSpan>>,
    #[serde(default)]
    processes: Option<HashMap<String, Process>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JaegerSpan {
    #[serde(rename = "spanID")]
    span_id: String,
    operation_name: String,
    #[serde(default)]
    references: Option<Vec<Reference>>,
    /// Microseconds; some servers send fractions.
    start_time: f64,
    duration: f64,
    #[serde(default)]
    tags: Option<Vec<Tag>>,
    #[serde(rename = "processID", default)]
    process_id: String,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "refType")]
    kind: String,
    #[serde(rename = "traceID")]
    trace_id: String,
    #[serde(rename = "spanID")]
    span_id: String,
}

#[derive(Deserialize)]
struct Tag {
    key: String,
    value: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    service_name: String,
    #[serde(default)]
    tags: Option<Vec<Tag>>,
}

/// Reads the traces of an answer; none when it has none.
///
/// # Errors
/// [`Error::Answer`] when the body is not such an answer.
pub fn parse(body: &[u8]) -> Result<Vec<Trace>, Error> {
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|e| Error::Answer { format: "Jaeger's trace JSON", message: e.to_string() })?;
    Ok(answer.data.unwrap_or_default().into_iter().map(JaegerTrace::into_trace).collect())
}

// === impl JaegerTrace ===

impl JaegerTrace {
    fn into_trace(self) -> Trace {
        let processes = self.processes.unwrap_or_default();
        let id = padded(&self.trace_id, 32);
        let spans = self.spans.unwrap_or_default();
        let spans = spans.into_iter().map(|s| s.into_span(&id, &processes)).collect();
        Trace { id, spans }
    }
}

// === impl JaegerSpan ===

impl JaegerSpan {
    fn into_span(self, trace: &str, processes: &HashMap<String, Process>) -> Span {
        let (parent, links) = references(self.references.unwrap_or_default(), trace);
        let tags = texts(self.tags.as_deref());
        let tag = |key: &str| tags.get(key).map(String::as_str).unwrap_or_default();
        let start_ns = nanos(self.start_time);
        let process = processes.get(&self.process_id);
        Span {
            id: padded(&self.span_id, 16),
            parent,
            service: process.map(|p| p.service_name.clone()).unwrap_or_default(),
            name: self.operation_name,
            kind: Kind::from_word(tag("span.kind")),
            start_ns,
            end_ns: start_ns.saturating_add(nanos(self.duration)),
            error: tag("error") == "true" || tag("otel.status_code") == "ERROR",
            error_message: tag("otel.status_description").to_owned(),
            attributes: tags,
            resource: texts(process.and_then(|p| p.tags.as_deref())),
            links,
        }
    }
}

/// The parent and the links. A parent that is also linked to, as with messages, stands in Jaeger's answer as the link
/// alone.
fn references(references: Vec<Reference>, trace: &str) -> (Option<String>, Vec<Link>) {
    let mut all: Vec<_> = references
        .into_iter()
        .map(|r| (r.kind, Link { trace: padded(&r.trace_id, 32), span: padded(&r.span_id, 16) }))
        .collect();
    let own = |(_, link): &(String, Link)| link.trace == trace;
    let child = all.iter().position(|r| r.0 == "CHILD_OF" && own(r)).or_else(|| all.iter().position(own));
    let parent = child.map(|i| all.remove(i).1.span);
    (parent, all.into_iter().map(|(_, link)| link).collect())
}

fn texts(tags: Option<&[Tag]>) -> BTreeMap<String, String> {
    tags.unwrap_or_default().iter().map(|t| (t.key.clone(), text(&t.value))).collect()
}

/// Jaeger leaves out leading zeros in places.
pub(super) fn padded(id: &str, width: usize) -> String {
    format!("{:0>width$}", id.to_ascii_lowercase())
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Microseconds to nanoseconds; negative and absurd values end at the bounds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float casts saturate")]
fn nanos(micros: f64) -> u64 {
    // Times the whole number: a float has no room for today's nanoseconds.
    (micros.trunc() as u64).saturating_mul(1_000).saturating_add((micros.fract() * 1_000.0) as u64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_with_parent_kind_service_and_error() {
        let body = br#"{"data":[{"traceID":"AB","spans":[{"traceID":"AB","spanID":"2","operationName":"drive",
            "references":[{"refType":"CHILD_OF","traceID":"ab","spanID":"1"}],"startTime":5,"duration":2,
            "tags":[{"key":"span.kind","type":"string","value":"consumer"},{"key":"error","type":"bool","value":true},
            {"key":"n","type":"int64","value":7}],"logs":[],"processID":"p1","warnings":null}],
            "processes":{"p1":{"serviceName":"van","tags":[]}},"warnings":null}],"total":0,"errors":null}"#;
        let traces = parse(body).unwrap();
        let span = &traces[0].spans[0];
        assert_eq!(traces[0].id, format!("{:0>32}", "ab"));
        assert_eq!(span.parent.as_deref(), Some("0000000000000001"));
        assert_eq!((span.service.as_str(), span.kind, span.error), ("van", Kind::Consumer, true));
        assert_eq!((span.start_ns, span.end_ns), (5_000, 7_000));
        assert_eq!(span.attributes["n"], "7");
    }

    #[test]
    fn a_parent_that_stands_there_as_a_link_is_found_and_a_link_to_another_trace_is_none() {
        let reference = |kind: &str, trace_id: &str, span_id: &str| Reference {
            kind: kind.into(),
            trace_id: trace_id.into(),
            span_id: span_id.into(),
        };
        let trace = padded("ab", 32);
        let message = vec![reference("FOLLOWS_FROM", "cd", "1"), reference("FOLLOWS_FROM", "ab", "2")];
        let (parent, links) = references(message, &trace);
        assert_eq!((parent, links.len()), (Some(padded("2", 16)), 1));
        let both = vec![reference("FOLLOWS_FROM", "ab", "3"), reference("CHILD_OF", "ab", "4")];
        assert_eq!(references(both, &trace).0, Some(padded("4", 16)));
        assert_eq!(references(vec![reference("FOLLOWS_FROM", "cd", "1")], &trace).0, None);
    }

    #[test]
    fn microseconds_of_today_are_read_exactly_and_absurd_ones_end_at_the_bounds() {
        assert_eq!(nanos(1_795_245_524_735_586.0), 1_795_245_524_735_586_000);
        assert_eq!((nanos(1.5), nanos(-1.0), nanos(1e300)), (1_500, 0, u64::MAX));
    }

    #[test]
    fn an_answer_without_data_has_no_traces_and_another_body_is_an_error() {
        assert!(
            parse(br#"{"data":null,"errors":[{"code":404,"msg":"trace not found"}]}"#).unwrap().is_empty()
        );
        assert!(parse(b"<html>").is_err());
    }
}

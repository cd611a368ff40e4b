//! What the Jaeger query service does to a trace before it answers (left out with `raw=true`), in its order.

pub(crate) mod clock_skew;
mod shared_ids;

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::convert::Interner;
use super::{KeyValue, ReferenceKind, Span, Trace, Value};
use crate::model::TraceId;

/// Tags of a span that describe the SDK, and thus its process.
pub(crate) const SDK_KEYS: [&str; 5] = [
    "telemetry.sdk.language",
    "telemetry.sdk.name",
    "telemetry.sdk.version",
    "telemetry.distro.name",
    "telemetry.distro.version",
];

/// Tags that old clients fill with an IPv4 address as a number.
pub(crate) const IP_KEYS: [&str; 2] = ["ip", "peer.ipv4"];

/// Applies all adjusters. `max_skew` is the largest clock skew that is corrected; zero (Jaeger's default) corrects
/// none and leaves a warning instead.
pub(crate) fn standard(trace: &mut Trace, max_skew: Duration) {
    shared_ids::give_servers_their_own(trace);
    sort_tags(trace);
    drop_duplicates(trace);
    clock_skew::correct(trace, max_skew, |id| {
        format!("invalid parent span IDs={id}; skipping clock skew adjustment")
    });
    write_addresses(trace);
    move_sdk_tags(trace);
    drop_invalid_references(trace);
    trace.spans.iter_mut().for_each(put_parent_first);
}

/// Orders tags by key; of a log's fields `event` comes first.
fn sort_tags(trace: &mut Trace) {
    for process in &mut trace.processes {
        process.tags.sort();
    }
    for span in &mut trace.spans {
        span.tags.sort();
        for log in &mut span.logs {
            let is_event = |f: &KeyValue| f.key == "event" && matches!(f.value, Value::Text(_));
            let event = log.fields.iter().position(is_event).map(|at| log.fields.swap_remove(at));
            log.fields.sort();
            if let Some(event) = event {
                log.fields.insert(0, event);
            }
        }
    }
}

/// Of identical spans the first one stays: a batch sent again after a lost reply is stored twice.
fn drop_duplicates(trace: &mut Trace) {
    let fresh: Vec<bool> = {
        let mut seen = HashSet::with_capacity(trace.spans.len());
        trace.spans.iter().map(|span| seen.insert(span)).collect()
    };
    let mut fresh = fresh.into_iter();
    trace.spans.retain(|_| fresh.next().unwrap_or(true));
}

/// Numeric addresses become dotted text.
fn write_addresses(trace: &mut Trace) {
    let spans = trace.spans.iter_mut().map(|span| &mut span.tags);
    for tags in spans.chain(trace.processes.iter_mut().map(|process| &mut process.tags)) {
        for tag in tags.iter_mut().filter(|tag| IP_KEYS.contains(&tag.key.as_str())) {
            if let Some(address) = packed_address(&tag.value) {
                tag.value = Value::Text(address.to_string());
            }
        }
    }
}

/// The low 32 bits of a number, as an address.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the packed form is the low 32 bits"
)]
pub(crate) fn packed_address(value: &Value) -> Option<Ipv4Addr> {
    match value {
        Value::Int(v) => Some(Ipv4Addr::from_bits(*v as u32)),
        // By way of an integer; what fits in none is 0.
        Value::Float(v) if v.abs() < 9.3e18 => Some(Ipv4Addr::from_bits(*v as i64 as u32)),
        Value::Float(_) => Some(Ipv4Addr::UNSPECIFIED),
        _ => None,
    }
}

/// Tags about the SDK move from the span to its process.
fn move_sdk_tags(trace: &mut Trace) {
    let is_sdk = |tag: &KeyValue| SDK_KEYS.contains(&tag.key.as_str());
    if !trace.spans.iter().any(|span| span.tags.iter().any(is_sdk)) {
        return;
    }
    let mut processes = Interner::new(std::mem::take(&mut trace.processes));
    for span in &mut trace.spans {
        let (moved, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut span.tags).into_iter().partition(is_sdk);
        span.tags = kept;
        if moved.is_empty() {
            continue;
        }
        if let Some(mut process) = processes.get(span.process).cloned() {
            process.tags.extend(moved);
            process.tags.sort();
            process.tags.dedup();
            span.process = processes.intern(process);
        }
    }
    trace.processes = processes.into_list();
}

fn drop_invalid_references(trace: &mut Trace) {
    for span in &mut trace.spans {
        let warnings = &mut span.warnings;
        span.references.retain(|reference| {
            let valid = reference.trace_id != TraceId([0; 16]);
            if !valid {
                let kind = match reference.kind {
                    ReferenceKind::ChildOf => "CHILD_OF",
                    ReferenceKind::FollowsFrom => "FOLLOWS_FROM",
                };
                warnings.push(format!(
                    "Invalid span reference removed {{TraceID:0000000000000000 SpanID:{:016x} RefType:{kind}}}",
                    reference.span_id
                ));
            }
            valid
        });
    }
}

/// The UI takes the first reference that is in the trace for the parent.
fn put_parent_first(span: &mut Span) {
    let own = |kind: Option<ReferenceKind>| {
        let found = |r: &super::Reference| r.trace_id == span.trace_id && kind.is_none_or(|k| r.kind == k);
        span.references.iter().position(found)
    };
    if let Some(at) = own(Some(ReferenceKind::ChildOf)).or_else(|| own(None)) {
        span.references.swap(0, at);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Log, Process, Reference};
    use super::*;

    pub(super) const TRACE: TraceId = TraceId([7; 16]);

    pub(super) fn span(id: u64, parent: u64, start_ns: u64, duration_ns: u64) -> Span {
        let kind = ReferenceKind::ChildOf;
        let references =
            if parent == 0 { vec![] } else { vec![Reference { kind, trace_id: TRACE, span_id: parent }] };
        Span {
            trace_id: TRACE,
            span_id: id,
            operation: format!("op-{id}"),
            references,
            start_ns,
            duration_ns,
            tags: vec![],
            logs: vec![],
            process: 0,
            warnings: vec![],
        }
    }

    pub(super) fn trace(spans: Vec<Span>) -> Trace {
        Trace { spans, processes: vec![Process { service: "s".into(), tags: vec![] }] }
    }

    fn int(key: &str, value: i64) -> KeyValue {
        KeyValue { key: key.into(), value: Value::Int(value) }
    }

    #[test]
    fn tags_are_ordered_by_key_and_the_event_leads_a_log() {
        let mut one = span(1, 0, 1, 1);
        one.tags = vec![int("b", 1), KeyValue::text("a", "z"), int("a", 1)];
        let fields = vec![int("z", 1), KeyValue::text("event", "boom"), int("a", 1)];
        one.logs = vec![Log { time_ns: 1, fields }];
        let mut trace = trace(vec![one]);
        standard(&mut trace, Duration::ZERO);
        assert_eq!(trace.spans[0].tags, [KeyValue::text("a", "z"), int("a", 1), int("b", 1)]);
        assert_eq!(
            trace.spans[0].logs[0].fields,
            [KeyValue::text("event", "boom"), int("a", 1), int("z", 1)]
        );
    }

    #[test]
    fn a_span_stored_twice_is_shown_once_and_a_different_one_with_its_id_stays() {
        let mut other = span(1, 0, 10, 5);
        other.operation = "other".into();
        let mut trace = trace(vec![span(1, 0, 10, 5), span(1, 0, 10, 5), other]);
        standard(&mut trace, Duration::ZERO);
        let names: Vec<_> = trace.spans.iter().map(|s| s.operation.as_str()).collect();
        assert_eq!(names, ["op-1", "other"]);
    }

    #[test]
    fn a_number_under_an_address_key_is_written_dotted() {
        let mut one = span(1, 0, 1, 1);
        one.tags = vec![int("ip", 0x0808_0404), int("port", 80), int("peer.ipv4", -1)];
        let mut trace = trace(vec![one]);
        standard(&mut trace, Duration::ZERO);
        assert_eq!(
            trace.spans[0].tags,
            [
                KeyValue::text("ip", "8.8.4.4"),
                KeyValue::text("peer.ipv4", "255.255.255.255"),
                int("port", 80)
            ]
        );
    }

    #[test]
    fn tags_about_the_sdk_move_to_the_process_of_that_span_alone() {
        let mut one = span(1, 0, 1, 10);
        one.tags = vec![KeyValue::text("telemetry.sdk.name", "x"), KeyValue::text("k", "v")];
        let mut trace = trace(vec![one, span(2, 1, 2, 1)]);
        standard(&mut trace, Duration::ZERO);
        assert_eq!(trace.spans[0].tags, [KeyValue::text("k", "v")]);
        let tags = |at: usize| trace.processes[trace.spans[at].process].tags.clone();
        assert_eq!(tags(0), [KeyValue::text("telemetry.sdk.name", "x")]);
        assert_eq!(tags(1), []);
    }

    #[test]
    fn a_reference_without_a_trace_id_is_removed_with_a_warning() {
        let mut one = span(1, 0, 1, 1);
        one.references =
            vec![Reference { kind: ReferenceKind::FollowsFrom, trace_id: TraceId([0; 16]), span_id: 5 }];
        let mut trace = trace(vec![one]);
        standard(&mut trace, Duration::ZERO);
        assert!(trace.spans[0].references.is_empty());
        assert!(trace.spans[0].warnings[0].starts_with("Invalid span reference removed "));
    }

    #[test]
    fn the_parent_comes_before_links_to_elsewhere() {
        let mut one = span(2, 0, 1, 1);
        let elsewhere =
            Reference { kind: ReferenceKind::FollowsFrom, trace_id: TraceId([9; 16]), span_id: 5 };
        let follows = Reference { kind: ReferenceKind::FollowsFrom, trace_id: TRACE, span_id: 3 };
        let parent = Reference { kind: ReferenceKind::ChildOf, trace_id: TRACE, span_id: 1 };
        one.references = vec![elsewhere.clone(), follows.clone(), parent.clone()];
        let mut two = span(3, 0, 1, 1);
        two.references = vec![elsewhere.clone(), follows.clone()];
        let mut trace = trace(vec![one, two]);
        standard(&mut trace, Duration::ZERO);
        assert_eq!(trace.spans[0].references, [parent, follows.clone(), elsewhere.clone()]);
        assert_eq!(trace.spans[1].references, [follows, elsewhere]);
    }
}

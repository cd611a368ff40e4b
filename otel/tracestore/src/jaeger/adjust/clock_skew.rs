//! Spans of hosts whose clocks disagree are moved to where their parents say they belong.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::api::golang::format_duration;
use crate::jaeger::{Process, Span, Trace, Value};

/// Shifts spans by at most `max`; a larger shift, or any with a `max` of zero, is only said in a warning. `orphan`
/// words the warning on a span whose parent (its id) is not there.
pub(crate) fn correct(trace: &mut Trace, max: Duration, orphan: fn(&str) -> String) {
    let tree = Tree::of(trace, orphan);
    let hosts: Vec<String> = trace.processes.iter().map(host_key).collect();
    let host = |span: &Span| hosts.get(span.process).cloned().unwrap_or_default();
    let mut open: Vec<(usize, Option<usize>, Skew)> = Vec::new();
    for root in tree.roots {
        let host = host(&trace.spans[root]);
        open.push((root, None, Skew { delta: 0, host }));
    }
    // Parents are always done before their children.
    while let Some((at, parent, mut skew)) = open.pop() {
        let own_host = host(&trace.spans[at]);
        if let Some(parent) = parent
            && (own_host != skew.host || own_host.is_empty())
        {
            let delta = delta(&trace.spans[at], &trace.spans[parent]);
            skew = Skew { delta, host: own_host };
        }
        shift(&mut trace.spans[at], skew.delta, max);
        for child in tree.children.get(&at).into_iter().flatten() {
            open.push((*child, Some(at), skew.clone()));
        }
    }
}

/// How far one host's clock is from its parent's.
#[derive(Clone)]
struct Skew {
    /// Nanoseconds to add.
    delta: i128,
    host: String,
}

struct Tree {
    roots: Vec<usize>,
    children: HashMap<usize, Vec<usize>>,
}

impl Tree {
    /// Links spans by id, the first of each id; leaves warnings on what does not fit.
    fn of(trace: &mut Trace, orphan: fn(&str) -> String) -> Self {
        let mut by_id: HashMap<u64, usize> = HashMap::new();
        let mut linked = Vec::new();
        for (at, span) in trace.spans.iter_mut().enumerate() {
            match by_id.entry(span.span_id) {
                Entry::Occupied(_) => {
                    span.warnings.push("duplicate span IDs; skipping clock skew adjustment".to_owned());
                }
                Entry::Vacant(free) => {
                    free.insert(at);
                    linked.push(at);
                }
            }
        }
        let mut tree = Self { roots: Vec::new(), children: HashMap::new() };
        for at in linked {
            let span = &mut trace.spans[at];
            match span.parent().map(|id| (id, by_id.get(&id))) {
                None => tree.roots.push(at),
                Some((_, Some(parent))) => tree.children.entry(*parent).or_default().push(at),
                Some((id, None)) => {
                    span.warnings.push(orphan(&format!("{id:016x}")));
                    tree.roots.push(at);
                }
            }
        }
        tree
    }
}

/// What tells two hosts apart: the process tag `ip`, or nothing.
fn host_key(process: &Process) -> String {
    let ip = process.tags.iter().find(|tag| tag.key == "ip").map(|tag| &tag.value);
    match ip {
        Some(Value::Text(text)) => text.clone(),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the packed form is the low 32 bits"
        )]
        Some(Value::Int(number)) => Ipv4Addr::from_bits(*number as u32).to_string(),
        Some(Value::Binary(bytes)) => {
            let v4 = <[u8; 4]>::try_from(bytes.as_slice()).map(|b| IpAddr::V4(Ipv4Addr::from(b)));
            let v6 = || <[u8; 16]>::try_from(bytes.as_slice()).map(|b| IpAddr::V6(Ipv6Addr::from(b)));
            v4.or_else(|_| v6()).map(|ip| ip.to_string()).unwrap_or_default()
        }
        _ => String::new(),
    }
}

/// Nanoseconds by which `child` must move to fit its parent.
fn delta(child: &Span, parent: &Span) -> i128 {
    let (child_start, parent_start) = (i128::from(child.start_ns), i128::from(parent.start_ns));
    let (child_duration, parent_duration) = (i128::from(child.duration_ns), i128::from(parent.duration_ns));
    if child_duration > parent_duration {
        // Asynchronous, or the parent gave up waiting: all we know is that the child did not start first.
        return (parent_start - child_start).max(0);
    }
    if child_start >= parent_start && child_start + child_duration <= parent_start + parent_duration {
        return 0;
    }
    // Request and reply are taken to have been under way equally long.
    parent_start + (parent_duration - child_duration) / 2 - child_start
}

fn shift(span: &mut Span, delta: i128, max: Duration) {
    if delta == 0 {
        return;
    }
    let said = format_duration(i64::try_from(delta).unwrap_or(if delta < 0 { i64::MIN } else { i64::MAX }));
    if delta.unsigned_abs() > max.as_nanos() {
        span.warnings.push(if max.is_zero() {
            format!("clock skew adjustment disabled; not applying calculated delta of {said}")
        } else {
            let max = format_duration(i64::try_from(max.as_nanos()).unwrap_or(i64::MAX));
            format!(
                "max clock skew adjustment delta of {max} exceeded; not applying calculated delta of {said}"
            )
        });
        return;
    }
    let moved =
        |ns: u64| u64::try_from(i128::from(ns) + delta).unwrap_or(if delta < 0 { 0 } else { u64::MAX });
    span.start_ns = moved(span.start_ns);
    for log in &mut span.logs {
        log.time_ns = moved(log.time_ns);
    }
    span.warnings.push(format!("This span's timestamps were adjusted by {said}"));
}

#[cfg(test)]
mod tests {
    use super::super::tests::{span, trace};
    use super::*;
    use crate::jaeger::{KeyValue, Log};

    const MS: u64 = 1_000_000;

    fn orphan(id: &str) -> String {
        format!("no parent {id}")
    }

    fn two(child: Span) -> Trace {
        trace(vec![span(1, 0, 100 * MS, 20 * MS), child])
    }

    #[test]
    fn a_child_outside_its_parent_is_centred_in_it() {
        let mut child = span(2, 1, 50 * MS, 10 * MS);
        child.logs = vec![Log { time_ns: 52 * MS, fields: vec![] }];
        let mut trace = two(child);
        correct(&mut trace, Duration::from_secs(1), orphan);
        assert_eq!(trace.spans[1].start_ns, 105 * MS);
        assert_eq!(trace.spans[1].logs[0].time_ns, 107 * MS);
        assert_eq!(trace.spans[1].warnings, ["This span's timestamps were adjusted by 55ms"]);
    }

    #[test]
    fn by_default_a_skew_is_said_and_not_corrected() {
        let mut trace = two(span(2, 1, 50 * MS, 10 * MS));
        correct(&mut trace, Duration::ZERO, orphan);
        assert_eq!(trace.spans[1].start_ns, 50 * MS);
        assert_eq!(
            trace.spans[1].warnings,
            ["clock skew adjustment disabled; not applying calculated delta of 55ms"]
        );
    }

    #[test]
    fn a_skew_beyond_the_limit_is_said_and_not_corrected() {
        let mut trace = two(span(2, 1, 50 * MS, 10 * MS));
        correct(&mut trace, Duration::from_millis(54), orphan);
        assert_eq!(
            trace.spans[1].warnings,
            ["max clock skew adjustment delta of 54ms exceeded; not applying calculated delta of 55ms"]
        );
    }

    #[test]
    fn a_child_longer_than_its_parent_only_may_not_start_first() {
        let mut trace = two(span(2, 1, 110 * MS, 60 * MS));
        correct(&mut trace, Duration::from_secs(1), orphan);
        assert_eq!((trace.spans[1].start_ns, trace.spans[1].warnings.len()), (110 * MS, 0));
        let mut trace = two(span(2, 1, 90 * MS, 60 * MS));
        correct(&mut trace, Duration::from_secs(1), orphan);
        assert_eq!(trace.spans[1].start_ns, 100 * MS);
    }

    #[test]
    fn a_span_of_the_same_host_inherits_its_parents_shift() {
        let ip = |ip: &str| Process { service: ip.into(), tags: vec![KeyValue::text("ip", ip)] };
        let mut middle = span(2, 1, 50 * MS, 10 * MS);
        let mut leaf = span(3, 2, 51 * MS, MS);
        (middle.process, leaf.process) = (1, 1);
        let mut trace = trace(vec![span(1, 0, 100 * MS, 20 * MS), middle, leaf]);
        trace.processes = vec![ip("10.0.0.1"), ip("10.0.0.2")];
        correct(&mut trace, Duration::from_secs(1), orphan);
        assert_eq!(trace.spans[2].start_ns, 106 * MS);
    }

    #[test]
    fn orphans_twins_and_circles_are_left_in_place() {
        let spans =
            vec![span(1, 9, 5, 1), span(1, 0, 6, 1), span(3, 4, 7, 1), span(4, 3, 8, 1), span(5, 5, 9, 1)];
        let mut trace = trace(spans);
        correct(&mut trace, Duration::from_secs(1), orphan);
        let warnings: Vec<_> = trace.spans.iter().map(|s| s.warnings.join("|")).collect();
        assert_eq!(warnings[0], "no parent 0000000000000009");
        assert_eq!(warnings[1], "duplicate span IDs; skipping clock skew adjustment");
        assert_eq!(warnings[2..], ["", "", ""]);
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_spans_does_not_exhaust_the_stack() {
        let mut trace = trace((1..=100_000).map(|id| span(id, id - 1, 1_000 - id % 2, 10)).collect());
        correct(&mut trace, Duration::ZERO, orphan);
        assert_eq!(trace.spans.len(), 100_000);
    }
}

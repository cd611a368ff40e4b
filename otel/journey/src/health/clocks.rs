//! Clocks that disagree: a call's server span begins within the client's, whatever the network does.

use std::collections::{BTreeMap, BTreeSet};

use super::{Notes, Symptom, Tree};
use crate::{Kind, Span, Trace, spans::whose, weigh::people};

/// A smaller difference may be a slow thread's.
const ENOUGH_NS: i128 = 500_000_000;

/// Two services, in the order of their names.
type Pair<'a> = (&'a str, &'a str);

/// How far the second's clock is ahead of the first's, call by call; 0 where they agree.
#[derive(Default)]
struct Readings<'a> {
    ahead_ns: Vec<i128>,
    trace: Option<&'a str>,
}

/// Notes each service whose clock disagrees with most of its neighbours'.
pub(super) fn examine(traces: &[Trace], notes: &mut Notes) {
    let mut pairs: BTreeMap<Pair<'_>, Readings<'_>> = BTreeMap::new();
    for trace in traces {
        let tree = Tree::of(trace);
        for span in &trace.spans {
            if let Some(caller) = tree.parent(span)
                && let Some(ahead) = ahead(caller, span)
            {
                read(&mut pairs, caller, span, ahead, &trace.id);
            }
        }
    }
    let wrong: BTreeMap<Pair<'_>, (i128, usize, Option<&str>)> = pairs
        .iter_mut()
        .filter_map(|(pair, readings)| {
            let middle = median(&mut readings.ahead_ns);
            let count = readings.ahead_ns.iter().filter(|a| a.abs() > ENOUGH_NS).count();
            (middle.abs() > ENOUGH_NS).then_some((*pair, (middle, count, readings.trace)))
        })
        .collect();
    let all: Vec<Pair<'_>> = pairs.keys().copied().collect();
    blame(&all, &wrong, notes);
}

/// How far the receiver's clock is ahead of the caller's, as far as the two spans prove it.
fn ahead(caller: &Span, span: &Span) -> Option<i128> {
    let call = caller.kind == Kind::Client && span.kind == Kind::Server;
    let message = caller.kind == Kind::Producer && span.kind == Kind::Consumer;
    if caller.service == span.service || !(call || message) {
        return None;
    }
    let (from, to) = (i128::from(caller.start_ns), i128::from(caller.end_ns.max(caller.start_ns)));
    let start = i128::from(span.start_ns);
    match () {
        () if start < from => Some(start - from),
        () if call => Some((start - to).max(0)),
        // A message may wait as long as it likes: that it came later proves nothing.
        () => None,
    }
}

fn read<'a>(
    pairs: &mut BTreeMap<Pair<'a>, Readings<'a>>,
    caller: &'a Span,
    span: &'a Span,
    ahead: i128,
    trace: &'a str,
) {
    let in_order = caller.service < span.service;
    let (pair, ahead) = match in_order {
        true => ((caller.service.as_str(), span.service.as_str()), ahead),
        false => ((span.service.as_str(), caller.service.as_str()), -ahead),
    };
    let readings = pairs.entry(pair).or_default();
    readings.ahead_ns.push(ahead);
    if ahead.abs() > ENOUGH_NS && readings.trace.is_none() {
        readings.trace = Some(trace);
    }
}

/// Of two that disagree, the one that disagrees with more of its neighbours has the wrong clock.
fn blame(all: &[Pair<'_>], wrong: &BTreeMap<Pair<'_>, (i128, usize, Option<&str>)>, notes: &mut Notes) {
    let share = |service: &str| {
        let mine = |pair: &&Pair<'_>| pair.0 == service || pair.1 == service;
        let of = all.iter().filter(mine).count();
        (wrong.keys().filter(mine).count() * 1_000) / of.max(1)
    };
    let mut told = BTreeSet::new();
    for (pair, (ahead, count, trace)) in wrong {
        let second = share(pair.1) >= share(pair.0);
        let (service, other, ahead) =
            if second { (pair.1, pair.0, *ahead) } else { (pair.0, pair.1, -*ahead) };
        // Once for each service: its other neighbours say the same.
        if !told.insert(service) {
            continue;
        }
        let tenths = u64::try_from((ahead.abs() + 50_000_000) / 100_000_000).unwrap_or_default();
        let off = people(std::time::Duration::from_millis(tenths.saturating_mul(100)));
        let side = if ahead > 0 { "ahead of" } else { "behind" };
        let detail = format!("its clock is {off} {side} {}", whose(other));
        for _ in 0..*count {
            notes.add(Symptom::ClockWrong, service, detail.clone(), *trace);
        }
    }
}

fn median(values: &mut [i128]) -> i128 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

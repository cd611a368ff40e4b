//! The traces that wait for their decision, and the decisions. No clock, no task, no network of its own: what happens
//! happens when it is called, at the time it is told.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::cut::Piece;
use super::decided::Decided;
use super::meters::{Meters, PolicyMeters};
use super::rule::{Decision, Moment, Rule};
use super::settings::Settings;
use super::view::Trace;

/// What a piece owes to whoever handed it in: told when the last piece of a request is gone.
pub(super) type Receipt<R> = Option<Arc<R>>;

/// Spans that were kept, on their way on.
pub(super) struct Kept<R> {
    pub(super) request: Bytes,
    pub(super) spans: u64,
    /// Held for what its drop says.
    pub(super) _receipt: Receipt<R>,
}

/// Traces that wait, and the ids of those that were decided.
pub(super) struct Held<R> {
    settings: Settings,
    policies: Vec<(Rule, PolicyMeters)>,
    meters: Meters,
    /// Bytes of spans that may wait; more decides the trace that is due next early.
    max_bytes: u64,
    bytes: u64,
    turn: u64,
    traces: HashMap<u128, Entry<R>>,
    arrivals: BTreeMap<u64, u128>,
    due: BTreeMap<(Instant, u64), u128>,
    kept_ids: Decided,
    dropped_ids: Decided,
    out: Vec<Kept<R>>,
}

struct Entry<R> {
    turn: u64,
    arrived: Instant,
    due: Instant,
    pieces: Vec<Kept<R>>,
    spans: u64,
    bytes: u64,
    /// How and when it was decided; it stays, without its spans, where no cache remembers the id.
    decided: Option<(bool, Instant)>,
}

// === impl Held ===

impl<R> Held<R> {
    pub(super) fn new(
        settings: Settings,
        meters: Meters,
        policy_meters: impl Fn(&str) -> PolicyMeters,
        max_bytes: u64,
    ) -> Self {
        let policies = settings.policies.iter();
        let policies = policies.map(|policy| (policy.rule.clone(), policy_meters(&policy.name))).collect();
        Self {
            kept_ids: Decided::new(settings.sampled_cache),
            dropped_ids: Decided::new(settings.dropped_cache),
            settings,
            policies,
            meters,
            max_bytes,
            bytes: 0,
            turn: 0,
            traces: HashMap::new(),
            arrivals: BTreeMap::new(),
            due: BTreeMap::new(),
            out: Vec::new(),
        }
    }

    /// Whether the trace `id` would push out another one that still waits, and is to wait itself instead.
    pub(super) fn full(&self, id: u128) -> bool {
        self.settings.block
            && self.traces.len() >= self.settings.traces
            && !self.due.is_empty()
            && !self.traces.contains_key(&id)
    }

    /// Takes spans of one trace; `receipt` goes with them.
    pub(super) fn add(&mut self, piece: Piece, receipt: Receipt<R>, now: Moment) {
        let Piece { trace: id, request, spans, root } = piece;
        let kept = Kept { request, spans, _receipt: receipt };
        if self.kept_ids.knows(id) {
            self.meters.late(true, spans);
            self.out.push(kept);
            return;
        }
        if self.dropped_ids.knows(id) {
            self.meters.late(false, spans);
            return;
        }
        if !self.traces.contains_key(&id) {
            self.make_room(now);
            self.begin(id, now.instant);
        }
        self.extend(id, kept, root, now);
        while self.bytes > self.max_bytes && self.decide_next(now) {
            self.meters.too_early.add(1);
        }
        self.meters.on_memory.set(self.traces.len() as u64);
    }

    /// Decides what is due, at most `most` traces; whether there may be more.
    pub(super) fn tick(&mut self, now: Moment, most: usize) -> bool {
        let started = Instant::now();
        let mut decided = 0;
        while decided < most && self.due.first_key_value().is_some_and(|((due, _), _)| *due <= now.instant) {
            self.decide_next(now);
            decided += 1;
        }
        if decided > 0 {
            self.meters.latency.record(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
            self.meters.on_memory.set(self.traces.len() as u64);
        }
        decided == most
    }

    /// Decides everything, or drops it where the settings say so.
    pub(super) fn end(&mut self, now: Moment) {
        if self.settings.drop_pending {
            self.traces.clear();
            self.due.clear();
            return;
        }
        while self.decide_next(now) {}
    }

    /// When the next trace is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((due, _), _)| *due)
    }

    /// What was kept since the last call.
    pub(super) fn take(&mut self) -> Vec<Kept<R>> {
        std::mem::take(&mut self.out)
    }

    fn begin(&mut self, id: u128, now: Instant) {
        self.turn += 1;
        let due = now.checked_add(self.settings.wait).unwrap_or(now + Duration::from_secs(86_400 * 365));
        let entry = Entry {
            turn: self.turn,
            arrived: now,
            due,
            pieces: Vec::new(),
            spans: 0,
            bytes: 0,
            decided: None,
        };
        self.arrivals.insert(entry.turn, id);
        self.due.insert((due, entry.turn), id);
        self.traces.insert(id, entry);
        self.meters.new_traces.add(1);
    }

    fn extend(&mut self, id: u128, kept: Kept<R>, root: bool, now: Moment) {
        let Some(entry) = self.traces.get_mut(&id) else { return };
        if let Some((sampled, at)) = entry.decided {
            self.meters.late_age.record(now.instant.saturating_duration_since(at).as_secs());
            if sampled {
                self.out.push(kept);
            }
            return;
        }
        let bytes = kept.request.len() as u64;
        entry.spans += kept.spans;
        entry.bytes += bytes;
        self.bytes += bytes;
        entry.pieces.push(kept);
        let after_root = now.instant.checked_add(self.settings.wait_after_root);
        if let Some(sooner) = after_root.filter(|at| root && *at < entry.due)
            && !self.settings.wait_after_root.is_zero()
        {
            self.due.remove(&(entry.due, entry.turn));
            entry.due = sooner;
            self.due.insert((sooner, entry.turn), id);
        }
        if self.settings.max_trace_bytes > 0 && entry.bytes > self.settings.max_trace_bytes {
            self.meters.too_large.add(1);
            self.settle(id, Decision::NotSampled, now.instant);
        }
    }

    /// Lets go of the oldest traces until another one has room. One that still waits is decided on what is there:
    /// upstream loses it undecided.
    fn make_room(&mut self, now: Moment) {
        while self.traces.len() >= self.settings.traces {
            let Some((_, id)) = self.arrivals.first_key_value() else { return };
            let id = *id;
            if self.traces.get(&id).is_some_and(|entry| entry.decided.is_none()) {
                self.meters.too_early.add(1);
                self.decide(id, now);
            }
            self.forget(id, now.instant);
        }
    }

    fn decide_next(&mut self, now: Moment) -> bool {
        let Some((_, id)) = self.due.first_key_value() else { return false };
        let id = *id;
        self.decide(id, now);
        true
    }

    fn decide(&mut self, id: u128, now: Moment) {
        let Some(entry) = self.traces.get(&id) else { return };
        let pieces = entry.pieces.iter().map(|piece| &piece.request);
        let trace = Trace::read(id, pieces, entry.spans, entry.bytes);
        let decision = decide(&mut self.policies, &trace, self.settings.first_match, now);
        self.meters.decided(decision);
        self.settle(id, decision, now.instant);
    }

    /// Ends a trace's wait: its spans go on or are let go of, its id is remembered.
    fn settle(&mut self, id: u128, decision: Decision, now: Instant) {
        let Some(entry) = self.traces.get_mut(&id) else { return };
        let sampled = decision == Decision::Sampled;
        self.due.remove(&(entry.due, entry.turn));
        self.bytes -= entry.bytes;
        entry.decided = Some((sampled, now));
        let pieces = std::mem::take(&mut entry.pieces);
        if sampled {
            self.out.extend(pieces);
        }
        let cache = if sampled { &mut self.kept_ids } else { &mut self.dropped_ids };
        if cache.on() {
            cache.put(id);
            self.forget(id, now);
        }
    }

    fn forget(&mut self, id: u128, now: Instant) {
        if let Some(entry) = self.traces.remove(&id) {
            self.arrivals.remove(&entry.turn);
            self.meters.removal_age.record(now.saturating_duration_since(entry.arrived).as_secs());
        }
    }
}

/// Asks all policies: `drop` outranks the others, of which one that samples is enough.
fn decide(
    policies: &mut [(Rule, PolicyMeters)],
    trace: &Trace<'_>,
    first_match: bool,
    now: Moment,
) -> Decision {
    let mut found = Decision::NotSampled;
    for (rule, meters) in policies {
        let started = Instant::now();
        let decision = rule.evaluate(trace, now);
        meters.evaluated(decision, started.elapsed());
        match decision {
            Decision::Dropped => return Decision::Dropped,
            Decision::Sampled => found = Decision::Sampled,
            Decision::NotSampled => {}
        }
        if first_match && decision == Decision::Sampled {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::processor::tail_sampling::settings::Policy;
    use crate::telemetry::Registry;

    /// What a step does: spans of a trace come in, or time passes.
    #[derive(Debug, Clone)]
    enum Step {
        Spans(u128, u64),
        Pass(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let spans = (0..12_u128, 1..4_u64).prop_map(|(trace, spans)| Step::Spans(trace, spans));
        proptest::collection::vec(prop_oneof![4 => spans, 1 => (0..40_u64).prop_map(Step::Pass)], 0..120)
    }

    fn settings(traces: usize, cache: usize, root: u64) -> Settings {
        Settings {
            wait: Duration::from_secs(20),
            wait_after_root: Duration::from_secs(root),
            traces,
            block: false,
            max_trace_bytes: 0,
            sampled_cache: cache,
            dropped_cache: cache,
            first_match: false,
            drop_pending: false,
            // By its id alone, so that a trace's fate does not hang on when it is decided.
            policies: vec![Policy {
                name: "half".into(),
                rule: Rule::Probabilistic { salt: "x".into(), threshold: u64::MAX / 2 },
            }],
        }
    }

    /// The trace and first span of what was kept, and how many spans.
    fn kept(held: &mut Held<()>) -> Vec<(u128, u64)> {
        let read = |kept: Kept<()>| {
            let id = kept.request.get(..16).and_then(|id| id.try_into().ok()).map_or(0, u128::from_be_bytes);
            (id, kept.spans)
        };
        held.take().into_iter().map(read).collect()
    }

    proptest! {
        #[test]
        fn every_trace_is_kept_or_dropped_as_a_whole_and_nothing_twice(
            steps in steps(), traces in 1..15_usize, cached in any::<bool>(), root in 0..3_u64, room in 40..400_u64,
        ) {
            let registry = Registry::new();
            let settings = settings(traces, if cached { 1000 } else { 0 }, root);
            let policy = |name: &str| PolicyMeters::new(&registry, name);
            let mut held = Held::new(settings, Meters::new(&registry), policy, room);
            let start = Instant::now();
            let (mut sent, mut out) = (Vec::new(), Vec::new());
            let mut second = 0;
            for step in steps {
                let now = Moment { instant: start + Duration::from_secs(second), second };
                match step {
                    Step::Spans(trace, spans) => {
                        let request = Bytes::copy_from_slice(&trace.to_be_bytes());
                        held.add(Piece { trace, request, spans, root: spans == 1 }, None, now);
                        sent.push((trace, spans));
                    }
                    Step::Pass(seconds) => second += seconds,
                }
                while held.tick(now, 3) {}
                out.extend(kept(&mut held));
                prop_assert!(held.traces.len() <= traces);
                prop_assert!(held.bytes <= room);
                prop_assert!(held.next_due().is_none_or(|due| due > now.instant));
            }
            held.end(Moment { instant: start + Duration::from_secs(second), second });
            out.extend(kept(&mut held));
            prop_assert_eq!(held.bytes, 0);
            prop_assert!(held.next_due().is_none());
            let chosen: BTreeSet<u128> = out.iter().map(|(trace, _)| *trace).collect();
            let mut expected: Vec<_> = sent.into_iter().filter(|(trace, _)| chosen.contains(trace)).collect();
            expected.sort_unstable();
            out.sort_unstable();
            prop_assert_eq!(out, expected);
        }
    }
}

//! What the processor counts, under upstream's names (`documentation.md` of v0.155).

use std::time::Duration;

use super::rule::Decision;
use crate::telemetry::{Counter, Histogram, Registry};

/// Upstream's bounds of histograms that name none of their own (the SDK's default).
const SECONDS: &[u64] = &[0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000];

/// Upstream's bounds of the decision timer, in milliseconds.
const MILLIS: &[u64] = &[
    1, 2, 5, 10, 25, 50, 75, 100, 150, 200, 300, 400, 500, 750, 1000, 2000, 3000, 4000, 5000, 10_000, 20_000,
    30_000, 50_000,
];

/// Counters of one processor in one pipeline.
pub(super) struct Meters {
    pub(super) new_traces: Counter,
    pub(super) too_early: Counter,
    pub(super) too_large: Counter,
    pub(super) on_memory: Counter,
    pub(super) late_age: Histogram,
    pub(super) removal_age: Histogram,
    pub(super) latency: Histogram,
    early_kept: Counter,
    early_dropped: Counter,
    decisions: Decisions,
}

/// Counters of one policy.
pub(super) struct PolicyMeters {
    executions: Counter,
    /// In nanoseconds; shown in microseconds.
    time: Counter,
    decisions: Decisions,
}

struct Decisions {
    sampled: Counter,
    not_sampled: Counter,
    dropped: Counter,
}

fn name(rest: &str) -> String {
    format!("processor_tail_sampling_{rest}")
}

// === impl Meters ===

impl Meters {
    pub(super) fn new(registry: &Registry) -> Self {
        let counter = |rest: &str, help| registry.counter(&name(rest), help, &[]);
        let early = |sampled: &str| {
            let help =
                "Number of spans that were able to be immediately released due to a decision cache hit.";
            registry.counter(&name("early_releases_from_cache_decision"), help, &[("sampled", sampled)])
        };
        let on_memory = Counter::default();
        let read = on_memory.clone();
        let help = "Tracks the number of traces current on memory";
        registry.gauge(&name("sampling_traces_on_memory"), help, &[], move || read.get() as f64);
        let seconds = |rest: &str, help| registry.histogram(&name(rest), help, "seconds", SECONDS, &[]);
        // No evaluation can fail here; the series is there because dashboards ask for it.
        counter("sampling_policy_evaluation_error", "Count of sampling policy evaluation errors");
        Self {
            new_traces: counter("new_trace_id_received", "Counts the arrival of new traces"),
            too_early: counter(
                "sampling_trace_dropped_too_early",
                "Count of traces that were decided before the configured wait time to make room",
            ),
            too_large: counter(
                "traces_dropped_too_large",
                "Count of traces that were dropped because they were too large",
            ),
            late_age: seconds(
                "sampling_late_span_age",
                "Time (in seconds) from the sampling decision was taken and the arrival of a late span",
            ),
            removal_age: seconds(
                "sampling_trace_removal_age",
                "Time (in seconds) from arrival of a new trace until its removal from memory",
            ),
            latency: registry.histogram(
                &name("sampling_decision_timer_latency"),
                "Latency (in milliseconds) of each run of the sampling decision timer",
                "milliseconds",
                MILLIS,
                &[],
            ),
            early_kept: early("true"),
            early_dropped: early("false"),
            decisions: Decisions::new(
                registry,
                "global_count_traces_sampled",
                "Global count of traces that were sampled or not by at least one policy",
                None,
            ),
            on_memory,
        }
    }

    /// Spans that came after their trace's decision.
    pub(super) fn late(&self, sampled: bool, spans: u64) {
        if sampled { self.early_kept.add(spans) } else { self.early_dropped.add(spans) }
    }

    /// A trace's decision.
    pub(super) fn decided(&self, decision: Decision) {
        self.decisions.count(decision);
    }
}

// === impl PolicyMeters ===

impl PolicyMeters {
    pub(super) fn new(registry: &Registry, policy: &str) -> Self {
        let time = Counter::default();
        let read = time.clone();
        registry.counter_of(
            &name("sampling_policy_execution_time_sum"),
            "Total time spent (in microseconds) executing a specific sampling policy",
            "microseconds",
            &[("policy", policy)],
            move || (read.get() / 1000) as f64,
        );
        Self {
            executions: registry.counter(
                &name("sampling_policy_execution_count"),
                "Total number of executions of a specific sampling policy",
                &[("policy", policy)],
            ),
            time,
            decisions: Decisions::new(
                registry,
                "count_traces_sampled",
                "Count of traces that were sampled or not per sampling policy",
                Some(policy),
            ),
        }
    }

    /// One evaluation.
    pub(super) fn evaluated(&self, decision: Decision, took: Duration) {
        self.executions.add(1);
        self.time.add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        self.decisions.count(decision);
    }
}

// === impl Decisions ===

impl Decisions {
    fn new(registry: &Registry, rest: &str, help: &'static str, policy: Option<&str>) -> Self {
        let counter = |decision: &str| {
            let sampled = if decision == "sampled" { "true" } else { "false" };
            let mut labels = vec![("decision", decision), ("sampled", sampled)];
            labels.extend(policy.map(|policy| ("policy", policy)));
            labels.sort_unstable();
            registry.counter(&name(rest), help, &labels)
        };
        Self { sampled: counter("sampled"), not_sampled: counter("not_sampled"), dropped: counter("dropped") }
    }

    fn count(&self, decision: Decision) {
        match decision {
            Decision::Sampled => self.sampled.add(1),
            Decision::NotSampled => self.not_sampled.add(1),
            Decision::Dropped => self.dropped.add(1),
        }
    }
}

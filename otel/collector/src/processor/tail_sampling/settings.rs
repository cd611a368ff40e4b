//! The settings of `tail_sampling`: the keys of upstream's `config.go` (v0.155).

use std::time::Duration;

use super::rule::Rule;
use super::rules;
use crate::config::Section;

/// The settings of one processor, checked.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// From the arrival of a trace's first span to its decision.
    pub(super) wait: Duration,
    /// From the arrival of its root span, when that is sooner; zero switches it off.
    pub(super) wait_after_root: Duration,
    /// Traces held at most.
    pub(super) traces: usize,
    /// A full house lets senders wait instead of deciding the oldest trace early.
    pub(super) block: bool,
    /// A larger trace is dropped; 0 is none.
    pub(super) max_trace_bytes: u64,
    /// Ids of kept traces remembered.
    pub(super) sampled_cache: usize,
    /// Ids of dropped traces remembered.
    pub(super) dropped_cache: usize,
    /// The first policy that samples ends the evaluation.
    pub(super) first_match: bool,
    /// What is held at shutdown is dropped undecided.
    pub(super) drop_pending: bool,
    /// `drop` policies first, the others as written.
    pub(super) policies: Vec<Policy>,
}

/// A policy with the name that metrics give it.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) rule: Rule,
}

// === impl Settings ===

impl Settings {
    pub(super) fn read(mut section: Section) -> Option<Self> {
        let wait = section.duration("decision_wait", Duration::from_secs(30));
        let wait_after_root = section.duration("decision_wait_after_root_received", Duration::ZERO);
        let traces = section.number("num_traces").unwrap_or(50_000);
        if traces == 0 {
            section.fault("num_traces", "must be greater than zero");
        }
        // A hint to upstream's allocation, nothing more.
        section.number("expected_new_traces_per_sec");
        let mut caches = section.section_or_empty("decision_cache");
        let mut size = |key| usize::try_from(caches.number(key).unwrap_or(0)).unwrap_or(usize::MAX);
        let (sampled_cache, dropped_cache) = (size("sampled_cache_size"), size("non_sampled_cache_size"));
        caches.finish();
        let strategy = section.text("sampling_strategy").unwrap_or_else(|| "trace-complete".into());
        if strategy != "trace-complete" {
            section.fault(
                "sampling_strategy",
                format_args!("`{strategy}` is not supported by this collector, trace-complete is"),
            );
        }
        section.unsupported(&["tail_storage"]);
        let read = Self {
            wait,
            wait_after_root,
            traces: usize::try_from(traces).unwrap_or(usize::MAX),
            block: section.flag("block_on_overflow", false),
            max_trace_bytes: section.number("maximum_trace_size_bytes").unwrap_or(0),
            sampled_cache,
            dropped_cache,
            first_match: section.flag("sample_on_first_match", false),
            drop_pending: section.flag("drop_pending_traces_on_shutdown", false),
            policies: rules::policies(&mut section),
        };
        section.finish();
        Some(read)
    }
}

//! Partial success: the receiver took a request but not all that was in it. The exporter only logs that, as a warning
//! with the number; this layer hears it, so that those items are counted as dropped, too.

use crate::stats::{self, Drop};
use std::fmt;
use std::sync::atomic::Ordering;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Counts what partial successes rejected.
pub(super) struct PartialSuccess;

#[derive(Default)]
struct Rejected {
    spans: u64,
    logs: u64,
}

// === impl PartialSuccess ===

impl PartialSuccess {
    /// The exporter's warning, by its name.
    pub(super) fn is_meant(metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && metadata.target() == "opentelemetry-otlp"
            && metadata.name().ends_with(".PartialSuccess")
    }
}

impl<S: Subscriber> Layer<S> for PartialSuccess {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut rejected = Rejected::default();
        event.record(&mut rejected);
        for (counters, items) in [(stats::spans(), rejected.spans), (stats::logs(), rejected.logs)] {
            counters.drop(Drop::Rejected, items);
            // The batch as a whole is counted as exported when the exporter returns.
            counters.exported.fetch_sub(items, Ordering::Relaxed);
        }
    }
}

// === impl Rejected ===

impl Visit for Rejected {
    fn record_i64(&mut self, field: &Field, value: i64) {
        let items = u64::try_from(value).unwrap_or(0);
        match field.name() {
            "rejected_spans" => self.spans = items,
            "rejected_log_records" => self.logs = items,
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

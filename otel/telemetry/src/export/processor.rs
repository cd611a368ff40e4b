//! The SDK's processors over our queue.

use super::queue::Queue;
use super::worker::Worker;
use opentelemetry::baggage::BaggageExt as _;
use opentelemetry::logs::LogRecord as _;
use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::{LogProcessor, SdkLogRecord};
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What `force_flush` allows itself; the SDK's trait gives it no deadline.
const FLUSH: Duration = Duration::from_secs(5);

/// A log record and its scope.
pub(crate) type Record = (SdkLogRecord, InstrumentationScope);

/// Takes ended spans.
#[derive(Debug)]
pub(crate) struct Spans {
    pub(crate) queue: Arc<Queue<SpanData>>,
    pub(crate) worker: Worker,
}

/// Takes log records; each bears the chosen baggage entries, as spans do.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) pairs: &'static [(&'static str, &'static str)],
    pub(crate) queue: Arc<Queue<Record>>,
    pub(crate) worker: Worker,
}

// === impl Spans ===

impl SpanProcessor for Spans {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.queue.push(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        flush(&self.worker, FLUSH, false)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        flush(&self.worker, timeout, true)
    }
}

// === impl Records ===

impl LogProcessor for Records {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        let context = Context::current();
        let mut record = record.clone();
        for (entry, attribute) in self.pairs {
            let own = || record.attributes_iter().any(|(key, _)| key.as_str() == *attribute);
            if let Some(value) = context.baggage().get(entry).filter(|_| !own()) {
                record.add_attribute(*attribute, value.as_str().to_owned());
            }
        }
        self.queue.push((record, scope.clone()));
    }

    fn force_flush(&self) -> OTelSdkResult {
        flush(&self.worker, FLUSH, false)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        flush(&self.worker, timeout, true)
    }
}

fn flush(worker: &Worker, timeout: Duration, last: bool) -> OTelSdkResult {
    if worker.flush(Instant::now() + timeout, last) { Ok(()) } else { Err(OTelSdkError::Timeout(timeout)) }
}

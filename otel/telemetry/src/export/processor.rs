//! The SDK's processors over our queue.

use super::queue::Queue;
use super::worker::Worker;
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

/// Takes log records.
#[derive(Debug)]
pub(crate) struct Records {
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
        self.queue.push((record.clone(), scope.clone()));
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

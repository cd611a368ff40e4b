//! What became of the spans and log records: nothing is lost without being counted.

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use opentelemetry_semantic_conventions::attribute::ERROR_TYPE;
use opentelemetry_semantic_conventions::metric;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The counters of this process, since its start.
static SPANS: Counters = Counters::new();
static LOGS: Counters = Counters::new();

/// How many spans and log records went where, since the process began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Spans that were ended and sampled.
    pub spans: SignalStats,
    /// Log records.
    pub logs: SignalStats,
}

/// One signal's part of [`Stats`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SignalStats {
    /// Acknowledged by the receiver.
    pub exported: u64,
    /// Waiting or under way.
    pub queued: u64,
    /// Dropped because the queue was full.
    pub dropped_queue_full: u64,
    /// Dropped because the receiver said no in a way that forbids trying again, partial success included.
    pub dropped_rejected: u64,
    /// Dropped because the receiver could not be reached, or refused, for 60 s.
    pub dropped_expired: u64,
    /// Dropped because the process ended before the receiver took them.
    pub dropped_shutdown: u64,
    /// Attempts that failed and were made again.
    pub retries: u64,
    /// When something was last dropped, Unix milliseconds; 0 when nothing was.
    pub last_drop_unix_ms: u64,
}

#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) exported: AtomicU64,
    pub(crate) queued: AtomicU64,
    pub(crate) queue_full: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) expired: AtomicU64,
    pub(crate) shutdown: AtomicU64,
    pub(crate) retries: AtomicU64,
    last_drop_unix_ms: AtomicU64,
}

/// Why something was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drop {
    QueueFull,
    Rejected,
    Expired,
    Shutdown,
}

/// The counters of now. They only grow, but for `queued`.
#[must_use]
pub fn stats() -> Stats {
    Stats { spans: SPANS.read(), logs: LOGS.read() }
}

pub(crate) fn spans() -> &'static Counters {
    &SPANS
}

pub(crate) fn logs() -> &'static Counters {
    &LOGS
}

/// The SDK metrics of the conventions (`otel.sdk.*`, development), read from the counters.
pub(crate) fn observe(meter: &Meter, span_capacity: usize, log_capacity: usize) {
    signal(meter, &SPANS, span_capacity, &SPAN_NAMES);
    signal(meter, &LOGS, log_capacity, &LOG_NAMES);
}

struct Names {
    unit: &'static str,
    exported: &'static str,
    processed: &'static str,
    size: &'static str,
    capacity: &'static str,
}

const SPAN_NAMES: Names = Names {
    unit: "{span}",
    exported: metric::OTEL_SDK_EXPORTER_SPAN_EXPORTED,
    processed: metric::OTEL_SDK_PROCESSOR_SPAN_PROCESSED,
    size: metric::OTEL_SDK_PROCESSOR_SPAN_QUEUE_SIZE,
    capacity: metric::OTEL_SDK_PROCESSOR_SPAN_QUEUE_CAPACITY,
};

const LOG_NAMES: Names = Names {
    unit: "{log_record}",
    exported: metric::OTEL_SDK_EXPORTER_LOG_EXPORTED,
    processed: metric::OTEL_SDK_PROCESSOR_LOG_PROCESSED,
    size: metric::OTEL_SDK_PROCESSOR_LOG_QUEUE_SIZE,
    capacity: metric::OTEL_SDK_PROCESSOR_LOG_QUEUE_CAPACITY,
};

fn signal(meter: &Meter, counters: &'static Counters, capacity: usize, names: &Names) {
    let failed = |kind: &'static str| [KeyValue::new(ERROR_TYPE, kind)];
    meter
        .u64_observable_counter(names.exported)
        .with_unit(names.unit)
        .with_description("Items for which the export has finished, successfully or with error.type.")
        .with_callback(move |observer| {
            let read = counters.read();
            observer.observe(read.exported, &[]);
            observer.observe(read.dropped_rejected, &failed("rejected"));
            observer.observe(read.dropped_expired, &failed("expired"));
            observer.observe(read.dropped_shutdown, &failed("shutdown"));
        })
        .build();
    meter
        .u64_observable_counter(names.processed)
        .with_unit(names.unit)
        .with_description("Items for which the processing has finished, successfully or with error.type.")
        .with_callback(move |observer| {
            let read = counters.read();
            let failed_later = read.dropped_rejected + read.dropped_expired + read.dropped_shutdown;
            observer.observe(read.exported + failed_later, &[]);
            observer.observe(read.dropped_queue_full, &failed("queue_full"));
        })
        .build();
    meter
        .i64_observable_up_down_counter(names.size)
        .with_unit(names.unit)
        .with_callback(move |observer| {
            observer.observe(i64::try_from(counters.read().queued).unwrap_or(0), &[])
        })
        .build();
    let capacity = i64::try_from(capacity).unwrap_or(i64::MAX);
    meter
        .i64_observable_up_down_counter(names.capacity)
        .with_unit(names.unit)
        .with_callback(move |observer| observer.observe(capacity, &[]))
        .build();
}

// === impl Counters ===

impl Counters {
    pub(crate) const fn new() -> Self {
        Self {
            exported: AtomicU64::new(0),
            queued: AtomicU64::new(0),
            queue_full: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            shutdown: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            last_drop_unix_ms: AtomicU64::new(0),
        }
    }

    pub(crate) fn drop(&self, why: Drop, items: u64) {
        let counter = match why {
            Drop::QueueFull => &self.queue_full,
            Drop::Rejected => &self.rejected,
            Drop::Expired => &self.expired,
            Drop::Shutdown => &self.shutdown,
        };
        counter.fetch_add(items, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        self.last_drop_unix_ms.fetch_max(u64::try_from(now).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn dropped(&self) -> u64 {
        let read = self.read();
        read.dropped_queue_full + read.dropped_rejected + read.dropped_expired + read.dropped_shutdown
    }

    fn read(&self) -> SignalStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SignalStats {
            // A partial success is subtracted a moment before its batch is added.
            exported: u64::try_from(get(&self.exported).cast_signed()).unwrap_or(0),
            queued: get(&self.queued),
            dropped_queue_full: get(&self.queue_full),
            dropped_rejected: get(&self.rejected),
            dropped_expired: get(&self.expired),
            dropped_shutdown: get(&self.shutdown),
            retries: get(&self.retries),
            last_drop_unix_ms: get(&self.last_drop_unix_ms),
        }
    }
}

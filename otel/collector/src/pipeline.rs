//! What flows through the collector and the one interface of everything that takes it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

/// The three kinds of telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Log records.
    Logs,
    /// Metric points.
    Metrics,
}

/// Some telemetry as it came off the wire: the bytes of one or more `Export*ServiceRequest` messages. Such messages
/// hold nothing but a repeated field, so that their concatenation is itself a valid message: batching copies nothing.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Which kind.
    pub signal: Signal,
    /// Spans, log records or metric points in it.
    pub items: u64,
    /// Protobuf, valid by [`crate::otlp::walk::check`], in pieces.
    pub parts: Vec<Bytes>,
}

/// Why telemetry was not taken. Nothing of the batch was kept.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// Not now: the sender should come again.
    #[error("{reason}")]
    Busy {
        /// For the sender.
        reason: String,
        /// When to come again.
        retry_after: Duration,
    },
    /// Not ever: the sender should drop it.
    #[error("{0}")]
    Invalid(String),
}

/// Takes telemetry: a processor, an exporter, or several of them.
#[async_trait]
pub trait Consumer: Send + Sync {
    /// Takes `batch`; `Ok` means that responsibility has passed on.
    async fn consume(&self, batch: Batch) -> Result<(), Refusal>;

    /// Whether it ends a pipeline: such a one is stopped after all others.
    fn last(&self) -> bool {
        false
    }

    /// Passes on what it holds, within `deadline`; called once, when nothing more will come.
    async fn stop(&self, _deadline: Duration) {}
}

/// Hands each batch to all of several consumers.
pub(crate) struct FanOut(pub(crate) Vec<Arc<dyn Consumer>>);

// === impl Signal ===

impl Signal {
    /// All, in the order in which tables list them.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Logs, Self::Metrics];

    /// The word used in pipeline names and paths.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
        }
    }

    /// The word used at the end of the collector's own metric names.
    #[must_use]
    pub fn items(self) -> &'static str {
        match self {
            Self::Traces => "spans",
            Self::Logs => "log_records",
            Self::Metrics => "metric_points",
        }
    }

    /// The gRPC method that takes it.
    #[must_use]
    pub fn grpc_path(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        }
    }
}

// === impl Batch ===

impl Batch {
    /// The size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.len() as u64).sum()
    }

    /// Adds `other`, which is of the same signal.
    pub fn append(&mut self, other: Batch) {
        debug_assert_eq!(self.signal, other.signal);
        self.items += other.items;
        self.parts.extend(other.parts);
    }

    /// The protobuf in one piece; free when there is one part.
    #[must_use]
    pub fn contiguous(&self) -> Bytes {
        if let [only] = self.parts.as_slice() {
            return only.clone();
        }
        let mut all = BytesMut::with_capacity(usize::try_from(self.bytes()).unwrap_or(0));
        for part in &self.parts {
            all.extend_from_slice(part);
        }
        all.freeze()
    }
}

// === impl Refusal ===

impl Refusal {
    /// A refusal that asks the sender to come again in a second.
    pub fn busy(reason: impl Into<String>) -> Self {
        Self::Busy { reason: reason.into(), retry_after: Duration::from_secs(1) }
    }
}

// === impl FanOut ===

#[async_trait]
impl Consumer for FanOut {
    async fn consume(&self, batch: Batch) -> Result<(), Refusal> {
        let Some((last, others)) = self.0.split_last() else { return Ok(()) };
        let mut outcome = Ok(());
        // Every consumer is asked even when one refuses, as upstream does: a full queue must not starve its neighbours.
        // The sender's repeat is then a duplicate for those that took it, which OTLP allows.
        for consumer in others {
            outcome = worse(outcome, consumer.consume(batch.clone()).await);
        }
        worse(outcome, last.consume(batch).await)
    }
}

/// A retryable refusal outranks a final one, so that the sender comes again.
fn worse(first: Result<(), Refusal>, second: Result<(), Refusal>) -> Result<(), Refusal> {
    match (first, second) {
        (Err(busy @ Refusal::Busy { .. }), _) | (_, Err(busy @ Refusal::Busy { .. })) => Err(busy),
        (Err(invalid), _) | (_, Err(invalid)) => Err(invalid),
        (Ok(()), Ok(())) => Ok(()),
    }
}

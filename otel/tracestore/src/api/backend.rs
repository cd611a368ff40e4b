//! What the query APIs ask of a store.

use std::error::Error;

use opentelemetry_proto::tonic::logs::v1::ResourceLogs;

use crate::model::{Dependency, Operation, Query, Trace, TraceId};

/// Why a store could not answer. The text stays in the log; the client is told only that it failed.
pub type BackendError = Box<dyn Error + Send + Sync>;

/// A store of traces and logs. Every call may block; the API calls it off the async threads.
pub trait Backend: Send + Sync + 'static {
    /// All spans of a trace, or none when no span of it is held.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn trace(&self, id: TraceId) -> Result<Option<Trace>, BackendError>;

    /// The traces that match, newest first, at most [`Query::limit`].
    ///
    /// # Errors
    /// When the store cannot be read.
    fn find(&self, query: &Query) -> Result<Vec<Trace>, BackendError>;

    /// Names of all services that have sent spans.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn services(&self) -> Result<Vec<String>, BackendError>;

    /// Span names of one service; empty for an unknown one.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn operations(&self, service: &str) -> Result<Vec<Operation>, BackendError>;

    /// Calls between services in a range of Unix nanoseconds, both ends included.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn dependencies(&self, start_ns: u64, end_ns: u64) -> Result<Vec<Dependency>, BackendError>;

    /// Log records that carry the trace id, oldest first, at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn logs(&self, id: TraceId, limit: usize) -> Result<Vec<ResourceLogs>, BackendError>;

    /// What the store counts, for `/metrics`.
    fn counters(&self) -> Vec<Counter> {
        Vec::new()
    }

    /// None when the store takes and answers; otherwise what is wrong.
    fn ailment(&self) -> Option<String> {
        None
    }
}

/// One number of the store, as Prometheus has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Counter {
    /// Metric name, such as `waybill_tracestore_spans_total`.
    pub name: &'static str,
    /// One line that says what is counted.
    pub help: &'static str,
    /// `counter` or `gauge`.
    pub kind: &'static str,
    /// The value now.
    pub value: f64,
}

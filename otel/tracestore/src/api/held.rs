//! The trace store of this crate as a [`Backend`].

use opentelemetry_proto::tonic::logs::v1::ResourceLogs;

use super::backend::{Backend, BackendError, Counter};
use crate::model::{Dependency, Operation, Query, Trace, TraceId};
use crate::store::Store;

impl Backend for Store {
    fn trace(&self, id: TraceId) -> Result<Option<Trace>, BackendError> {
        Ok(Self::trace(self, id)?)
    }

    fn find(&self, query: &Query) -> Result<Vec<Trace>, BackendError> {
        Ok(Self::find(self, query)?)
    }

    fn services(&self) -> Result<Vec<String>, BackendError> {
        Ok(Self::services(self))
    }

    fn operations(&self, service: &str) -> Result<Vec<Operation>, BackendError> {
        Ok(Self::operations(self, service))
    }

    fn dependencies(&self, start_ns: u64, end_ns: u64) -> Result<Vec<Dependency>, BackendError> {
        Ok(Self::dependencies(self, start_ns, end_ns)?)
    }

    fn logs(&self, id: TraceId, limit: usize) -> Result<Vec<ResourceLogs>, BackendError> {
        Ok(Self::logs(self, id, limit)?)
    }

    #[expect(clippy::cast_precision_loss, reason = "Prometheus samples are floats")]
    fn counters(&self) -> Vec<Counter> {
        let stats = self.stats();
        let one = |name, help, kind, value: u64| Counter { name, help, kind, value: value as f64 };
        vec![
            one("waybill_tracestore_spans", "Spans held.", "gauge", stats.spans),
            one("waybill_tracestore_log_records", "Log records held.", "gauge", stats.logs),
            one("waybill_tracestore_segments", "Segment files.", "gauge", stats.segments as u64),
            one("waybill_tracestore_segment_bytes", "Bytes in segment files.", "gauge", stats.segment_bytes),
            one(
                "waybill_tracestore_head_bytes",
                "Bytes of memory that heads take.",
                "gauge",
                stats.head_bytes as u64,
            ),
            one(
                "waybill_tracestore_refused_total",
                "Requests refused: store busy or full.",
                "counter",
                stats.refused,
            ),
            one(
                "waybill_tracestore_set_aside_total",
                "Damaged files or records.",
                "counter",
                stats.set_aside,
            ),
        ]
    }
}

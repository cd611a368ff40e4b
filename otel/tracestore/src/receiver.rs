//! OTLP in, over gRPC and HTTP on one port: `opentelemetry.proto.collector.{trace,logs}.v1` Export and
//! `POST /v1/{traces,logs}` (protobuf or JSON), plain, gzip or zstd. Rules from the OTLP specification 1.11.
//!
//! The store keeps no metrics: the metrics service answers UNIMPLEMENTED, `/v1/metrics` 404, so that whoever sends them
//! here learns of it. Bytes that are being received are bounded; beyond that a request is refused with a time to retry.

mod body;
mod encoding;
mod fault;
mod grpc;
mod http1;
mod serve;

pub use serve::serve;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message;

use crate::{Appended, Store, StoreError};
use body::Budget;

/// Bytes of bodies held at once.
const BODIES: usize = 64 << 20;

/// What is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Traces,
    Logs,
}

/// What every request is answered with.
#[derive(Debug, Clone)]
struct Intake {
    store: Store,
    budget: Budget,
}

// === impl Kind ===

impl Kind {
    const ALL: [Self; 2] = [Self::Traces, Self::Logs];

    fn grpc_path(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        }
    }

    fn http_path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Logs => "/v1/logs",
        }
    }

    /// The response message. `partial_success` is unset when everything was kept.
    fn response(self, appended: &Appended) -> Bytes {
        let rejected = i64::try_from(appended.rejected).unwrap_or(i64::MAX);
        let error_message = appended.reason.clone().unwrap_or_default();
        if rejected == 0 {
            return Bytes::new();
        }
        match self {
            Self::Traces => {
                let partial = ExportTracePartialSuccess { rejected_spans: rejected, error_message };
                ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec().into()
            }
            Self::Logs => {
                let partial = ExportLogsPartialSuccess { rejected_log_records: rejected, error_message };
                ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec().into()
            }
        }
    }
}

// === impl Intake ===

impl Intake {
    fn new(store: Store) -> Self {
        Self { store, budget: Budget::new(BODIES) }
    }

    /// Largest message, uncompressed.
    fn limit(&self) -> usize {
        self.store.request_limit()
    }

    async fn keep(&self, kind: Kind, request: Bytes) -> Result<Appended, StoreError> {
        match kind {
            Kind::Traces => self.store.append_spans(request).await,
            Kind::Logs => self.store.append_logs(request).await,
        }
    }
}

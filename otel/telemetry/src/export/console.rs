//! The `console` exporter: batches as OTLP/JSON on standard output, one line each, for people who debug.

use super::processor::Record;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::logs::tonic::group_logs_by_resource_and_scope;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::LogBatch;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::trace::SpanData;
use serde::Serialize;
use std::io::Write as _;

/// Writes to standard output; a reader that went away is no error.
#[derive(Debug, Clone)]
pub(crate) struct Console {
    resource: Resource,
}

// === impl Console ===

impl Console {
    pub(crate) fn new(resource: &Resource) -> Self {
        Self { resource: resource.clone() }
    }

    pub(super) fn spans(&self, spans: &[SpanData]) {
        let resource = ResourceAttributesWithSchema::from(&self.resource);
        let resource_spans = group_spans_by_resource_and_scope(spans.to_vec(), &resource);
        write(&ExportTraceServiceRequest { resource_spans });
    }

    pub(super) fn logs(&self, records: &[Record]) {
        let resource = ResourceAttributesWithSchema::from(&self.resource);
        let batch: Vec<_> = records.iter().map(|(record, scope)| (record, scope)).collect();
        let resource_logs = group_logs_by_resource_and_scope(&LogBatch::new(&batch), &resource);
        write(&ExportLogsServiceRequest { resource_logs });
    }

    #[expect(clippy::unused_self, reason = "the other two need the resource")]
    pub(super) fn metrics(&self, metrics: &ResourceMetrics) {
        write(&ExportMetricsServiceRequest::from(metrics));
    }
}

fn write(request: &impl Serialize) {
    if let Ok(mut line) = serde_json::to_vec(request) {
        line.push(b'\n');
        let _ = std::io::stdout().lock().write_all(&line);
    }
}

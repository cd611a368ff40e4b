//! `debug`: says in the log what passes, briefly or in full.

use std::sync::Arc;

use async_trait::async_trait;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use prost::Message as _;

use super::{Built, ExporterConfig};
use crate::Error;
use crate::config::{Id, Section};
use crate::pipeline::{Batch, Consumer, Refusal, Signal};
use crate::start::Context;
use crate::telemetry::Counter;

#[derive(Debug, Clone)]
struct Config {
    detailed: bool,
}

struct Debugger {
    id: String,
    detailed: bool,
    sent: Counter,
}

pub(super) fn configure(mut section: Section) -> Option<Box<dyn ExporterConfig>> {
    let verbosity = section.text("verbosity").unwrap_or_else(|| "basic".into()).to_lowercase();
    if !["basic", "normal", "detailed"].contains(&verbosity.as_str()) {
        section.fault("verbosity", format_args!("`{verbosity}` is none of basic, normal, detailed"));
    }
    section.flag("use_internal_logger", true);
    section.unsupported(&["sampling_initial", "sampling_thereafter", "output_paths", "sending_queue"]);
    section.finish();
    Some(Box::new(Config { detailed: verbosity != "basic" }))
}

#[async_trait]
impl ExporterConfig for Config {
    fn signals(&self) -> &'static [Signal] {
        &Signal::ALL
    }

    fn storage(&self) -> Option<&Id> {
        None
    }

    async fn build(&self, id: &Id, signal: Signal, context: &Context) -> Result<Built, Error> {
        let exporter = id.to_string();
        let name = format!("exporter_sent_{}", signal.items());
        let help = "Number of items successfully sent to destination";
        let sent = context.registry.counter(&name, help, &[("exporter", &exporter)]);
        Ok(Built {
            consumer: Arc::new(Debugger { id: exporter, detailed: self.detailed, sent }),
            server: None,
        })
    }
}

#[async_trait]
impl Consumer for Debugger {
    async fn consume(&self, batch: Batch) -> Result<(), Refusal> {
        let (signal, items, bytes) = (batch.signal.word(), batch.items, batch.bytes());
        if self.detailed {
            tracing::info!(exporter = %self.id, signal, items, bytes, content = %content(&batch), "telemetry passed");
        } else {
            tracing::info!(exporter = %self.id, signal, items, bytes, "telemetry passed");
        }
        self.sent.add(items);
        Ok(())
    }

    fn last(&self) -> bool {
        true
    }
}

fn content(batch: &Batch) -> String {
    let bytes = batch.contiguous();
    let shown = match batch.signal {
        Signal::Traces => ExportTraceServiceRequest::decode(bytes).map(|request| format!("{request:?}")),
        Signal::Logs => ExportLogsServiceRequest::decode(bytes).map(|request| format!("{request:?}")),
        Signal::Metrics => ExportMetricsServiceRequest::decode(bytes).map(|request| format!("{request:?}")),
    };
    shown.unwrap_or_else(|error| error.to_string())
}

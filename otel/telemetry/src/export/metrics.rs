//! Metrics on their way out: the SDK's reader calls from a thread of its own, which has no runtime; ours is put under it.

use super::console::Console;
use super::runtime::Runtime;
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use std::time::Duration;

/// The exporters of metrics, with the timeout that the SDK ignores.
pub(crate) struct Outlet {
    pub(crate) otlp: Option<MetricExporter>,
    pub(crate) console: Option<Console>,
    pub(crate) temporality: Temporality,
    pub(crate) timeout: Duration,
    pub(crate) runtime: Runtime,
}

// === impl Outlet ===

impl PushMetricExporter for Outlet {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        if let Some(console) = &self.console {
            console.metrics(metrics);
        }
        let Some(otlp) = &self.otlp else { return Ok(()) };
        let send = async { tokio::time::timeout(self.timeout, otlp.export(metrics)).await };
        self.runtime.under(send).await.unwrap_or(Err(OTelSdkError::Timeout(self.timeout)))
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.otlp.as_ref().map_or(Ok(()), |otlp| otlp.shutdown_with_timeout(timeout))
    }

    fn temporality(&self) -> Temporality {
        self.temporality
    }
}

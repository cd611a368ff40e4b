//! `OTEL_METRIC*`: how often metrics are read, and in which shape.

use super::reader::Reader;
use opentelemetry_sdk::metrics::Temporality;
use std::time::Duration;

/// How metrics are read and exported.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) temporality: Temporality,
    pub(crate) histograms: Histograms,
}

/// The default aggregation of histograms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Histograms {
    Explicit,
    Exponential,
}

// === impl Metrics ===

impl Metrics {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        // The SDK has no exemplars, whatever the filter; the value is checked all the same.
        let filters = [("always_on", ()), ("always_off", ()), ("trace_based", ())];
        let _ = r.choice("OTEL_METRICS_EXEMPLAR_FILTER", &filters);
        let temporality = [
            ("cumulative", Temporality::Cumulative),
            ("delta", Temporality::Delta),
            ("lowmemory", Temporality::LowMemory),
        ];
        let histograms = [
            ("explicit_bucket_histogram", Histograms::Explicit),
            ("base2_exponential_bucket_histogram", Histograms::Exponential),
        ];
        Self {
            interval: r.millis("OTEL_METRIC_EXPORT_INTERVAL", 1).unwrap_or(Duration::from_secs(60)),
            timeout: r.millis("OTEL_METRIC_EXPORT_TIMEOUT", 1).unwrap_or(Duration::from_secs(30)),
            temporality: r
                .choice("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", &temporality)
                .unwrap_or(Temporality::Cumulative),
            histograms: r
                .choice("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", &histograms)
                .unwrap_or(Histograms::Explicit),
        }
    }
}

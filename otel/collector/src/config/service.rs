//! The `service` section: pipelines, extensions that are switched on, the collector's own telemetry.

use std::net::SocketAddr;

use super::Id;
use super::section::{Report, Section};
use super::server::listen_address;
use crate::pipeline::Signal;

/// One pipeline: which data, through what, to where.
#[derive(Debug, Clone)]
pub(crate) struct PipelineConfig {
    /// `traces`, `traces/errors`, ...
    pub(crate) id: Id,
    /// Which data it carries.
    pub(crate) signal: Signal,
    /// Where data comes from.
    pub(crate) receivers: Vec<Id>,
    /// What it passes through, in order.
    pub(crate) processors: Vec<Id>,
    /// Where it goes; each gets all of it.
    pub(crate) exporters: Vec<Id>,
}

/// `service::telemetry`.
#[derive(Debug, Clone, Default)]
pub(crate) struct TelemetryConfig {
    /// `logs::level`: `debug`, `info`, `warn` or `error`.
    pub(crate) log_level: Option<String>,
    /// Where Prometheus scrapes the collector itself, with the form of the names.
    pub(crate) metrics: Vec<MetricsReader>,
}

/// A Prometheus endpoint for the collector's own metrics.
#[derive(Debug, Clone)]
pub(crate) struct MetricsReader {
    /// Where to listen.
    pub(crate) endpoint: SocketAddr,
    /// Names without `_total`.
    pub(crate) without_type_suffix: bool,
    /// Names without `_seconds`, `_bytes`.
    pub(crate) without_units: bool,
}

/// Everything below `service`.
#[derive(Debug, Default)]
pub(crate) struct Service {
    pub(crate) pipelines: Vec<PipelineConfig>,
    pub(crate) extensions: Vec<Id>,
    pub(crate) telemetry: TelemetryConfig,
}

impl Service {
    pub(crate) fn read(mut section: Section) -> Self {
        let extensions = section.texts("extensions").iter().map(|text| Id::from(text.as_str())).collect();
        let telemetry = telemetry(section.section_or_empty("telemetry"));
        let pipelines = pipelines(section.section_or_empty("pipelines"));
        section.finish();
        Self { pipelines, extensions, telemetry }
    }
}

fn pipelines(mut section: Section) -> Vec<PipelineConfig> {
    let names: Vec<String> = section.keys().cloned().collect();
    if names.is_empty() {
        section.report().fault(section.path(), "must have at least one pipeline");
    }
    let mut found = Vec::new();
    for name in names {
        let id = Id::from(name.as_str());
        let Some(mut body) = section.section(&name) else { continue };
        let mut ids =
            |key: &str| -> Vec<Id> { body.texts(key).iter().map(|text| Id::from(text.as_str())).collect() };
        let (receivers, processors, exporters) = (ids("receivers"), ids("processors"), ids("exporters"));
        for (key, list) in [("receivers", &receivers), ("exporters", &exporters)] {
            if list.is_empty() {
                body.fault(key, "must have at least one entry");
            }
        }
        let Some(signal) = Signal::ALL.into_iter().find(|signal| signal.word() == id.kind()) else {
            body.report().fault(body.path(), "a pipeline is of traces, logs or metrics");
            body.finish();
            continue;
        };
        body.finish();
        found.push(PipelineConfig { id, signal, receivers, processors, exporters });
    }
    found
}

fn telemetry(mut section: Section) -> TelemetryConfig {
    let mut logs = section.section_or_empty("logs");
    let log_level = logs.text("level").map(|level| level.to_lowercase());
    if let Some(level) = &log_level
        && !["debug", "info", "warn", "error"].contains(&level.as_str())
    {
        logs.fault("level", format_args!("`{level}` is none of debug, info, warn, error"));
    }
    logs.text("encoding");
    logs.unsupported(&[
        "development",
        "disable_caller",
        "disable_stacktrace",
        "sampling",
        "output_paths",
        "error_output_paths",
        "initial_fields",
        "processors",
    ]);
    logs.finish();
    let metrics = metrics(section.section("metrics"), &section.report().clone());
    section.unsupported(&["traces", "resource"]);
    section.finish();
    TelemetryConfig { log_level, metrics }
}

fn metrics(section: Option<Section>, report: &Report) -> Vec<MetricsReader> {
    let default = |endpoint: &str| match listen_address(endpoint) {
        Ok(endpoint) => Some(MetricsReader { endpoint, without_type_suffix: true, without_units: true }),
        Err(reason) => {
            report.fault("service::telemetry::metrics::address", reason);
            None
        }
    };
    let Some(mut section) = section else { return default("localhost:8888").into_iter().collect() };
    let level = section.text("level").unwrap_or_else(|| "normal".into());
    if !["none", "basic", "normal", "detailed"].contains(&level.to_lowercase().as_str()) {
        section.fault("level", format_args!("`{level}` is none of none, basic, normal, detailed"));
    }
    let address = section.text("address");
    let readers = section.take("readers");
    let path = section.at("readers");
    section.unsupported(&["views"]);
    section.finish();
    if level.eq_ignore_ascii_case("none") {
        return Vec::new();
    }
    let items = match readers {
        None => return default(address.as_deref().unwrap_or("localhost:8888")).into_iter().collect(),
        Some(serde_json::Value::Array(items)) => items,
        Some(_) => {
            report.fault(&path, "expected a list");
            return Vec::new();
        }
    };
    let items = items.into_iter().enumerate();
    items.filter_map(|(at, item)| reader(Section::new(&format!("{path}::{at}"), item, report))).collect()
}

fn reader(mut section: Section) -> Option<MetricsReader> {
    section.unsupported(&["periodic"]);
    let mut pull = section.section_or_empty("pull");
    section.finish();
    let mut exporter = pull.section_or_empty("exporter");
    pull.finish();
    let Some(mut prometheus) = exporter.section("prometheus") else {
        exporter.fault("prometheus", "is required: no other reader is supported");
        exporter.finish();
        return None;
    };
    exporter.finish();
    let host = prometheus.text("host").unwrap_or_else(|| "localhost".into());
    let port = prometheus.number("port").unwrap_or(8888);
    let without_type_suffix = prometheus.flag("without_type_suffix", false);
    let without_units = prometheus.flag("without_units", false);
    // No scope labels are written either way.
    prometheus.flag("without_scope_info", true);
    prometheus.unsupported(&["with_resource_constant_labels", "translation_strategy"]);
    let endpoint = match listen_address(&format!("{host}:{port}")) {
        Ok(endpoint) => Some(endpoint),
        Err(reason) => {
            prometheus.fault("host", reason);
            None
        }
    };
    prometheus.finish();
    Some(MetricsReader { endpoint: endpoint?, without_type_suffix, without_units })
}

//! Everything that `OTEL_*` says, read and checked before anything starts.
//!
//! The specification lets an SDK warn about a bad value and go on with the default. Here every bad value is an error
//! that names its variable, all of them at once: a service that silently sends its spans nowhere is worse than one that
//! does not start. Source: OpenTelemetry specification, "Environment Variable Specification", "OTLP Exporter
//! Configuration" and "Batch Span/LogRecord Processor".

mod batch;
mod limits;
mod metrics;
mod otlp;
mod reader;
mod resource;
mod sampler;

pub(crate) use batch::Batch;
pub(crate) use limits::{AttributeLimits, Limits};
pub(crate) use metrics::{Histograms, Metrics};
pub(crate) use otlp::{Compression, Otlp, Protocol, Signal, Tls};

use crate::env::Env;
use crate::error::InitError;
use crate::propagation::Propagators;
use crate::service::Service;
use opentelemetry::KeyValue;
use opentelemetry_sdk::trace::Sampler;
use reader::Reader;
use tracing::level_filters::LevelFilter;

/// The settings of one process.
#[derive(Debug)]
pub(crate) struct Settings {
    /// `OTEL_SDK_DISABLED`: no telemetry, but context still passes.
    pub(crate) disabled: bool,
    pub(crate) resource: Vec<KeyValue>,
    pub(crate) propagators: Propagators,
    pub(crate) sampler: Sampler,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    /// `OTEL_LOG_LEVEL`: what telemetry says about itself on standard output.
    pub(crate) log_level: LevelFilter,
    /// `RUST_LOG`.
    pub(crate) filter: String,
    pub(crate) traces_to: Exporters,
    pub(crate) metrics_to: Exporters,
    pub(crate) logs_to: Exporters,
    pub(crate) spans: Batch,
    pub(crate) records: Batch,
}

/// Where a signal goes: `OTEL_{TRACES,METRICS,LOGS}_EXPORTER`, a list of `otlp`, `console` or `none`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Exporters {
    pub(crate) otlp: Option<Otlp>,
    pub(crate) console: bool,
    /// Takes everything and sends nothing: what benchmarks measure against. No variable sets it.
    pub(crate) discard: bool,
}

// === impl Settings ===

impl Settings {
    pub(crate) fn read(service: &Service, env: &Env) -> Result<Self, InitError> {
        let mut reader = Reader::new(env);
        let r = &mut reader;
        if env.get("OTEL_CONFIG_FILE").is_some() {
            r.complain(
                "OTEL_CONFIG_FILE",
                "declarative configuration is not supported, use OTEL_* variables",
            );
        }
        let disabled = r.boolean("OTEL_SDK_DISABLED", false);
        let settings = Self {
            disabled,
            resource: resource::read(r, service),
            propagators: propagators(r),
            sampler: sampler::read(r),
            limits: Limits::read(r),
            metrics: Metrics::read(r),
            log_level: log_level(r),
            filter: filter(r),
            traces_to: Exporters::read(r, Signal::Traces),
            metrics_to: Exporters::read(r, Signal::Metrics),
            logs_to: Exporters::read(r, Signal::Logs),
            spans: Batch::read(r, "OTEL_BSP", 5_000),
            records: Batch::read(r, "OTEL_BLRP", 1_000),
        };
        reader.finish(settings)
    }

    /// `service.name` as it came out.
    pub(crate) fn service_name(&self) -> String {
        let name = self.resource.iter().find(|kv| kv.key.as_str() == "service.name");
        name.map(|kv| kv.value.to_string()).unwrap_or_default()
    }
}

// === impl Exporters ===

impl Exporters {
    fn read(r: &mut Reader<'_>, signal: Signal) -> Self {
        let name = signal.variable("OTEL_", "_EXPORTER");
        let mut chosen = Self::default();
        let mut wants_otlp = false;
        let list: Vec<&str> = r.env.get(&name).unwrap_or("otlp").split(',').map(str::trim).collect();
        for exporter in &list {
            match *exporter {
                "otlp" => wants_otlp = true,
                "console" => chosen.console = true,
                "none" if list.len() == 1 => {}
                "none" => r.complain(&name, "`none` cannot stand beside another exporter"),
                other => {
                    r.complain(&name, format!("unknown exporter `{other}`; known are otlp, console, none"))
                }
            }
        }
        chosen.otlp = wants_otlp.then(|| Otlp::read(r, signal)).flatten();
        chosen
    }

    pub(crate) fn any(&self) -> bool {
        self.otlp.is_some() || self.console || self.discard
    }
}

fn propagators(r: &mut Reader<'_>) -> Propagators {
    const NAME: &str = "OTEL_PROPAGATORS";
    let mut on = Propagators { trace_context: false, baggage: false };
    let list: Vec<&str> =
        r.env.get(NAME).unwrap_or("tracecontext,baggage").split(',').map(str::trim).collect();
    for propagator in &list {
        match *propagator {
            "tracecontext" => on.trace_context = true,
            "baggage" => on.baggage = true,
            "none" if list.len() == 1 => {}
            "none" => r.complain(NAME, "`none` cannot stand beside another propagator"),
            other => {
                r.complain(
                    NAME,
                    format!("`{other}` is not supported; known are tracecontext, baggage, none"),
                );
            }
        }
    }
    on
}

fn log_level(r: &mut Reader<'_>) -> LevelFilter {
    let known = [
        ("none", LevelFilter::OFF),
        ("off", LevelFilter::OFF),
        ("error", LevelFilter::ERROR),
        ("warn", LevelFilter::WARN),
        ("info", LevelFilter::INFO),
        ("debug", LevelFilter::DEBUG),
        ("trace", LevelFilter::TRACE),
    ];
    r.choice("OTEL_LOG_LEVEL", &known).unwrap_or(LevelFilter::INFO)
}

fn filter(r: &mut Reader<'_>) -> String {
    let filter = r.env.get("RUST_LOG").unwrap_or("info");
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(filter) {
        r.complain("RUST_LOG", format!("`{filter}` is not a filter: {error}"));
    }
    filter.to_owned()
}

//! Where `tracing` goes: spans to OpenTelemetry, events to OTLP logs and to standard output.
//!
//! Each layer has a filter of its own. `RUST_LOG` is for logs only: turning logs down never loses a span.

mod format;
mod out;

use crate::active::BaggageTracer;
use crate::error::InitError;
use format::{Json, Pretty};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use out::Stdout;
use std::io::IsTerminal as _;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What the subscriber is made of.
pub(crate) struct Subscriber<'a> {
    pub(crate) tracer: Option<BaggageTracer>,
    pub(crate) logger: Option<&'a SdkLoggerProvider>,
    pub(crate) service: String,
    pub(crate) filter: &'a str,
}

type Boxed = Box<dyn Layer<Registry> + Send + Sync>;

// === impl Subscriber ===

impl Subscriber<'_> {
    /// Installs the global subscriber.
    pub(crate) fn install(mut self) -> Result<(), InitError> {
        let mut layers: Vec<Boxed> = Vec::new();
        if let Some(tracer) = self.tracer.take() {
            layers.push(spans(tracer));
        }
        if let Some(logger) = self.logger {
            let bridge = OpenTelemetryTracingBridge::new(logger);
            layers.push(bridge.with_filter(self.events()).boxed());
        }
        let fmt = tracing_subscriber::fmt::layer().with_writer(Stdout::default);
        let pretty = std::io::stdout().is_terminal();
        layers.push(if pretty {
            fmt.with_ansi(true).event_format(Pretty).with_filter(self.events()).boxed()
        } else {
            let json = Json { service: self.service.clone() };
            fmt.with_ansi(false).event_format(json).with_filter(self.events()).boxed()
        });
        tracing_subscriber::registry().with(layers).try_init().map_err(|_| InitError::Subscriber)
    }

    /// Events that pass `RUST_LOG`, but for those of the telemetry pipeline itself below a warning: a log line about the
    /// export of log lines would never end.
    fn events(&self) -> impl tracing_subscriber::layer::Filter<Registry> + Send + Sync + 'static {
        let wanted =
            EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse_lossy(self.filter);
        wanted.and(filter_fn(|metadata| {
            !metadata.is_span() && (!is_plumbing(metadata) || *metadata.level() <= Level::WARN)
        }))
    }
}

/// The bridge, lean: no file, thread, idle time or target on spans, and no events, which are logs here.
fn spans(tracer: BaggageTracer) -> Boxed {
    let only_ours = filter_fn(|metadata| {
        metadata.is_span() && *metadata.level() <= Level::INFO && !is_plumbing(metadata)
    });
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false)
        .with_level(false)
        .with_filter(only_ours)
        .boxed()
}

/// What export is made of.
fn is_plumbing(metadata: &Metadata<'_>) -> bool {
    const CRATES: [&str; 9] = [
        "h2",
        "hyper",
        "hyper_util",
        "tonic",
        "tower",
        "reqwest",
        "opentelemetry",
        "opentelemetry_sdk",
        "opentelemetry-otlp",
    ];
    let krate = metadata.target().split("::").next().unwrap_or_default();
    CRATES.contains(&krate)
}

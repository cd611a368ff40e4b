//! Where `tracing` goes: spans to OpenTelemetry, events to OTLP logs and to standard output.
//!
//! Each layer has a filter of its own. `RUST_LOG` is for logs only: turning logs down never loses a span.

mod format;
mod out;
mod partial;

use crate::active::BaggageTracer;
use crate::error::InitError;
use format::{Json, Pretty};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use out::Stdout;
use partial::PartialSuccess;
use std::io::IsTerminal as _;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Filter, Layer, SubscriberExt as _};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What the subscriber is made of.
pub(crate) struct Subscriber<'a> {
    pub(crate) tracer: Option<BaggageTracer>,
    pub(crate) logger: Option<&'a SdkLoggerProvider>,
    pub(crate) service: String,
    pub(crate) filter: &'a str,
    /// `OTEL_LOG_LEVEL`.
    pub(crate) own_level: LevelFilter,
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
        layers.push(PartialSuccess.with_filter(filter_fn(PartialSuccess::is_meant)).boxed());
        if let Some(logger) = self.logger {
            let bridge = OpenTelemetryTracingBridge::new(logger);
            layers.push(bridge.with_filter(self.events(LevelFilter::OFF)).boxed());
        }
        let fmt = tracing_subscriber::fmt::layer().with_writer(Stdout::default);
        let pretty = std::io::stdout().is_terminal();
        layers.push(if pretty {
            fmt.with_ansi(true).event_format(Pretty).with_filter(self.events(self.own_level)).boxed()
        } else {
            let json = Json { service: self.service.clone() };
            fmt.with_ansi(false).event_format(json).with_filter(self.events(self.own_level)).boxed()
        });
        tracing_subscriber::registry().with(layers).try_init().map_err(|_| InitError::Subscriber)
    }

    /// Events that pass `RUST_LOG`. What the telemetry pipeline says of itself is `own`'s: it is not sent over OTLP, where
    /// a log line about the export of log lines would never end. Of the transport's crates only warnings are let through.
    fn events(&self, own: LevelFilter) -> impl Filter<Registry> + Send + Sync + 'static {
        let wanted =
            EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse_lossy(self.filter);
        let plain = wanted.and(filter_fn(|metadata| match origin(metadata) {
            Origin::Host => metadata.is_event(),
            Origin::Transport => metadata.is_event() && *metadata.level() <= Level::WARN,
            Origin::Telemetry => false,
        }));
        let own = filter_fn(move |metadata| {
            metadata.is_event() && origin(metadata) == Origin::Telemetry && *metadata.level() <= own
        });
        plain.or(own)
    }
}

/// The bridge, lean: no file, thread, idle time or target on spans, and no events, which are logs here.
fn spans(tracer: BaggageTracer) -> Boxed {
    let only_ours = filter_fn(|metadata| {
        metadata.is_span() && *metadata.level() <= Level::INFO && origin(metadata) == Origin::Host
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

/// Where an event or span comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Host,
    Transport,
    Telemetry,
}

fn origin(metadata: &Metadata<'_>) -> Origin {
    match metadata.target().split("::").next().unwrap_or_default() {
        "telemetry"
        | "opentelemetry"
        | "opentelemetry_sdk"
        | "opentelemetry-otlp"
        | "opentelemetry-http"
        | "tracing_opentelemetry" => Origin::Telemetry,
        "h2" | "hyper" | "hyper_util" | "tonic" | "tower" | "reqwest" | "rustls" => Origin::Transport,
        target if target.starts_with("opentelemetry") => Origin::Telemetry,
        _ => Origin::Host,
    }
}

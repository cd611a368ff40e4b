//! From a service and its environment to running telemetry.

use crate::active::{Active, BaggageTracer};
use crate::env::Env;
use crate::error::InitError;
use crate::export::{
    Clip, Console, LogSink, Outlet, Queue, Records, Runtime, SpanSink, Spans, Worker, metric_exporter,
};
use crate::guard::{Guard, Providers};
use crate::logs::Subscriber;
use crate::metrics::Instruments;
use crate::service::Service;
use crate::settings::{Exporters, Histograms, Settings};
use crate::stats;
use opentelemetry::global;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::{
    Aggregation, Instrument, InstrumentKind, PeriodicReader, SdkMeterProvider, Stream,
};
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Instrumentation scope of our layers' spans and metrics.
const SCOPE: &str = "waybill-telemetry";

static STARTED: AtomicBool = AtomicBool::new(false);

/// Starts telemetry from the process's `OTEL_*` variables. Keep the guard until the process ends.
///
/// # Errors
/// Every setting that the specification does not allow, in one error; nothing runs then.
pub fn init(service: Service) -> Result<Guard, InitError> {
    init_with(service, &Env::from_process())
}

/// As [`init`], from a snapshot of the environment.
///
/// # Errors
/// As [`init`].
pub fn init_with(service: Service, env: &Env) -> Result<Guard, InitError> {
    start(service, Settings::read(&service, env)?)
}

/// As [`init_with`], but spans end in a sink that takes them all: for benchmarks of what the host pays.
#[doc(hidden)]
pub fn init_discarding(service: Service, env: &Env) -> Result<Guard, InitError> {
    let mut settings = Settings::read(&service, env)?;
    settings.traces_to = Exporters { discard: true, ..Exporters::default() };
    settings.logs_to = Exporters::default();
    start(service, settings)
}

fn start(service: Service, settings: Settings) -> Result<Guard, InitError> {
    if STARTED.swap(true, Ordering::SeqCst) {
        return Err(InitError::Already);
    }
    settings.propagators.install();
    let mut providers = Providers::default();
    let mut tracer = None;
    if !settings.disabled {
        let resource = Resource::builder_empty()
            .with_detector(Box::new(TelemetryResourceDetector))
            .with_attributes(settings.resource.iter().cloned())
            .build();
        let runtime = Runtime::start()?;
        providers.traces = traces(&settings, &resource, &runtime)?;
        providers.logs = logs(&settings, &resource, &runtime, service.baggage)?;
        providers.metrics = metrics(&settings, &resource, &runtime)?;
        tracer = providers.traces.as_ref().map(|p| BaggageTracer::new(p.tracer(SCOPE), service.baggage));
        activate(&settings, &providers, tracer.clone());
    }
    let subscriber = Subscriber {
        tracer,
        logger: providers.logs.as_ref(),
        service: settings.service_name(),
        filter: &settings.filter,
        own_level: settings.log_level,
    };
    subscriber.install()?;
    Ok(Guard::new(providers))
}

/// Reads the settings as [`init_with`] would, and starts nothing: for whoever starts others.
///
/// # Errors
/// Every setting that the specification does not allow, in one error.
pub fn check(env: &Env) -> Result<(), InitError> {
    Settings::read(&Service::new("check", ""), env)?;
    Ok(())
}

fn activate(settings: &Settings, providers: &Providers, tracer: Option<BaggageTracer>) {
    let mut instruments = None;
    if let Some(provider) = &providers.metrics {
        global::set_meter_provider(provider.clone());
        let meter = provider.meter(SCOPE);
        stats::observe(&meter, settings.spans.queue, settings.records.queue);
        instruments = Some(Instruments::new(&meter));
    }
    if let Some(provider) = &providers.traces {
        global::set_tracer_provider(provider.clone());
    }
    Active { tracer, instruments }.install();
}

fn traces(
    s: &Settings,
    resource: &Resource,
    runtime: &Runtime,
) -> Result<Option<SdkTracerProvider>, InitError> {
    let builder = SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_sampler(s.sampler.clone())
        .with_span_limits(s.limits.sdk);
    if !s.traces_to.any() {
        // Spans are made all the same: their ids are in replies, logs and downstream, they are just not sent.
        return Ok(Some(builder.build()));
    }
    let console = s.traces_to.console.then(|| Console::new(resource));
    let sink = SpanSink::new(s.traces_to.otlp.as_ref(), console, Clip::new(s.limits), resource, runtime)?;
    let queue = Arc::new(Queue::new(s.spans.queue, s.spans.batch, stats::spans()));
    let (worker, run) = Worker::new("traces", Arc::clone(&queue), sink, s.spans.delay, s.spans.timeout);
    runtime.spawn(run);
    Ok(Some(builder.with_span_processor(Spans { queue, worker }).build()))
}

fn logs(
    s: &Settings,
    resource: &Resource,
    runtime: &Runtime,
    pairs: &'static [(&'static str, &'static str)],
) -> Result<Option<SdkLoggerProvider>, InitError> {
    if !s.logs_to.any() {
        return Ok(None);
    }
    let console = s.logs_to.console.then(|| Console::new(resource));
    let sink = LogSink::new(s.logs_to.otlp.as_ref(), console, Clip::new(s.limits), resource, runtime)?;
    let queue = Arc::new(Queue::new(s.records.queue, s.records.batch, stats::logs()));
    let (worker, run) = Worker::new("logs", Arc::clone(&queue), sink, s.records.delay, s.records.timeout);
    runtime.spawn(run);
    let builder = SdkLoggerProvider::builder().with_resource(resource.clone());
    Ok(Some(builder.with_log_processor(Records { pairs, queue, worker }).build()))
}

fn metrics(
    s: &Settings,
    resource: &Resource,
    runtime: &Runtime,
) -> Result<Option<SdkMeterProvider>, InitError> {
    if !s.metrics_to.any() {
        return Ok(None);
    }
    let temporality = s.metrics.temporality;
    let otlp =
        s.metrics_to.otlp.as_ref().map(|otlp| metric_exporter(otlp, temporality, runtime)).transpose()?;
    let console = s.metrics_to.console.then(|| Console::new(resource));
    let outlet = Outlet { otlp, console, temporality, timeout: s.metrics.timeout, runtime: runtime.clone() };
    let reader = PeriodicReader::builder(outlet).with_interval(s.metrics.interval).build();
    let mut builder = SdkMeterProvider::builder().with_resource(resource.clone()).with_reader(reader);
    if s.metrics.histograms == Histograms::Exponential {
        builder = builder.with_view(exponential);
    }
    Ok(Some(builder.build()))
}

/// `base2_exponential_bucket_histogram` for every histogram, with the sizes of the metrics SDK specification.
fn exponential(instrument: &Instrument) -> Option<Stream> {
    let shape = Aggregation::Base2ExponentialHistogram { max_size: 160, max_scale: 20, record_min_max: true };
    (instrument.kind() == InstrumentKind::Histogram)
        .then(|| Stream::builder().with_aggregation(shape).build().ok())
        .flatten()
}

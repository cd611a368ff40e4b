//! From a service and its environment to running telemetry.

use crate::active::{Active, BaggageTracer};
use crate::env::Env;
use crate::error::InitError;
use crate::guard::Guard;
use crate::logs::Subscriber;
use crate::metrics::Instruments;
use crate::propagation::Propagators;
use crate::service::Service;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;

/// Instrumentation scope of our layers' spans and metrics.
const SCOPE: &str = "waybill-telemetry";

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
    let filter = env.get("RUST_LOG").unwrap_or("info");
    Propagators { trace_context: true, baggage: true }.install();
    let name = env.get("OTEL_SERVICE_NAME").unwrap_or(service.name).to_owned();
    if env.get("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        Subscriber { tracer: None, logger: None, service: name, filter }.install()?;
        return Ok(Guard::default());
    }
    let resource = Resource::builder()
        .with_service_name(name.clone())
        .with_attribute(opentelemetry::KeyValue::new("service.version", service.version))
        .with_attribute(opentelemetry::KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string()))
        .with_attributes(service.namespace.map(|v| opentelemetry::KeyValue::new("service.namespace", v)))
        .with_attributes(
            service.environment.map(|v| opentelemetry::KeyValue::new("deployment.environment.name", v)),
        )
        .with_attributes(service.criticality.map(|v| opentelemetry::KeyValue::new("service.criticality", v)))
        .build();
    let setup = |what: &'static str| {
        move |e: opentelemetry_otlp::ExporterBuildError| InitError::Setup { what, source: Box::new(e) }
    };
    let spans = opentelemetry_otlp::SpanExporter::builder().build().map_err(setup("traces exporter"))?;
    let logs = opentelemetry_otlp::LogExporter::builder().build().map_err(setup("logs exporter"))?;
    let metrics = opentelemetry_otlp::MetricExporter::builder().build().map_err(setup("metrics exporter"))?;
    let traces =
        SdkTracerProvider::builder().with_resource(resource.clone()).with_batch_exporter(spans).build();
    let logger =
        SdkLoggerProvider::builder().with_resource(resource.clone()).with_batch_exporter(logs).build();
    let meter = SdkMeterProvider::builder().with_resource(resource).with_periodic_exporter(metrics).build();
    let tracer = BaggageTracer::new(traces.tracer(SCOPE), service.baggage);
    let active =
        Active { tracer: Some(tracer.clone()), instruments: Some(Instruments::new(&meter.meter(SCOPE))) };
    if !active.install() {
        return Err(InitError::Already);
    }
    Subscriber { tracer: Some(tracer), logger: Some(&logger), service: name, filter }.install()?;
    opentelemetry::global::set_meter_provider(meter.clone());
    opentelemetry::global::set_tracer_provider(traces.clone());
    Ok(Guard::new(traces, logger, meter))
}

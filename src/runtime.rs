//! The async runtime of a process, kept small: twelve of them share a laptop.

use std::{env, future::Future, io, time::Duration};

use tokio::runtime::Builder;

/// Threads that run tasks in each process.
const WORKERS: usize = 2;
/// Threads for blocking work (password hashing, files) in each process.
const BLOCKING: usize = 8;

/// How long telemetry may take to leave a process that ends.
pub(crate) const FLUSH: Duration = Duration::from_secs(5);

/// A variable of this process's environment; one that is not UTF-8 counts as unset.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var_os(name).and_then(|value| value.into_string().ok())
}

/// All variables of this process's environment that are UTF-8.
pub(crate) fn variables() -> Vec<(String, String)> {
    env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect()
}

/// Log lines on stdout, and nothing else: for the parts that are not themselves observed through OTLP. A collector that
/// sent its own spans to itself would never come to rest.
///
/// # Errors
/// When a subscriber is installed already.
pub(crate) fn logs_only(name: &'static str) -> anyhow::Result<telemetry::Guard> {
    let service = telemetry::Service::new(name, env!("CARGO_PKG_VERSION"));
    let filter = variable("RUST_LOG").unwrap_or_default();
    let settings = [("OTEL_SDK_DISABLED", "true"), ("RUST_LOG", filter.as_str())];
    Ok(telemetry::init_with(service, &telemetry::Env::from_iter(settings))?)
}

/// Telemetry of a client on the command line: exported where `OTEL_EXPORTER_OTLP_ENDPOINT` says, else only the context
/// travels. Nothing is logged unless `RUST_LOG` asks for it: stdout is the command's own.
///
/// # Errors
/// Every `OTEL_*` variable that cannot be used.
pub(crate) fn client_telemetry(name: &'static str) -> anyhow::Result<telemetry::Guard> {
    let service = telemetry::Service::new(name, env!("CARGO_PKG_VERSION"))
        .namespace("waybill")
        .baggage(&[("synthetic", "user_agent.synthetic.type")]);
    let set = |name: &str| variable(name).is_some_and(|v| !v.is_empty());
    let wanted = set("OTEL_EXPORTER_OTLP_ENDPOINT") || set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    let mut settings: Vec<_> =
        variables().into_iter().filter(|(name, _)| name.starts_with("OTEL_")).collect();
    if !wanted {
        settings.push(("OTEL_SDK_DISABLED".into(), "true".into()));
    }
    settings.push(("RUST_LOG".into(), variable("RUST_LOG").unwrap_or_else(|| "off".into())));
    Ok(telemetry::init_with(service, &telemetry::Env::from_iter(settings))?)
}

/// Runs `work` to its end on a runtime of its own.
pub(crate) fn run<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = build()?;
    let result = runtime.block_on(work);
    // A blocking task that hangs (a stuck disk) must not keep the process from ending.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

fn build() -> io::Result<tokio::runtime::Runtime> {
    Builder::new_multi_thread().worker_threads(WORKERS).max_blocking_threads(BLOCKING).enable_all().build()
}

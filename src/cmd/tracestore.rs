//! `waybill tracestore`: durable spans and logs behind the Jaeger API and UI, in this process.

use std::process::ExitCode;

use anyhow::Context;

use crate::{cmd::stop::StopArgs, failure::Usage, runtime};

/// Run the trace store with the Jaeger UI
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Settings come from the environment: WAYBILL_TRACESTORE_OTLP (default 127.0.0.1:14317), WAYBILL_TRACESTORE_HTTP
(127.0.0.1:16686), WAYBILL_DATA, WAYBILL_TRACESTORE_RETENTION (7d), WAYBILL_TRACESTORE_RETENTION_BYTES,
WAYBILL_TRACESTORE_SYNC (always, or an interval such as 50ms).

Examples:
  waybill tracestore
  WAYBILL_DATA=/var/lib/waybill WAYBILL_TRACESTORE_RETENTION=30d waybill tracestore")]
pub(crate) struct Args {
    #[command(flatten)]
    stop: StopArgs,
}

// === impl Args ===

impl Args {
    /// Runs until told to stop.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let options = options(runtime::variable)?;
        runtime::run(async {
            let telemetry = runtime::logs_only("tracestore")?;
            let result = tracestore::run(options, self.stop.requested()?).await;
            telemetry.shutdown(runtime::FLUSH).await;
            result.context("trace store").map(|()| ExitCode::SUCCESS)
        })
    }
}

/// Reads the settings through `get`.
///
/// # Errors
/// [`Usage`] that names every bad one.
pub(crate) fn options(get: impl Fn(&str) -> Option<String>) -> anyhow::Result<tracestore::Options> {
    tracestore::Options::read(get).map_err(|e| Usage(e.to_string()).into())
}

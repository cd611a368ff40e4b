//! `waybill partners`: the outside world as a stand-in, in this process.

use std::process::ExitCode;

use anyhow::Context;

use crate::{cmd::stop::StopArgs, failure::Usage, runtime};

/// Run the stand-in for card network, restaurant POS, courier fleet and push provider
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Settings come from the environment: WAYBILL_LISTEN, WAYBILL_DATA, WAYBILL_RIDE, WAYBILL_PARTNERS_SCHEDULE (a file or the
rules themselves), WAYBILL_PARTNERS_SEED.

Examples:
  waybill partners
  WAYBILL_PARTNERS_SCHEDULE='{\"rules\":[{\"partner\":\"courier-fleet\",\"do\":\"hang\"}]}' waybill partners
  curl 'http://127.0.0.1:8090/logs?trace_id=4bf92f3577b34da6a3ce929d0e0e4736'")]
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
            let telemetry = runtime::logs_only("partners")?;
            partners::run(options, self.stop.requested()?).await.context("partners")?;
            telemetry.shutdown(runtime::FLUSH).await;
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// Reads the settings through `get`.
///
/// # Errors
/// [`Usage`] that names every bad one.
pub(crate) fn options(get: impl Fn(&str) -> Option<String>) -> anyhow::Result<partners::Options> {
    partners::Options::read(get).map_err(|e| Usage(e.to_string()).into())
}

//! `waybill collector`: OTLP in, processors, OTLP out, in this process.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use collector::Config;

use crate::{cmd::stop::StopArgs, failure::Usage, runtime, term};

/// Run the collector on an official collector's configuration file
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The file is the official OpenTelemetry Collector's, ${env:NAME:-default} included. A component or key that is not known is
an error with its path in the file.

Examples:
  waybill collector --config collector-config.yaml
  waybill collector --config collector-config.yaml --validate")]
pub(crate) struct Args {
    /// The configuration [default: the one that is built in, which is collector-config.yaml of the sources]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the file and end: status 0 when it can be used, 2 when not
    #[arg(long)]
    validate: bool,
    #[command(flatten)]
    stop: StopArgs,
}

// === impl Args ===

impl Args {
    /// Runs until told to stop.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let config = config(self.config.as_deref(), &runtime::variable)?;
        if self.validate {
            for warning in config.warnings() {
                term::note(warning);
            }
            term::say("the configuration is valid")?;
            return Ok(ExitCode::SUCCESS);
        }
        runtime::run(async {
            let telemetry = runtime::logs_only("collector")?;
            for warning in config.warnings() {
                tracing::warn!("{warning}");
            }
            let result = collector::run(config, self.stop.requested()?).await;
            telemetry.shutdown(runtime::FLUSH).await;
            result.context("collector").map(|()| ExitCode::SUCCESS)
        })
    }
}

/// Reads the file, or the built-in one, with its `${env:…}` taken from `get`.
///
/// # Errors
/// [`Usage`] with every fault of the file.
pub(crate) fn config(file: Option<&Path>, get: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Config> {
    let config = match file {
        Some(path) => Config::load(path, get),
        None => Config::parse(collector::DEFAULT_CONFIG, get),
    };
    config.map_err(|e| {
        let file = file.map_or_else(|| "built-in configuration".to_owned(), |f| f.display().to_string());
        Usage(format!("{file}: {:#}", anyhow::Error::from(e))).into()
    })
}

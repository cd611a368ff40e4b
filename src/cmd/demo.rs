//! `waybill demo`.

use std::process::ExitCode;

/// demo
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

// === impl Args ===

impl Args {
    /// Runs.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        Ok(ExitCode::SUCCESS)
    }
}

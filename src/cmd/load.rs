//! `waybill load`.

use std::process::ExitCode;

/// load
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

// === impl Args ===

impl Args {
    /// Runs.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        Ok(ExitCode::SUCCESS)
    }
}

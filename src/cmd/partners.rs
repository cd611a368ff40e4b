//! `waybill partners`, in this process.

use std::process::ExitCode;

use crate::{cmd::stop::StopArgs, runtime};

/// Run the partners in this process; settings come from the environment
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    stop: StopArgs,
}

// === impl Args ===

impl Args {
    /// Runs until told to stop.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        runtime::run(super::service::placeholder(self.stop))
    }
}

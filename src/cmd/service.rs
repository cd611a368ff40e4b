//! `waybill service NAME`: one of the eight services, in this process.

use std::process::ExitCode;

use crate::{cmd::stop::StopArgs, runtime};

/// Run one service in this process; its settings come from the environment
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which one
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    stop: StopArgs,
}

// === impl Args ===

impl Args {
    /// Runs until told to stop.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        runtime::run(placeholder(self.stop))
    }
}

/// Answers the health check, until the service itself is there.
pub(crate) async fn placeholder(stop: StopArgs) -> anyhow::Result<ExitCode> {
    let stopped = stop.requested()?;
    let address = std::env::var("WAYBILL_LISTEN").or_else(|_| std::env::var("WAYBILL_COLLECTOR_HEALTH"));
    let address = address.or_else(|_| std::env::var("WAYBILL_TRACESTORE_HTTP"))?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    let app = axum::Router::new().fallback(|| async { "ok" });
    axum::serve(listener, app).with_graceful_shutdown(stopped).await?;
    Ok(ExitCode::SUCCESS)
}

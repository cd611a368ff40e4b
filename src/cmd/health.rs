//! `waybill health URL`: one question, one exit status; what container health checks and the fleet itself use.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, bail};

use crate::{runtime, term};

/// A health endpoint that has not answered within this time does not answer.
const LIMIT: Duration = Duration::from_secs(2);
/// Between two questions while a part starts.
const INTERVAL: Duration = Duration::from_millis(25);

/// Ask a health endpoint; exit status 0 when it answers 2xx within 2 s
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waybill health http://127.0.0.1:8080/readyz
  waybill health http://127.0.0.1:13133/")]
pub(crate) struct Args {
    /// The endpoint
    #[arg(value_name = "URL")]
    url: String,
}

// === impl Args ===

impl Args {
    /// Asks once.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        runtime::run(async {
            let client = client()?;
            let reply = client.get(&self.url).send().await.with_context(|| format!("asking {}", self.url))?;
            if !reply.status().is_success() {
                bail!("{} answered {}", self.url, reply.status());
            }
            term::say(&format!("{} {}", self.url, reply.status()))?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// Resolves when `url` has answered 2xx; asks for as long as it takes.
pub(crate) async fn until_ready(url: &str) {
    let Ok(client) = client() else {
        return std::future::pending().await;
    };
    loop {
        if client.get(url).send().await.is_ok_and(|r| r.status().is_success()) {
            return;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Health checks are no part of anybody's trace: a plain client.
fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().timeout(LIMIT).no_proxy().pool_max_idle_per_host(1).build()
}

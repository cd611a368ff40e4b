//! `waybill health URL`: one question, one exit status; what container health checks and the fleet itself use.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use reqwest::StatusCode;
use tokio::time::{Instant, sleep};

use crate::{runtime, term};

/// A health endpoint that has not answered within this time does not answer.
const LIMIT: Duration = Duration::from_secs(2);
/// Between two questions while a part starts.
const INTERVAL: Duration = Duration::from_millis(25);

/// Between two questions of `--wait`.
const PATIENT: Duration = Duration::from_millis(250);

/// Ask health endpoints; exit status 0 when each answers 2xx within 2 s
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waybill health http://127.0.0.1:8080/readyz
  waybill health --wait 60s http://127.0.0.1:13133/ http://127.0.0.1:16686/ready")]
pub(crate) struct Args {
    /// The endpoints
    #[arg(value_name = "URL", required = true)]
    urls: Vec<String>,
    /// Ask again until all have answered, for at most this long
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    wait: Option<Duration>,
}

// === impl Args ===

impl Args {
    /// Asks each once, or with `--wait` until it answers.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        runtime::run(async {
            let client = client()?;
            let end = self.wait.map(|wait| Instant::now() + wait);
            for url in &self.urls {
                let status = loop {
                    match ask(&client, url).await {
                        Ok(status) => break status,
                        Err(_) if end.is_some_and(|end| Instant::now() + PATIENT < end) => {
                            sleep(PATIENT).await
                        }
                        Err(error) => return Err(error),
                    }
                };
                term::say(&format!("{url} {status}"))?;
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

async fn ask(client: &reqwest::Client, url: &str) -> anyhow::Result<StatusCode> {
    let status = client.get(url).send().await.with_context(|| format!("asking {url}"))?.status();
    if !status.is_success() {
        bail!("{url} answered {status}");
    }
    Ok(status)
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
        sleep(INTERVAL).await;
    }
}

/// Health checks are no part of anybody's trace: a plain client.
fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().timeout(LIMIT).no_proxy().pool_max_idle_per_host(1).build()
}

//! `waybill load`: places orders at a running system and follows each to its end.

use std::{process::ExitCode, time::Duration};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    cmd::stop::Signals,
    failure::{FAILED, Usage},
    load, runtime,
    shop::Shop,
    term,
};

/// Place orders through the front door, follow each to its end, and say what became of them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Orders come at the given rate however slow the replies are. All that is drawn comes from the seed: two runs with one seed
order the same. With OTEL_EXPORTER_OTLP_ENDPOINT set, the run's own spans are exported; all its traffic is marked with the
baggage synthetic=test, which becomes user_agent.synthetic.type on every span.

Examples:
  waybill load --rate 50 --duration 30s
  waybill load --orders 200 --rate 20 --seed 7 --json
  waybill load --url http://127.0.0.1:16001

Exit status: 1 when an order was taken and never seen again.")]
pub(crate) struct Args {
    /// Orders a second, on average
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    rate: f64,
    /// How long orders are placed
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// Stop after this many orders instead
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    orders: Option<u64>,
    /// Seed for arrivals and meals
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The front door
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Customers who order, signed in before the run
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=100))]
    customers: u16,
    /// An order that has not come to its end by then is lost
    #[arg(long, value_name = "TIME", default_value = "90s", value_parser = humantime::parse_duration)]
    patience: Duration,
    /// Report as JSON on stdout
    #[arg(long)]
    json: bool,
}

// === impl Args ===

impl Args {
    /// Runs, reports, and judges.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        if !(self.rate > 0.0 && self.rate <= 100_000.0) {
            return Err(Usage(format!("--rate {}: a number above 0, at most 100000", self.rate)).into());
        }
        runtime::run(async {
            let telemetry = runtime::client_telemetry("waybill-load")?;
            let report = self.place().await;
            telemetry.shutdown(runtime::FLUSH).await;
            let report = report?;
            if self.json {
                term::say(&serde_json::to_string_pretty(&report.json())?)?;
            } else {
                term::say(report.text().trim_end())?;
            }
            Ok(if report.all_seen() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
        })
    }

    async fn place(&self) -> anyhow::Result<load::Report> {
        let shop = Shop::new(&self.url)?;
        let customers = load::customers(&shop, usize::from(self.customers))
            .await
            .with_context(|| format!("the front door at {} (is `waybill up` running?)", self.url))?;
        let plan = load::Plan {
            shop,
            customers,
            rate: self.rate,
            orders: self.orders,
            duration: self.duration,
            seed: self.seed,
            patience: self.patience,
        };
        let bar = self.bar()?;
        let mut signals = Signals::new()?;
        let report = load::run(plan, &bar, async { signals.next().await }).await;
        bar.finish_and_clear();
        report
    }

    /// A bar on stderr; indicatif hides it where stderr is no terminal.
    fn bar(&self) -> anyhow::Result<ProgressBar> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate for a bar")]
        let expected = (self.rate * self.duration.as_secs_f64()) as u64;
        let bar = ProgressBar::new(self.orders.unwrap_or(expected));
        bar.set_style(ProgressStyle::with_template("{elapsed} {wide_bar} {pos}/{len} orders at their end")?);
        Ok(bar)
    }
}

//! `waybill doctor`: the check-up of the telemetry itself.

use std::{process::ExitCode, time::Duration};

use indicatif::ProgressBar;
use journey::Route;

use super::report::ReportArgs;
use crate::{ask::Window, doctor, failure::FAILED, runtime, term};

/// Say whether the telemetry itself is sound: dropped context, silence, clocks, drops, odd settings
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Looks at the newest traces of every service (context dropped between two services, messages without their maker, parents that
were not delivered, clocks that disagree, spans that do not name their order, attributes that look like personal data,
services that are silent), at the services' own drop counters and OTEL_* settings in force (GET /telemetry), and at the
collector's counters. Every finding names the service, a trace that shows it, and the remedy.

Examples:
  waybill doctor                                  the fleet that runs here
  waybill doctor --since 5m --traces 500
  waybill doctor --json | jq '.findings[] | {kind, service, remedy}'
  waybill doctor --jaeger https://jaeger.example --endpoints data/endpoints.json

Exit status: 0 sound   1 something was found   2 wrong usage   4 the trace store cannot be asked")]
pub(crate) struct Args {
    /// How far back traces are looked at
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = humantime::parse_duration)]
    since: Duration,
    /// Most traces that are looked at of each service
    #[arg(long, value_name = "N", default_value_t = 100)]
    traces: usize,
    #[command(flatten)]
    report: ReportArgs,
}

// === impl Args ===

impl Args {
    /// Looks, tells.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let route = Route::parse(contracts::ROUTE)?;
        runtime::run(async {
            let (backend, books) = self.report.sources().await?;
            let progress =
                ProgressBar::new_spinner().with_message("looking at traces, counters and settings");
            progress.enable_steady_tick(Duration::from_millis(120));
            let window = Window::last(self.since);
            let report = doctor::examine(&backend, &route, &books, window, self.traces).await?;
            progress.finish_and_clear();
            if self.report.json {
                term::say(&doctor::json(&report, &backend).to_string())?;
            } else {
                let since = humantime::format_duration(self.since).to_string();
                for line in doctor::lines(&report, &backend, self.report.look(), &since) {
                    term::say(&line)?;
                }
            }
            Ok(ExitCode::from(if report.findings.is_empty() { 0 } else { FAILED }))
        })
    }
}

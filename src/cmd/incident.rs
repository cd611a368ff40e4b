//! `waybill incident`: something goes wrong on purpose, and what truly happened is written down.

use std::{path::PathBuf, process::ExitCode};

use journey::Outcome;

use crate::{
    cmd::stop::Signals,
    failure::Usage,
    incident::{self, Record, Request},
    runtime, term,
};

/// Replay an incident on real processes and write down what truly happened to each order
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The processes run on free ports with their data below DIR. Faults come from outside: third parties that misbehave, signals,
proxies between processes, OTEL_* settings, a wrong clock. DIR then holds
  incident.json   what truly happened: from the fault injector, the third parties' records and the databases, never from traces
  traces.jsonl    the traces as the store had them
  witnesses.json  what the services' books said, and when each service was last heard of
`waybill grade DIR` compares them. See docs/incidents.md.

Examples:
  waybill incident --list
  waybill incident new-years-eve --out /tmp/nye
  waybill incident new-years-eve --seed 7 --time-scale 0.1 --resilience on --out /tmp/cured")]
pub(crate) struct Args {
    /// Which incident; see --list
    #[arg(value_name = "NAME", required_unless_present = "list")]
    name: Option<String>,
    /// List the incidents and what they tell
    #[arg(long)]
    list: bool,
    /// Seed of everything that is drawn
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Folder for what the run leaves; must be empty or not there
    #[arg(long, value_name = "DIR", required_unless_present = "list")]
    out: Option<PathBuf>,
    /// Shortens deadlines, rides and faults alike: 1 is the truth, at 0.1 the courier's 45 s take 4.5 s
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    time_scale: f64,
    /// How many orders [default: as the incident has it]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2000))]
    orders: Option<u32>,
    /// Run the services resilient or naive [default: as the incident has it]
    #[arg(long, value_enum, value_name = "on|off")]
    resilience: Option<Switch>,
    /// Keep databases, spans and logs of the run in DIR/data
    #[arg(long)]
    keep: bool,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

// === impl Args ===

impl Args {
    /// Lists, or runs one.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        if self.list {
            for incident in incident::ALL {
                term::say(&format!("{:<28} {}", incident.name(), incident.tells()))?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        if !(0.02..=1.0).contains(&self.time_scale) {
            return Err(Usage(format!("--time-scale {}: a number from 0.02 to 1", self.time_scale)).into());
        }
        let name = self.name.unwrap_or_default();
        let incident = incident::find(&name).ok_or_else(|| {
            let known: Vec<_> = incident::ALL.iter().map(|i| i.name()).collect();
            Usage(format!("no incident is called {name:?}: one of {}", known.join(", ")))
        })?;
        let request = Request {
            seed: self.seed,
            orders: self.orders,
            time_scale: self.time_scale,
            resilience: self.resilience.map(|s| s == Switch::On),
            out: self.out.unwrap_or_default(),
            keep: self.keep,
        };
        let out = request.out.clone();
        runtime::run(async {
            let telemetry = runtime::client_telemetry("waybill-incident")?;
            let mut signals = Signals::new()?;
            let record = incident::run(incident, request, async { signals.next().await }).await;
            telemetry.shutdown(runtime::FLUSH).await;
            tell(&record?)?;
            term::say(&format!("waybill grade {}", out.display()))?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn tell(record: &Record) -> anyhow::Result<()> {
    let count = |outcome| record.orders.iter().filter(|o| o.outcome == outcome).count();
    let seconds = (record.rest_ms - record.begun_ms) / 1_000;
    term::say(&format!(
        "{} (seed {}): {} orders, {} arrived, {} stopped, {} never begun; at rest after {seconds} s{}",
        record.incident,
        record.seed,
        record.orders.len(),
        count(Outcome::Arrived),
        count(Outcome::Stopped),
        count(Outcome::NotBegun),
        if record.at_rest { "" } else { ", while things still changed" },
    ))?;
    Ok(())
}

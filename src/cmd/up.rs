//! `waybill up`: every part as a process of its own, until Ctrl-C.

use std::{path::PathBuf, process::ExitCode, time::Instant};

use crate::{
    cmd::stop::{Signals, StopArgs},
    failure::Usage,
    fleet::{self, Fleet, Options, Override, Plan, PortChoice},
    runtime, term,
};

/// Start the eight services, the partners, the collector and the trace store, each as its own process
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waybill up
  waybill up --ports auto --data /tmp/w
  waybill up --without collector,tracestore
  waybill up --env delivery-assignment:WAYBILL_COURIER_DEADLINE=3s

Each service takes its OTEL_* settings from services/<name>/otel.env. Ctrl-C stops everything in order; a second
Ctrl-C kills what still runs.")]
pub(crate) struct Args {
    #[command(flatten)]
    fleet: FleetArgs,
    #[command(flatten)]
    stop: StopArgs,
}

/// Which parts run, where, and with what; shared by `up` and `demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct FleetArgs {
    /// Listen on the usual ports or on free ones, written to DIR/endpoints.json
    #[arg(long, value_enum, default_value = "default", env = "PORTS")]
    ports: PortChoice,
    /// Folder for databases, spans and logs; kept between runs
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// Start only these parts
    #[arg(long, value_name = "PART,...", value_delimiter = ',')]
    only: Vec<String>,
    /// Start all but these parts
    #[arg(long, value_name = "PART,...", value_delimiter = ',')]
    without: Vec<String>,
    /// Read each service's settings from DIR/<service>/otel.env [default: services, if there]
    #[arg(long, value_name = "DIR")]
    otel_env_dir: Option<PathBuf>,
    /// The collector's configuration [default: collector-config.yaml, if there]
    #[arg(long, value_name = "FILE")]
    collector_config: Option<PathBuf>,
    /// Set one variable for one part; wins over everything else
    #[arg(long = "env", value_name = "PART:KEY=VALUE")]
    overrides: Vec<Override>,
}

// === impl Args ===

impl Args {
    /// Runs the fleet until it is told to stop.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        runtime::run(async {
            let stop = self.stop.requested()?;
            let begun = Instant::now();
            let mut fleet = self.fleet.start(&[])?;
            let result = tokio::select! {
                result = until_ready(&mut fleet, begun) => result,
                () = stop => Ok(()),
            };
            if result.is_ok() {
                term::note("stopping; Ctrl-C again to kill what still runs");
            }
            // Made only now: it must not see the Ctrl-C that has brought us here.
            let mut again = Signals::new()?;
            fleet.stop(async move { again.next().await }).await;
            result.map(|()| ExitCode::SUCCESS)
        })
    }
}

// === impl FleetArgs ===

impl FleetArgs {
    /// Checks and starts what was asked for. `defaults` are settings in the form of `--env` that the caller's win over.
    ///
    /// # Errors
    /// Whatever the checks found, before anything was started.
    pub(crate) fn start(self, defaults: &[&str]) -> anyhow::Result<Fleet> {
        let defaults = defaults.iter().map(|d| d.parse::<Override>().map_err(Usage));
        let mut overrides = defaults.collect::<Result<Vec<_>, _>>()?;
        overrides.extend(self.overrides);
        let plan = Plan::new(Options {
            ports: self.ports,
            data: self.data,
            only: self.only,
            without: self.without,
            otel_env_dir: self.otel_env_dir,
            collector_config: self.collector_config,
            overrides,
            quiet: false,
        })?;
        let checked = fleet::check(&plan)?;
        Fleet::start(plan, checked)
    }
}

/// Says where everything is once it is ready, then waits for ever; ends only when something cannot start.
async fn until_ready(fleet: &mut Fleet, begun: Instant) -> anyhow::Result<()> {
    fleet.ready().await?;
    announce(fleet, begun)?;
    std::future::pending().await
}

fn announce(fleet: &Fleet, begun: Instant) -> anyhow::Result<()> {
    let plan = fleet.plan();
    for part in &plan.parts {
        let url = part.ports.first().map(|p| plan.url(part.name, p.role)).unwrap_or_default();
        term::say(&format!("{:<24} {url}", part.name))?;
    }
    let (count, seconds) = (plan.parts.len(), begun.elapsed().as_secs_f64());
    term::say(&format!(
        "{count} parts ready in {seconds:.1} s; Ctrl-C stops them. {}",
        plan.endpoints().display()
    ))?;
    Ok(())
}

//! `waybill demo`: everything started, some food ordered, the tale told, then kept running to look around.

use std::{process::ExitCode, time::Instant};

use crate::{
    cmd::{
        stop::{Signals, StopArgs},
        up::FleetArgs,
    },
    demo,
    fleet::Fleet,
    runtime, term,
};

/// Start everything, order some food, and show the waterfall of each order, the lost one and the cured one
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What it tells: a good night; then an order that is lost because nobody answers for its courier; then the same order with
one service restarted under another setting, refunded. Every stamp is read back from the trace store.

Examples:
  waybill demo
  waybill demo --ports auto
  waybill demo --once --data /tmp/demo")]
pub(crate) struct Args {
    #[command(flatten)]
    fleet: FleetArgs,
    /// End after the tale instead of waiting for Ctrl-C
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    stop: StopArgs,
}

// === impl Args ===

impl Args {
    /// Tells the tale.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        runtime::run(async {
            let begun = Instant::now();
            let stop = self.stop.requested()?;
            let telemetry = runtime::client_telemetry("waybill-demo")?;
            let mut fleet = self.fleet.start(&demo::OVERRIDES)?;
            let result = tokio::select! {
                result = tale(&mut fleet, begun, self.once) => result,
                () = stop => Ok(()),
            };
            let mut again = Signals::new()?;
            fleet.stop(async move { again.next().await }).await;
            telemetry.shutdown(runtime::FLUSH).await;
            result.map(|()| ExitCode::SUCCESS)
        })
    }
}

async fn tale(fleet: &mut Fleet, begun: Instant, once: bool) -> anyhow::Result<()> {
    fleet.ready().await?;
    demo::tell(fleet, begun).await?;
    if once {
        return Ok(());
    }
    let plan = fleet.plan();
    term::say(&format!("\nthe front door: {}", plan.url("mobile-app", "http")))?;
    term::say(&format!("the Jaeger UI:  {}/search", plan.url("tracestore", "http")))?;
    term::say("Ctrl-C stops everything")?;
    std::future::pending().await
}

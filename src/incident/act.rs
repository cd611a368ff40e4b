//! What is done to the running system from outside, and when.

use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use super::{
    proxy::{Mode, Wires},
    record::{Fault, now_ms},
    stage::Pace,
};
use crate::fleet::Fleet;

/// One deed at one time after the first order (true time).
#[derive(Debug, Clone)]
pub(super) struct Act {
    pub(super) at: Duration,
    pub(super) deed: Deed,
}

/// What can be done.
#[derive(Debug, Clone)]
pub(super) enum Deed {
    /// SIGKILL; the supervisor starts the part again.
    Kill(&'static str),
    /// SIGSTOP: it is there and does nothing.
    Freeze(&'static str),
    /// SIGCONT.
    Thaw(&'static str),
    /// Opens, cuts or silences a wire.
    Turn(&'static str, Mode),
}

// === impl Act ===

impl Act {
    /// At this true second.
    pub(super) fn at(second: u64, deed: Deed) -> Self {
        Self { at: Duration::from_secs(second), deed }
    }
}

// === impl Deed ===

impl Deed {
    /// The part whose unsent telemetry it destroys or holds back.
    pub(super) fn silences(&self) -> Option<&'static str> {
        match self {
            Self::Kill(part) | Self::Freeze(part) => Some(part),
            Self::Thaw(_) | Self::Turn(..) => None,
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Kill(part) => format!("{part} is killed"),
            Self::Freeze(part) => format!("{part} is frozen"),
            Self::Thaw(part) => format!("{part} goes on"),
            Self::Turn(wire, Mode::Open) => format!("{wire} is connected again"),
            Self::Turn(wire, Mode::Cut) => format!("{wire} is cut"),
            Self::Turn(wire, Mode::Silent) => format!("{wire} is silent"),
        }
    }

    async fn run(&self, fleet: &Fleet, wires: &Wires) -> anyhow::Result<()> {
        match self {
            Self::Kill(part) => signal(fleet, part, Signal::KILL).await,
            Self::Freeze(part) => signal(fleet, part, Signal::STOP).await,
            Self::Thaw(part) => signal(fleet, part, Signal::CONT).await,
            Self::Turn(wire, mode) => wires.turn(wire, *mode),
        }
    }
}

/// Does everything in its turn and tells what was done when.
///
/// # Errors
/// When a part cannot be sent its signal.
pub(super) async fn perform(
    acts: &[Act],
    fleet: &Fleet,
    wires: &Wires,
    begun: Instant,
    pace: Pace,
) -> anyhow::Result<Vec<Fault>> {
    let mut acts = acts.to_vec();
    acts.sort_by_key(|a| a.at);
    let mut done: Vec<Fault> = Vec::new();
    for act in acts {
        tokio::time::sleep_until(begun + pace.of(act.at)).await;
        let at_ms = now_ms();
        if let Deed::Thaw(part) = act.deed {
            let frozen = |f: &&mut Fault| f.silences.as_deref() == Some(part) && f.until_ms.is_none();
            done.iter_mut().filter(frozen).for_each(|f| f.until_ms = Some(at_ms));
        }
        let silences = act.deed.silences().map(str::to_owned);
        let until_ms = matches!(act.deed, Deed::Kill(_)).then_some(at_ms);
        done.push(Fault { at_ms, what: act.deed.words(), silences, until_ms });
        act.deed.run(fleet, wires).await?;
    }
    Ok(done)
}

/// A part that is just being started again has no process: it is waited for.
async fn signal(fleet: &Fleet, part: &str, signal: Signal) -> anyhow::Result<()> {
    let patience = Duration::from_secs(10);
    let pid = tokio::time::timeout(patience, async {
        loop {
            match fleet.pid(part) {
                Some(pid) => return pid,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    });
    let pid = pid.await.with_context(|| format!("{part} does not run"))?;
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("a process id")?;
    kill_process(pid, signal).with_context(|| format!("sending a signal to {part}"))
}

//! One part as a process: how it is started, asked whether it is ready, and ended.

use std::{process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, ChildStdin, Command};
use tokio_util::sync::CancellationToken;

use super::{
    environment::Environment,
    journal::Journal,
    parts::{Kind, Part},
    plan::Plan,
};

/// The flag by which a child is told that its stdin is the line to its parent.
pub(crate) const LIFELINE: &str = "--until-stdin-closes";

/// A running part.
#[derive(Debug)]
pub(super) struct Living {
    pub(super) process: Child,
    // Taken out of `process`, which would close it as soon as it is waited for.
    pub(super) lifeline: Option<ChildStdin>,
}

/// Starts `part`. Its stdin is a pipe that nobody writes to: when this process ends, however it ends, the pipe closes and
/// the child stops by itself.
pub(super) fn spawn(
    part: &Part,
    env: &Environment,
    plan: &Plan,
    journal: &Journal,
) -> std::io::Result<Living> {
    let mut command = Command::new(std::env::current_exe()?);
    match part.kind {
        Kind::Service => command.args(["service", part.name]),
        Kind::Partners | Kind::TraceStore => command.arg(part.name),
        Kind::Collector => command.arg("collector").args(config(plan)),
    };
    command.arg(LIFELINE).envs(env);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Ctrl-C in a terminal goes to the whole process group: in groups of their own the children are stopped in order.
    command.process_group(0).kill_on_drop(true);
    let mut child = command.spawn()?;
    if let Some(stdout) = child.stdout.take() {
        detach(journal.clone().copy(stdout, false));
    }
    if let Some(stderr) = child.stderr.take() {
        detach(journal.clone().copy(stderr, true));
    }
    let lifeline = child.stdin.take();
    Ok(Living { process: child, lifeline })
}

/// The URL that answers 200 once `part` takes work.
pub(super) fn health_url(part: &Part, plan: &Plan) -> String {
    match part.kind {
        Kind::Service | Kind::Partners => format!("{}/readyz", plan.url(part.name, "http")),
        Kind::Collector => format!("{}/", plan.url(part.name, "health")),
        Kind::TraceStore => format!("{}/ready", plan.url(part.name, "http")),
    }
}

/// Asks `child` to stop and waits; after `grace`, or as soon as `at_once` is cancelled, it is killed.
/// False when it had to be killed.
pub(super) async fn stop(child: &mut Child, grace: Duration, at_once: &CancellationToken) -> bool {
    if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
    let patience = async {
        tokio::select! {
            () = tokio::time::sleep(grace) => {}
            () = at_once.cancelled() => {}
        }
    };
    tokio::select! {
        _ = child.wait() => true,
        () = patience => {
            drop(child.kill().await);
            false
        }
    }
}

fn config(plan: &Plan) -> Vec<String> {
    plan.collector_config().map(|p| vec!["--config".to_owned(), Plan::text(&p)]).unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "the supervisor is in no trace")]
fn detach(work: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(work));
}

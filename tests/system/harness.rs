//! A running fleet under test: started by `waybill up`, gone when dropped, however the test ends.

use std::{
    ffi::OsStr,
    fmt::Display,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

/// How long anything may take that has to happen in the end. Generous: a loaded machine is no failure.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// Fleets at once: eleven processes each.
pub(crate) static PLACES: Semaphore = Semaphore::const_new(2);

/// Settings under which a test need not wait for rides and couriers.
const BRISK: [&str; 2] = ["partners:WAYBILL_RIDE=200ms", "delivery-assignment:WAYBILL_COURIER_DEADLINE=3s"];

/// For `--env`: no courier answers for the old harbour, so the pizza is refunded.
pub(crate) const NOBODY_RIDES: &str = "partners:WAYBILL_PARTNERS_SCHEDULE={\"rules\":[{\"partner\":\"courier-fleet\",\
    \"match\":{\"zone\":\"old-harbour\"},\"do\":\"hang\"}]}";

/// A supervisor and its children.
pub(crate) struct Fleet {
    child: Child,
    data: PathBuf,
    folder: Option<TempDir>,
    _place: Option<SemaphorePermit<'static>>,
}

/// How a command that ran to its end ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

// === impl Fleet ===

impl Fleet {
    /// All parts, ready.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With further arguments of `waybill up`.
    pub(crate) async fn with(arguments: &[&str]) -> Self {
        let place = PLACES.acquire().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut fleet = Self::at(folder.path(), arguments);
        fleet.folder = Some(folder);
        fleet._place = Some(place);
        fleet.ready().await;
        fleet
    }

    /// On a data directory that outlives it. Not waited for.
    pub(crate) fn at(data: &Path, arguments: &[&str]) -> Self {
        let mut command = waybill(["up", "--ports", "auto", "--until-stdin-closes", "--data"]);
        command.arg(data);
        for setting in crate::backend::settings(data) {
            command.args(["--env", &setting]);
        }
        for setting in BRISK {
            command.args(["--env", setting]);
        }
        std::fs::create_dir_all(data).unwrap();
        let said = std::fs::File::create(data.join("said.log")).unwrap();
        // The pipe is also what ends the fleet when the test's process is killed.
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(said);
        let child = command.spawn().unwrap();
        Self { child, data: data.to_owned(), folder: None, _place: None }
    }

    /// Waits until every part that runs answers its health check.
    pub(crate) async fn ready(&self) {
        eventually("all parts ready", || async {
            let all = self.endpoints().ok_or("no endpoints.json")?;
            for (name, entry) in all.as_object().ok_or("not an object")? {
                let url = health(name, entry);
                let reply = http().get(&url).send().await.map_err(|e| format!("{name}: {e}"))?;
                if !reply.status().is_success() {
                    return Err(format!("{name}: {}", reply.status()));
                }
            }
            Ok(())
        })
        .await;
    }

    /// `endpoints.json`, if it is there.
    pub(crate) fn endpoints(&self) -> Option<Value> {
        serde_json::from_slice(&std::fs::read(self.data.join("endpoints.json")).ok()?).ok()
    }

    /// Base URL of a part's port.
    pub(crate) fn url(&self, part: &str, role: &str) -> String {
        let all = self.endpoints().expect("endpoints.json");
        all[part]["urls"][role].as_str().unwrap_or_else(|| panic!("{part} has no {role} in {all}")).to_owned()
    }

    /// Process of a part, if it runs now.
    pub(crate) fn pid(&self, part: &str) -> Option<i32> {
        i32::try_from(self.endpoints()?.get(part)?.get("pid")?.as_i64()?).ok()
    }

    /// Kills a part with SIGKILL; false when it did not run.
    pub(crate) fn kill(&self, part: &str) -> bool {
        let pid = self.pid(part).and_then(Pid::from_raw);
        pid.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())
    }

    /// What the supervisor has said on stderr.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.data.join("said.log")).unwrap_or_default()
    }

    /// Folder of its files.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Sends the supervisor a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Ctrl-C, and waits until everything has stopped.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        self.signal(Signal::INT);
        let child = &mut self.child;
        let status = tokio::time::timeout(LIMIT, async {
            loop {
                if let Some(status) = child.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        status.await.expect("the fleet stops")
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            eprintln!("logs and databases of the failed test are kept in {}", folder.keep().display());
        }
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let pids: Vec<_> = self
            .endpoints()
            .and_then(|all| Some(all.as_object()?.keys().filter_map(|name| self.pid(name)).collect()))
            .unwrap_or_default();
        drop(self.child.kill());
        drop(self.child.wait());
        for pid in pids.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// A fleet of all parts that every test may order from and read; it lives as long as the test process, whose end closes
/// its lifeline.
pub(crate) async fn shared() -> &'static Fleet {
    static FLEET: OnceCell<Fleet> = OnceCell::const_new();
    let start = || async {
        let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
        sweep(base);
        let fleet = Fleet::at(&base.join(format!("shared-{}", std::process::id())), &[]);
        fleet.ready().await;
        fleet
    };
    FLEET.get_or_init(start).await
}

/// Removes what shared fleets of earlier test processes have left.
fn sweep(base: &Path) {
    for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix("shared-").and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
        if pid.is_some_and(|pid| test_kill_process(pid).is_err()) {
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}

/// The command under test.
pub(crate) fn waybill<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(arguments: I) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waybill"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    // What the developer's shell exports must not change a test.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["OTEL_", "WAYBILL_", "RUST_LOG", "DATABASE_URL", "NATS_", "PORTS"]
            .iter()
            .any(|p| name.starts_with(p))
        {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end, which must come within twice [`LIMIT`].
pub(crate) async fn run(command: Command) -> Ended {
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT * 2, command.output()).await.expect("it ends").unwrap();
    Ended {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Asks again and again until it is so; panics with the last answer when it does not become so within [`LIMIT`].
pub(crate) async fn eventually<T, E: Display>(what: &str, ask: impl AsyncFnMut() -> Result<T, E>) -> T {
    eventually_within(LIMIT, what, ask).await
}

/// As [`eventually`], within another limit.
pub(crate) async fn eventually_within<T, E: Display>(
    limit: Duration,
    what: &str,
    mut ask: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let begun = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(why) if begun.elapsed() > limit => panic!("{what}: not within {limit:?}: {why}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// A client that keeps nothing between tests.
pub(crate) fn http() -> reqwest::Client {
    reqwest::Client::builder().timeout(Duration::from_secs(20)).no_proxy().build().unwrap()
}

fn health(name: &str, entry: &Value) -> String {
    let url = |role: &str| entry["urls"][role].as_str().unwrap_or_default().to_owned();
    match name {
        "collector" => url("health"),
        "tracestore" => format!("{}/ready", url("http")),
        _ => format!("{}/readyz", url("http")),
    }
}

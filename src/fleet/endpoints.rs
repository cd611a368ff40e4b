//! `endpoints.json`: where every part is and which process it is, true at every moment, gone when the fleet is.

use std::{
    collections::BTreeMap,
    fs, io,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use serde::Serialize;

use super::{parts::Part, plan::Plan};

/// Keeps the file in step with the fleet.
#[derive(Debug)]
pub(crate) struct Endpoints {
    path: PathBuf,
    entries: Mutex<BTreeMap<&'static str, Entry>>,
}

/// One part's place.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry {
    /// Base URL of its first port.
    url: String,
    /// The running process; absent between a death and the restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    /// How often the process died and was started again.
    restarts: u32,
    /// Base URL of every port, by what it serves.
    urls: BTreeMap<&'static str, String>,
}

// === impl Endpoints ===

impl Endpoints {
    /// All parts of the plan, none running.
    pub(crate) fn new(plan: &Plan) -> Self {
        let entries = plan.parts.iter().map(|part| (part.name, Entry::new(part, plan))).collect();
        Self { path: plan.endpoints(), entries: Mutex::new(entries) }
    }

    /// Notes that `part` now is process `pid`, or no process at all.
    ///
    /// # Errors
    /// When the file cannot be replaced.
    pub(crate) fn set(&self, part: &'static str, pid: Option<u32>) -> io::Result<()> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get_mut(part) {
            if entry.pid.is_some() && pid.is_none() {
                entry.restarts += 1;
            }
            entry.pid = pid;
        }
        // Within the lock: two parts that write at once must not put the older content last.
        let text = serde_json::to_vec_pretty(&*entries)?;
        let draft = self.path.with_extension("json.new");
        fs::write(&draft, text)?;
        fs::rename(&draft, &self.path)
    }

    /// Processes that run now.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.values().filter_map(|e| e.pid).collect()
    }

    /// The process that `part` now is; none between a death and the restart.
    pub(crate) fn pid(&self, part: &str) -> Option<u32> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(part).and_then(|e| e.pid)
    }

    /// Removes the file; that it is gone already is fine.
    pub(crate) fn remove(&self) {
        drop(fs::remove_file(&self.path));
    }
}

// === impl Entry ===

impl Entry {
    fn new(part: &'static Part, plan: &Plan) -> Self {
        let urls: BTreeMap<_, _> = part.ports.iter().map(|p| (p.role, plan.url(part.name, p.role))).collect();
        let url = part.ports.first().map(|p| plan.url(part.name, p.role)).unwrap_or_default();
        Self { url, pid: None, restarts: 0, urls }
    }
}

/// Resident memory of process `pid` in bytes, 0 when it is gone or the system has no `/proc`.
pub(crate) fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .and_then(|n| n.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

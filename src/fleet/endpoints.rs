//! `endpoints.json`: where every part is and which process it is, true at every moment, gone when the fleet is.

use std::{
    collections::BTreeMap,
    fs, io,
    ops::Add,
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

/// What processes hold of the machine's memory, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Each page counted once, however many processes share it (the sum of their `Pss`).
    pub(crate) held: u64,
    /// Shared pages, such as the program's own, counted for each process (the sum of their `Rss`).
    pub(crate) resident: u64,
}

// === impl Memory ===

impl Memory {
    /// Of process `pid`; nothing when it is gone or the system has no `/proc/PID/smaps_rollup` (proc(5)).
    pub(crate) fn of(pid: u32) -> Self {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let bytes = |key: &str| {
            let kib = text.lines().find_map(|line| line.strip_prefix(key)?.trim().strip_suffix(" kB"));
            kib.and_then(|n| n.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
        };
        Self { held: bytes("Pss:"), resident: bytes("Rss:") }
    }
}

impl Add for Memory {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { held: self.held + other.held, resident: self.resident + other.resident }
    }
}

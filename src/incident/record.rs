//! The files that a run leaves: what truly happened, the traces, the witnesses. `docs/incidents.md` describes them.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail};
use journey::{Heard, Outcome, Phase, Witness};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Version of the files' form.
pub(crate) const VERSION: u32 = 1;

/// `incident.json`: what truly happened, from everything but traces.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// [`VERSION`].
    pub(crate) version: u32,
    /// Name of the incident.
    pub(crate) incident: String,
    /// What it tells, in one sentence.
    pub(crate) tells: String,
    /// Everything that was drawn came from it.
    pub(crate) seed: u64,
    /// 1 is the truth; 0.1 means that 45 s took 4.5 s.
    pub(crate) time_scale: f64,
    /// `WAYBILL_RESILIENCE` of the run.
    pub(crate) resilience: bool,
    /// First order, Unix milliseconds.
    pub(crate) begun_ms: u64,
    /// When nothing changed any more, Unix milliseconds.
    pub(crate) rest_ms: u64,
    /// False: things still changed when patience ended.
    pub(crate) at_rest: bool,
    /// The moment for which verdicts are asked, Unix nanoseconds: a minute after everything had come to rest.
    pub(crate) asked_ns: u64,
    /// What was done to the system, and when.
    pub(crate) faults: Vec<Fault>,
    /// The third parties' misbehaviour, as they were given it.
    pub(crate) schedule: Option<String>,
    /// Every order, in the order of placing.
    pub(crate) orders: Vec<Truth>,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fault {
    /// Unix milliseconds.
    pub(crate) at_ms: u64,
    /// In plain words.
    pub(crate) what: String,
    /// The part whose unsent telemetry it destroyed or held back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) silences: Option<String>,
    /// When that was over, Unix milliseconds; absent when it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until_ms: Option<u64>,
}

/// What truly happened to one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Truth {
    /// Position in the order of placing, from 1.
    pub(crate) n: u32,
    /// Public order id.
    pub(crate) order_id: String,
    /// The cart it came from.
    pub(crate) cart_id: String,
    /// As the customer got it with the reply.
    pub(crate) trace_id: String,
    /// What the customer finds on the statement; empty when nobody was asked for money.
    pub(crate) payment_reference: String,
    /// What the front door answered: `201`, `202`, or why not.
    pub(crate) answer: String,
    /// What became of it.
    pub(crate) outcome: Outcome,
    /// Where it came to rest, good or bad: `delivered`, `refunded`, `declined`, `refused`.
    pub(crate) end: Option<String>,
    /// Where it stopped.
    pub(crate) stop: Option<Halt>,
    /// What the card network took, in minor units.
    pub(crate) charged_minor: i64,
    /// What the card network gave back, in minor units.
    pub(crate) refunded_minor: i64,
    /// Whether the customer was told of the ride or of the refund.
    pub(crate) customer_told: bool,
    /// Whether a fault touched its telemetry.
    pub(crate) telemetry: Telemetry,
}

/// Where an order stopped, in the route's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Halt {
    /// Name of the first step that is owed.
    pub(crate) step: String,
    /// How far it got.
    pub(crate) phase: Phase,
    /// The service's `error.type`, or `not_received` or `no_word`.
    pub(crate) cause: String,
}

/// Whether a fault touched an order's telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Telemetry {
    /// No.
    Whole,
    /// It may have: spans of it may be missing, cut off, or wrong in time.
    Holed,
}

/// `witnesses.json`: what others than the order's own spans said when everything had come to rest.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Witnesses {
    /// [`VERSION`].
    pub(crate) version: u32,
    /// When the store last heard of each service.
    pub(crate) heard: Heard,
    /// By order id.
    pub(crate) orders: BTreeMap<String, Vec<Witness>>,
}

/// The folder of one run.
#[derive(Debug, Clone)]
pub(crate) struct Files(PathBuf);

// === impl Fault ===

impl Fault {
    /// Whether it may have touched telemetry that was made between the two times, Unix milliseconds.
    pub(super) fn touches(&self, from_ms: u64, to_ms: u64) -> bool {
        self.silences.is_some() && from_ms <= self.until_ms.unwrap_or(u64::MAX) && self.at_ms <= to_ms
    }
}

// === impl Files ===

impl Files {
    /// A folder for a new run.
    ///
    /// # Errors
    /// When it holds something already, or cannot be made.
    pub(crate) fn make(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        if fs::read_dir(folder)?.next().is_some() {
            bail!(crate::failure::Usage(format!(
                "{} is not empty: give --out a folder of its own",
                folder.display()
            )));
        }
        Ok(Self(folder.to_owned()))
    }

    /// The folder that holds `incident`, an `incident.json`; a folder itself is fine, too.
    pub(crate) fn of(incident: &Path) -> Self {
        let folder =
            if incident.is_dir() { Some(incident) } else { incident.parent() }.unwrap_or(Path::new("."));
        Self(folder.to_owned())
    }

    /// Where the processes keep their files during the run.
    pub(super) fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    /// Writes the collector's configuration, where it is not the usual one.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn collector(&self, config: Option<&str>) -> anyhow::Result<Option<PathBuf>> {
        let Some(config) = config else { return Ok(None) };
        let path = self.0.join("collector-config.yaml");
        fs::write(&path, config).with_context(|| format!("writing {}", path.display()))?;
        Ok(Some(path))
    }

    /// `incident.json`.
    pub(crate) fn incident(&self) -> PathBuf {
        self.0.join("incident.json")
    }

    fn traces(&self) -> PathBuf {
        self.0.join("traces.jsonl")
    }

    fn witnesses(&self) -> PathBuf {
        self.0.join("witnesses.json")
    }

    /// Writes all three; `incident.json` last, so that a folder with one is complete.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn write(
        &self,
        record: &Record,
        traces: &[String],
        witnesses: &Witnesses,
    ) -> anyhow::Result<()> {
        let mut out = BufWriter::new(fs::File::create(self.traces())?);
        for line in traces {
            writeln!(out, "{line}")?;
        }
        out.flush()?;
        fs::write(self.witnesses(), serde_json::to_vec_pretty(witnesses)?)?;
        fs::write(self.incident(), serde_json::to_vec_pretty(record)?)?;
        Ok(())
    }

    /// What truly happened.
    ///
    /// # Errors
    /// When the file is missing, is none, or is of another version.
    pub(crate) fn record(&self) -> anyhow::Result<Record> {
        let record: Record = read(&self.incident())?;
        if record.version != VERSION {
            bail!(
                "{} has version {}, this program reads {VERSION}",
                self.incident().display(),
                record.version
            );
        }
        Ok(record)
    }

    /// The traces, one JSON text each.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn trace_lines(&self) -> anyhow::Result<Vec<String>> {
        let path = self.traces();
        let file = fs::File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        let lines = BufReader::new(file).lines().collect::<Result<Vec<_>, _>>();
        lines.with_context(|| format!("reading {}", path.display()))
    }

    /// What the witnesses said.
    ///
    /// # Errors
    /// When the file is missing or is none.
    pub(crate) fn told(&self) -> anyhow::Result<Witnesses> {
        read(&self.witnesses())
    }
}

/// Unix milliseconds now.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not as expected", path.display()))
}

//! One run, order by order: what the engine says, from traces alone and with witnesses, beside what is true.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

use journey::{Case, Heard, Outcome, Route, Trace, Verdict, Witness, adapters::otlp, judge};

use crate::incident::{Files, Record, Telemetry, Truth};

/// What a verdict rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Evidence {
    /// The order's id and the recorded traces.
    Traces,
    /// Those, and what the recorded witnesses said.
    Witnesses,
}

/// One run, graded.
pub(crate) struct Graded {
    /// What truly happened.
    pub(crate) record: Record,
    /// One per order and kind of evidence.
    pub(crate) marks: Vec<Mark>,
}

/// One verdict beside the truth.
pub(crate) struct Mark {
    /// Position of the order in the record.
    pub(crate) order: usize,
    /// What the verdict rests on.
    pub(crate) evidence: Evidence,
    /// None: no trace bears the order's id, and no witness knows of it.
    pub(crate) verdict: Option<Verdict>,
    /// From the recorded text to the verdict.
    pub(crate) took: Duration,
}

/// The recorded traces, found by order id as a search of the store finds them.
struct Shelf {
    lines: Vec<String>,
    by_subject: HashMap<String, Vec<usize>>,
}

// === impl Evidence ===

impl Evidence {
    /// Both, the poorer first.
    pub(crate) const ALL: [Self; 2] = [Self::Traces, Self::Witnesses];

    /// In the tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces alone",
            Self::Witnesses => "with witnesses",
        }
    }
}

// === impl Mark ===

impl Mark {
    /// The verdict in one word; `None` for an order that no trace tells of.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.verdict.as_ref().map(|v| v.outcome)
    }

    /// It is said to be lost.
    pub(crate) fn alarms(&self) -> bool {
        self.outcome() == Some(Outcome::Stopped)
    }

    /// Outcome as it truly is. Undecided is never right.
    pub(crate) fn right(&self, truth: &Truth) -> bool {
        self.outcome() == Some(truth.outcome)
    }

    /// Same step, phase, cause as the truth's stop point.
    pub(crate) fn point(&self, truth: &Truth) -> [bool; 3] {
        let stop =
            self.verdict.as_ref().filter(|v| v.outcome == Outcome::Stopped).and_then(|v| v.stop.as_ref());
        match (stop, &truth.stop) {
            (Some(said), Some(is)) => {
                [said.step == is.step, said.phase == is.phase, said.cause.as_deref() == Some(&is.cause)]
            }
            _ => [false; 3],
        }
    }

    /// Whether everything is as it should be: nothing to explain.
    pub(crate) fn flawless(&self, truth: &Truth) -> bool {
        self.right(truth) && (truth.outcome != Outcome::Stopped || self.point(truth) == [true; 3])
    }
}

// === impl Graded ===

impl Graded {
    /// The truth that `mark` is about.
    pub(crate) fn truth(&self, mark: &Mark) -> &Truth {
        &self.record.orders[mark.order]
    }

    /// Whether a fault touched the telemetry of the order that `mark` is about.
    pub(crate) fn holed(&self, mark: &Mark) -> bool {
        self.truth(mark).telemetry == Telemetry::Holed
    }
}

/// Grades the run whose `incident.json` (or folder) is given.
///
/// # Errors
/// When one of the run's files is missing or unreadable.
pub(crate) fn grade(incident: &Path, route: &Route) -> anyhow::Result<Graded> {
    let files = Files::of(incident);
    let record = files.record()?;
    let told = files.told()?;
    let shelf = Shelf::new(files.trace_lines()?, &route.subject)?;
    let mut marks = Vec::new();
    for (order, truth) in record.orders.iter().enumerate() {
        let said = told.orders.get(&truth.order_id).map(Vec::as_slice).unwrap_or_default();
        for evidence in Evidence::ALL {
            let witnesses = if evidence == Evidence::Witnesses { said } else { &[] };
            let begun = Instant::now();
            let verdict = shelf.verdict(&truth.order_id, route, &told.heard, witnesses, record.asked_ns)?;
            marks.push(Mark { order, evidence, verdict, took: begun.elapsed() });
        }
    }
    Ok(Graded { record, marks })
}

// === impl Shelf ===

impl Shelf {
    fn new(lines: Vec<String>, subject: &str) -> anyhow::Result<Self> {
        let mut by_subject: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, line) in lines.iter().enumerate() {
            for span in otlp::parse(line.as_bytes())?.into_iter().flat_map(|t| t.spans) {
                if let Some(id) = span.attributes.get(subject) {
                    let found = by_subject.entry(id.clone()).or_default();
                    if found.last() != Some(&at) {
                        found.push(at);
                    }
                }
            }
        }
        Ok(Self { lines, by_subject })
    }

    fn verdict(
        &self,
        id: &str,
        route: &Route,
        heard: &Heard,
        witnesses: &[Witness],
        now_ns: u64,
    ) -> anyhow::Result<Option<Verdict>> {
        let mut traces: Vec<Trace> = Vec::new();
        for at in self.by_subject.get(id).map(Vec::as_slice).unwrap_or_default() {
            traces.extend(otlp::parse(self.lines[*at].as_bytes())?);
        }
        let case = Case::split(traces, route).into_iter().find(|c| c.subject.as_deref() == Some(id));
        // Of an order without any trace, sampled away say, the books may still tell.
        let told = || Case { subject: Some(id.to_owned()), ..Case::default() };
        let case = case.or_else(|| (!witnesses.is_empty()).then(told));
        Ok(case.map(|case| judge(&Case { heard: heard.clone(), ..case }, route, witnesses, now_ns)))
    }
}

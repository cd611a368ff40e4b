//! Is the telemetry itself sound? What traces show of dropped context, silent services, wrong clocks, missing names and
//! personal data.

mod clocks;
mod context;
mod parents;
mod personal;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{Route, Span, Step, Trace, path::later};

/// One thing that is wrong with the telemetry of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ailment {
    /// What is wrong.
    pub symptom: Symptom,
    /// `service.name` of the one to look at.
    pub service: String,
    /// What was seen, in plain words: span names, attribute keys, how far off; never a value that may be personal.
    pub detail: String,
    /// How often it was seen.
    pub count: usize,
    /// Id of a trace that shows it; none where nothing is there to show.
    pub trace: Option<String>,
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Symptom {
    /// A server span without the caller's client span: the caller sends no context, or the service reads none.
    ContextDropped,
    /// A message was taken whose making no span shows.
    NoProducer,
    /// A parent id that no span bears: the parent was not delivered.
    ParentMissing,
    /// Two services' clocks disagree.
    ClockWrong,
    /// A span of the route without the attribute that names what travels.
    NoSubject,
    /// An attribute that looks like personal data.
    PersonalData,
    /// A service of the route of which no span is there.
    Silent,
}

// === impl Symptom ===

impl Symptom {
    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::ContextDropped => {
                "let the caller inject and the service extract the W3C traceparent header; OTEL_PROPAGATORS must name tracecontext on both"
            }
            Self::NoProducer => {
                "let the sender put the context of its producer span into the message, and let its exporter deliver that span"
            }
            Self::ParentMissing => {
                "look at the drop and refusal counters of the service's exporter and of the collector"
            }
            Self::ClockWrong => {
                "synchronise the host's clock (NTP); until then do not trust times across the two"
            }
            Self::NoSubject => {
                "set the attribute at the span's start, from baggage where the body is not read yet"
            }
            Self::PersonalData => "remove the attribute where it is set, or delete it in the collector",
            Self::Silent => {
                "look whether it runs, at OTEL_SDK_DISABLED and OTEL_TRACES_EXPORTER, and at its exporter's errors"
            }
        }
    }
}

/// What is wrong with the telemetry of `traces`: symptom by symptom, the most frequent first. A trace of which a span ended
/// less than the route's longest deadline before `now_ns` may still grow: nothing is said to be missing from it.
pub fn health(traces: &[Trace], route: &Route, now_ns: u64) -> Vec<Ailment> {
    let chart = Chart::of(route);
    let (mut notes, mut dropped) = (Notes::default(), Vec::new());
    for trace in traces {
        let tree = Tree::of(trace);
        context::examine(&tree, &chart, &mut notes, &mut dropped);
        if trace.spans.iter().all(|s| later(s.end_ns.max(s.start_ns), chart.settles).le(&now_ns)) {
            parents::examine(&tree, &chart, &mut notes);
        }
        personal::examine(trace, &mut notes);
    }
    context::blame(&dropped, &mut notes);
    clocks::examine(traces, &mut notes);
    silent(traces, route, &mut notes);
    notes.sorted()
}

/// What the route says of names.
struct Chart<'a> {
    route: &'a Route,
    services: HashSet<&'a str>,
    /// How long a trace may grow.
    settles: Duration,
}

/// A trace with its spans by id.
struct Tree<'a> {
    trace: &'a Trace,
    by_id: HashMap<&'a str, &'a Span>,
}

/// What was noted, each thing once with its count and first example.
#[derive(Default)]
struct Notes(BTreeMap<(Symptom, String, String), (usize, Option<String>)>);

// === impl Chart ===

impl<'a> Chart<'a> {
    fn of(route: &'a Route) -> Self {
        let longest = route.every_step().map(|s| s.deadline).max().unwrap_or_default();
        let settles = longest.saturating_add(route.lag);
        Self { route, services: route.services().into_iter().collect(), settles }
    }

    /// The steps for which `span` is a mark of the step's own doing.
    fn steps_of(&self, span: &'a Span) -> impl Iterator<Item = &'a Step> {
        self.route
            .every_step()
            .filter(|s| s.begun.iter().chain(&s.done).chain(&s.stopped).any(|m| m.fits(span)))
    }

    /// Services that hand on to the step which `span` stands for; none where the route does not say.
    fn senders(&self, span: &'a Span) -> Vec<&'a str> {
        let marks = self.steps_of(span).flat_map(|s| &s.handoff).filter(|m| m.service != span.service);
        let mut all: Vec<&str> = marks.map(|m| m.service.as_str()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Some other service hands on to it.
    fn receives(&self, service: &str) -> bool {
        let steps = self.route.every_step().filter(|s| s.services().contains(&service));
        steps.flat_map(|s| &s.handoff).any(|m| m.service != service)
    }
}

// === impl Tree ===

impl<'a> Tree<'a> {
    fn of(trace: &'a Trace) -> Self {
        Self { trace, by_id: trace.spans.iter().map(|s| (s.id.as_str(), s)).collect() }
    }

    fn parent(&self, span: &Span) -> Option<&'a Span> {
        self.by_id.get(span.parent.as_deref()?).copied()
    }
}

// === impl Notes ===

impl Notes {
    fn add(&mut self, symptom: Symptom, service: &str, detail: String, trace: Option<&str>) {
        let (count, example) = self.0.entry((symptom, service.to_owned(), detail)).or_default();
        *count += 1;
        if example.is_none() {
            *example = trace.map(str::to_owned);
        }
    }

    fn sorted(self) -> Vec<Ailment> {
        let mut all: Vec<_> = self
            .0
            .into_iter()
            .map(|((symptom, service, detail), (count, trace))| Ailment {
                symptom,
                service,
                detail,
                count,
                trace,
            })
            .collect();
        all.sort_by_key(|a| (a.symptom, std::cmp::Reverse(a.count)));
        all
    }
}

fn silent(traces: &[Trace], route: &Route, notes: &mut Notes) {
    let heard: HashSet<&str> = traces.iter().flat_map(|t| &t.spans).map(|s| s.service.as_str()).collect();
    if heard.is_empty() {
        return;
    }
    for service in route.services().into_iter().filter(|s| !heard.contains(s)) {
        let detail = format!("none of {} traces holds a span of it", traces.len());
        notes.add(Symptom::Silent, service, detail, None);
    }
}

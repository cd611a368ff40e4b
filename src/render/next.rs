//! What to do next, as data: a line for each way in which a journey can have come to where it is.

use journey::{Outcome, Phase, Route, State, Verdict};

use super::units::clock;
use crate::ask::Places;

/// When a line holds: this outcome, and this phase where one is given.
struct Advice {
    outcome: Outcome,
    phase: Option<Phase>,
    /// Left out when one of its `{places}` cannot be filled.
    line: &'static str,
}

const fn advice(outcome: Outcome, phase: Option<Phase>, line: &'static str) -> Advice {
    Advice { outcome, phase, line }
}

/// `{step}` and `{service}`: where it stopped. `{before}`: the service that hands on to it. `{book}`, `{before_book}`: what
/// these have on record. `{missing}`: steps without telemetry. `{due}`: until when it may take. `{id}`: what travels.
const TABLE: &[Advice] = &[
    advice(Outcome::Arrived, None, "telemetry of {missing} is missing: `waybill doctor` says why"),
    advice(Outcome::UnderWay, None, "ask again after {due} UTC, or follow it: waybill where {id} --watch"),
    advice(
        Outcome::Stopped,
        Some(Phase::NotSent),
        "{before} did its part and never handed on to {step}: see whether {before} runs, and its log of this trace",
    ),
    advice(
        Outcome::Stopped,
        Some(Phase::NotSent),
        "what {before} has on record, and still has to send: GET {before_book}",
    ),
    advice(
        Outcome::Stopped,
        Some(Phase::NotReceived),
        "{step} was handed to and never took it: see whether {service} runs and can be reached from {before}",
    ),
    advice(Outcome::Stopped, Some(Phase::NotReceived), "what {before} still has to send: GET {before_book}"),
    advice(
        Outcome::Stopped,
        Some(Phase::NotFinished),
        "{service} took it and fell silent: see whether it runs, and since when",
    ),
    advice(Outcome::Stopped, Some(Phase::NotFinished), "what {service} has on record: GET {book}"),
    advice(Outcome::Stopped, Some(Phase::Failed), "the log of {service} for this trace says more"),
    advice(Outcome::Stopped, Some(Phase::Failed), "what {service} has on record: GET {book}"),
    advice(Outcome::Stopped, None, "what was paid is owed to the customer until it goes on or is given back"),
    advice(Outcome::Undecided, None, "telemetry is missing around {step}: run `waybill doctor`"),
    advice(Outcome::Undecided, None, "ask {service} itself: GET {book}"),
    advice(
        Outcome::Undecided,
        None,
        "say where {service} is, so that its book can be asked: --endpoints FILE or {variable}",
    ),
    advice(Outcome::NotBegun, None, "it can still be ordered; nothing has been asked of anyone yet"),
];

/// What to do next, most urgent first.
pub(crate) fn next(verdict: &Verdict, route: &Route, places: &Places) -> Vec<String> {
    let blanks = Blanks { verdict, route, places };
    let phase = verdict.stop.as_ref().map(|s| s.phase);
    let fits = |a: &&Advice| a.outcome == verdict.outcome && (a.phase.is_none() || a.phase == phase);
    let owed = verdict.value.as_ref().is_some_and(|v| v.taken == Some(true) && v.returned != Some(true));
    let lines = TABLE.iter().filter(fits).filter(|a| owed || !a.line.starts_with("what was paid"));
    lines.filter_map(|a| blanks.fill(a.line)).collect()
}

struct Blanks<'a> {
    verdict: &'a Verdict,
    route: &'a Route,
    places: &'a Places,
}

// === impl Blanks ===

impl Blanks<'_> {
    /// `line` with its places filled; none when one cannot be.
    fn fill(&self, line: &str) -> Option<String> {
        let mut text = String::new();
        let mut rest = line;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}')?;
            text.push_str(before);
            text.push_str(&super::clean(&self.value(name)?));
            rest = after;
        }
        text.push_str(rest);
        Some(text)
    }

    fn value(&self, name: &str) -> Option<String> {
        let step = || self.verdict.stop.as_ref().map(|s| s.step.as_str());
        let service = || self.service(step()?);
        let before = || {
            let at = self.route.steps.iter().position(|s| Some(s.name()) == step())?;
            self.service(self.route.follows(at).first()?)
        };
        let book = |service: &str| {
            let (url, id) = (self.places.url(service)?, self.verdict.subject.as_ref()?);
            Some(format!("{url}/book?order_id={id}"))
        };
        match name {
            "step" => step().map(str::to_owned),
            "service" => service().map(str::to_owned),
            "before" => before().map(str::to_owned),
            "book" => book(service()?),
            "before_book" => book(before()?),
            "variable" => {
                let service = service().filter(|s| self.places.url(s).is_none())?;
                Some(format!("{}_URL", service.to_ascii_uppercase().replace('-', "_")))
            }
            "missing" => self.missing(),
            "due" => self.verdict.due_ns.map(clock),
            "id" => self.verdict.subject.clone().or_else(|| self.verdict.traces.first().cloned()),
            _ => None,
        }
    }

    /// The service that does a step.
    fn service(&self, step: &str) -> Option<&str> {
        let step = self.route.step(step)?;
        step.done.iter().chain(&step.begun).next().map(|mark| mark.service.as_str())
    }

    fn missing(&self) -> Option<String> {
        let missing = self.verdict.stamps.iter().filter(|s| s.state == State::Missing);
        let names: Vec<_> = missing.map(|s| s.step.as_str()).collect();
        Some(names.join(", ")).filter(|n| !n.is_empty())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use journey::{Case, Stop};

    use super::*;

    fn stopped(phase: Phase) -> Vec<String> {
        let route = Route::parse(contracts::ROUTE).unwrap();
        let case = Case { subject: Some("7F3K-9QZD-XM42".into()), ..Case::default() };
        let mut verdict = journey::judge(&case, &route, &[], 0);
        verdict.outcome = Outcome::Stopped;
        let step = "delivery-assignment".to_owned();
        verdict.stop = Some(Stop { step, phase, cause: None, words: None, since_ns: 0 });
        next(&verdict, &route, &Places::default())
    }

    #[test]
    fn each_phase_has_its_own_advice_that_names_who_to_look_at() {
        assert!(stopped(Phase::NotSent)[0].starts_with("restaurant-orders did its part"));
        assert!(stopped(Phase::NotReceived)[0].contains("whether delivery-assignment runs"));
        assert!(stopped(Phase::NotFinished)[0].starts_with("delivery-assignment took it"));
        assert!(stopped(Phase::Failed)[0].contains("log of delivery-assignment"));
    }

    #[test]
    fn every_place_of_the_table_is_known() {
        let known = ["step", "service", "before", "book", "before_book", "variable", "missing", "due", "id"];
        for line in TABLE.iter().map(|a| a.line) {
            for part in line.split('{').skip(1) {
                assert!(known.contains(&part.split('}').next().unwrap()), "{line}");
            }
        }
    }
}

//! The verdict: the journey laid beside its route, the first owed step weighed, everything that mattered written down.

use crate::{
    Case, End, Finding, Outcome, Phase, Route, Says, Stamp, State, Stop, Verdict, Way, Weight, Witness,
    look::Look,
    path::{Path, later},
    spans::Spans,
    trust::Trust,
    value::value,
    weigh::{Answer, Question, people},
};

/// What became of `case` on `route`, as known at `now_ns` (Unix nanoseconds).
///
/// Spans are first-hand for what happened; witnesses decide what an absence means. Without any, an absence that may be
/// missing telemetry alone gives [`Outcome::Undecided`]. For the same evidence a later `now_ns` may turn
/// [`Outcome::UnderWay`] into another outcome, and never the other way round.
pub fn judge(case: &Case, route: &Route, witnesses: &[Witness], now_ns: u64) -> Verdict {
    let spans = Spans::of(case, route);
    let path = Path::of(&spans, route, witnesses);
    let trust = Trust::of(case, witnesses, &path, &spans);
    let bench = Bench { case, route, witnesses, now_ns, spans, path, trust };
    bench.verdict()
}

struct Bench<'a> {
    case: &'a Case,
    route: &'a Route,
    witnesses: &'a [Witness],
    now_ns: u64,
    spans: Spans<'a>,
    path: Path<'a>,
    trust: Trust<'a>,
}

/// What is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    Step(usize),
    /// A step of the other way.
    Aside(usize),
    /// Nothing but the end itself.
    End,
    Nothing,
}

// === impl Bench ===

impl<'a> Bench<'a> {
    fn verdict(&self) -> Verdict {
        let owed = self.owed();
        let answer = match owed {
            Owed::Step(0) if !self.has_begun() => None,
            Owed::Step(i) => Some(self.question(i).answer()),
            Owed::Aside(i) => self.aside(i).map(|q| q.answer()),
            Owed::End => self.end_pending(),
            Owed::Nothing => None,
        };
        let end = self.end(owed);
        let answer = answer.map(|answer| self.ended_badly(answer, end));
        let outcome = match (&answer, owed) {
            (Some(answer), _) => answer.outcome,
            (None, Owed::Step(_)) if self.spans.is_empty() => Outcome::Undecided,
            (None, Owed::Step(_)) => Outcome::NotBegun,
            (None, Owed::End) => Outcome::UnderWay,
            (None, _) if end.is_some_and(|e| !e.good) => Outcome::Stopped,
            (None, _) => Outcome::Arrived,
        };
        let mut findings = self.background();
        let (stop, due) = match answer {
            Some(answer) => {
                findings.extend(answer.findings);
                let kept = matches!(outcome, Outcome::Stopped | Outcome::Undecided).then_some(answer.stop);
                (kept, (outcome == Outcome::UnderWay).then_some(answer.due_ns))
            }
            None => (None, None),
        };
        findings.sort_by_key(|f| f.weight);
        findings.dedup();
        Verdict {
            route: self.route.name.clone(),
            subject: self.case.subject.clone(),
            traces: self.spans.traces(self.case),
            outcome,
            end: end.map(|e| e.name.clone()),
            stamps: self.stamps(owed, outcome, stop.as_ref()),
            alternative: self.way(owed, outcome, stop.as_ref()),
            value: value(&self.spans, self.route, &self.path, self.witnesses, outcome),
            stop,
            findings,
            asked_ns: self.now_ns,
            due_ns: due,
        }
    }

    fn owed(&self) -> Owed {
        if let Some(i) = (0..self.path.looks.len()).find(|i| !self.path.is_settled(*i)) {
            return Owed::Step(i);
        }
        let ended = self.path.end.is_some();
        if let Some(way) = &self.path.way {
            let open = (0..way.looks.len()).find(|i| {
                let (look, told) = (&way.looks[*i], way.told[*i]);
                let quiet = way.shown.is_none() && ended && !self.says_not_seen(look.step.name());
                !(look.is_done() || told || look.step.optional && !look.has_own() || quiet)
            });
            return open.map_or(Owed::Nothing, Owed::Aside);
        }
        let awaited = self.route.ends.iter().any(|e| e.deadline.is_some());
        if !ended && awaited { Owed::End } else { Owed::Nothing }
    }

    /// An end that is not good stops it at once, where it is.
    fn ended_badly(&self, mut answer: Answer, end: Option<&End>) -> Answer {
        if let Some(end) = end.filter(|e| !e.good) {
            answer.outcome = Outcome::Stopped;
            let words = end.words.clone().unwrap_or_else(|| format!("was {}", end.name));
            if answer.stop.phase != Phase::Failed {
                answer.stop.cause = Some(end.name.clone());
                answer.stop.words = Some(format!("it {words}"));
            }
        }
        answer
    }

    /// The end that was reached; a way whose steps are all done leads to its own.
    fn end(&self, owed: Owed) -> Option<&'a End> {
        let led = || self.path.way.as_ref().filter(|_| owed == Owed::Nothing).and_then(|w| w.way.end());
        let led = || self.route.ends.iter().find(|e| led() == Some(e.name.as_str()));
        self.path.end.as_ref().map(|e| e.end).or_else(led)
    }

    fn says_not_seen(&self, name: &str) -> bool {
        self.witnesses.iter().any(|w| matches!(&w.says, Says::NotSeen { step } if step == name))
    }

    /// Something shows that the first step was at least handed on to.
    fn has_begun(&self) -> bool {
        let first = &self.path.looks[0];
        let told = self.witnesses.iter().any(|w| match &w.says {
            Says::Begun { step } | Says::Stopped { step, .. } => step == first.step.name(),
            _ => false,
        });
        first.has_own() || !first.handoffs.is_empty() || told
    }

    fn question(&self, i: usize) -> Question<'_, 'a> {
        let mut next: Vec<&str> = Vec::new();
        let after = self.path.looks[i + 1..].iter().map(|l| l.step);
        let aside = self.route.alternatives.iter().filter(|w| w.after() == self.path.looks[i].step.name());
        for service in after.chain(aside.flat_map(|w| &w.steps)).flat_map(|s| s.services()) {
            if !next.contains(&service) {
                next.push(service);
            }
        }
        self.ask(&self.path.looks[i], next, self.path.before(i, &self.spans, self.route))
    }

    fn aside(&self, i: usize) -> Option<Question<'_, 'a>> {
        let way = self.path.way.as_ref()?;
        let before = way.shown.and_then(|n| self.spans.end(n));
        Some(self.ask(&way.looks[i], Vec::new(), before))
    }

    fn ask<'q>(&'q self, look: &'q Look<'a>, next: Vec<&'a str>, before: Option<u64>) -> Question<'q, 'a> {
        Question {
            route: self.route,
            spans: &self.spans,
            look,
            trust: &self.trust,
            witnesses: self.witnesses,
            next,
            before,
            now_ns: self.now_ns,
        }
    }

    /// All steps are done, and the end has not been seen.
    fn end_pending(&self) -> Option<Answer> {
        let end = self.route.ends.iter().find(|e| e.deadline.is_some())?;
        let deadline = end.deadline?;
        let at = (0..self.path.looks.len())
            .rfind(|i| end.after().is_none_or(|a| a == self.path.looks[*i].step.name()))?;
        let look = &self.path.looks[at];
        let since = look.decider(&self.spans).and_then(|n| self.spans.end(n));
        let since = since
            .max(look.since(&self.spans, self.route))
            .or_else(|| self.path.before(at, &self.spans, self.route))?;
        let due = later(later(since, deadline), self.route.lag);
        let services: Vec<&str> = end.seen.iter().map(|m| m.service.as_str()).collect();
        let outcome = match self.now_ns < due {
            true => Outcome::UnderWay,
            false if self.trust.in_all(services.iter().copied(), since, due).is_good() => Outcome::Stopped,
            false => Outcome::Undecided,
        };
        let words = format!("that it was {} was not seen within {}", end.name, people(deadline));
        let stop = Stop {
            step: look.step.name().to_owned(),
            phase: Phase::NotFinished,
            cause: Some("no_word".to_owned()),
            words: Some(words),
            since_ns: since,
        };
        let mut findings = self.trust.doubts(look.step.name(), &services, since, due);
        findings.push(Finding {
            step: Some(look.step.name().to_owned()),
            source: "the trace store".to_owned(),
            says: format!("every step is done, and no span shows that it was {}", end.name),
            weight: Weight::Decisive,
        });
        Some(Answer { outcome, stop, due_ns: due, findings })
    }

    fn stamps(&self, owed: Owed, outcome: Outcome, stop: Option<&Stop>) -> Vec<Stamp> {
        let here = match owed {
            Owed::Step(i) => Some(i),
            _ => None,
        };
        let state = |(i, look): (usize, &Look<'_>)| {
            let shown = self.path.passed[i] || self.path.told[i];
            let branched = self.path.way.as_ref().is_some_and(|w| w.way.after() == look.step.name());
            let state = match here {
                _ if look.is_done() => State::Done,
                _ if !look.gave_up.is_empty() || branched && !look.bad.is_empty() => State::Stopped,
                _ if shown && look.has_own() => State::Done,
                _ if shown && look.step.optional => State::Never,
                _ if shown => State::Missing,
                Some(at) if at == i || at < i && !look.step.optional => open(look, i == at, outcome),
                _ => State::Never,
            };
            self.stamp(look, state, stop)
        };
        self.path.looks.iter().enumerate().map(state).collect()
    }

    fn way(&self, owed: Owed, outcome: Outcome, stop: Option<&Stop>) -> Option<Way> {
        let way = self.path.way.as_ref()?;
        let stamp = |(i, look): (usize, &Look<'_>)| {
            let here = owed == Owed::Aside(i);
            let state = match () {
                () if look.is_done() => State::Done,
                () if way.told[i] || way.shown.is_none() && self.path.end.is_some() && !here => {
                    State::Missing
                }
                () if here || outcome == Outcome::UnderWay => open(look, true, outcome),
                () => open(look, false, outcome),
            };
            self.stamp(look, state, stop)
        };
        Some(Way { name: way.way.name.clone(), stamps: way.looks.iter().enumerate().map(stamp).collect() })
    }

    fn stamp(&self, look: &Look<'_>, state: State, stop: Option<&Stop>) -> Stamp {
        let stopped = state == State::Stopped;
        let here = stop.filter(|s| stopped && s.step == look.step.name());
        let decider = look.decider(&self.spans);
        let cause = decider
            .filter(|_| stopped)
            .and_then(|n| n.cause().or_else(|| look.last_bad(&self.spans).and_then(|b| b.cause())));
        Stamp {
            step: look.step.name().to_owned(),
            state,
            began_ns: look.began(&self.spans),
            ended_ns: decider.and_then(|n| self.spans.end(n)),
            words: here
                .and_then(|s| s.words.clone())
                .or_else(|| words_of(look, cause.as_deref(), self.route)),
            cause: here.and_then(|s| s.cause.clone()).or(cause),
            handoff_ns: look.handoff_ns(&self.spans),
        }
    }

    /// What is worth saying whatever the answer: the end, the other way, witnesses and whether spans bear them out.
    fn background(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        if let Some(end) = &self.path.end
            && let Some(node) = end.shown
        {
            found.push(finding(
                None,
                &node.source(),
                format!("shows the end {:?}", end.end.name),
                Weight::Decisive,
            ));
        }
        if let Some(way) = &self.path.way
            && let Some(node) = way.shown
        {
            let says = format!("shows that another way was taken: {}", way.way.name);
            found.push(finding(None, &node.source(), says, Weight::Decisive));
        }
        for (i, look) in self.path.looks.iter().enumerate() {
            if self.path.passed[i] && !look.has_own() && !look.step.optional {
                let says = "what follows it is there, and no span of its own: its telemetry is missing";
                let step = Some(look.step.name());
                found.push(finding(step, "the spans of this journey", says.to_owned(), Weight::Supporting));
            }
        }
        found.extend(self.witnesses.iter().filter_map(|w| self.heard_out(w)));
        found
    }

    /// What a witness counts for, apart from the step in question.
    fn heard_out(&self, w: &Witness) -> Option<Finding> {
        let at = |step: &str| self.path.looks.iter().position(|l| l.step.name() == step);
        let passed = |step: &str| at(step).is_some_and(|i| self.path.passed[i]);
        let (step, says, weight) = match &w.says {
            Says::Done { step } => {
                let weight = if passed(step) { Weight::Supporting } else { Weight::Decisive };
                (Some(step), "says that it was done".to_owned(), weight)
            }
            Says::Ended { end } => {
                let same = self.path.end.as_ref().filter(|e| e.end.name == *end);
                let weight = match same {
                    Some(same) if same.shown.is_some() => Weight::Supporting,
                    Some(_) => Weight::Decisive,
                    None => Weight::Outweighed,
                };
                (None, format!("says that it is {end}"), weight)
            }
            Says::NotSeen { step }
                if passed(step) || at(step).is_some_and(|i| self.path.looks[i].has_own()) =>
            {
                (
                    Some(step),
                    "says that it was never seen, and spans show that it was".to_owned(),
                    Weight::Outweighed,
                )
            }
            Says::Stopped { step, .. } if passed(step) => (
                Some(step),
                "says that it gave up, and spans show that it went on".to_owned(),
                Weight::Outweighed,
            ),
            Says::Begun { step } if passed(step) => (
                Some(step),
                "says that it is not finished, and spans show that it went on".to_owned(),
                Weight::Outweighed,
            ),
            _ => return None,
        };
        let says = w.detail.as_ref().map_or(says.clone(), |d| format!("{says} ({d})"));
        Some(finding(step.map(String::as_str), &w.source, says, weight))
    }
}

fn open(look: &Look<'_>, here: bool, outcome: Outcome) -> State {
    match outcome {
        Outcome::UnderWay if here || look.has_own() => State::UnderWay,
        Outcome::Stopped if here => State::Stopped,
        Outcome::Undecided => State::Missing,
        _ if look.has_own() => State::Stopped,
        _ => State::Never,
    }
}

/// The route's words for a cause, else the telemetry's.
fn words_of(look: &Look<'_>, cause: Option<&str>, route: &Route) -> Option<String> {
    let cause = cause?;
    let words = look.step.causes.get(cause).map_or(cause, String::as_str);
    Some(words.replace("{deadline}", &people(look.limit(route))))
}

fn finding(step: Option<&str>, source: &str, says: String, weight: Weight) -> Finding {
    Finding { step: step.map(str::to_owned), source: source.to_owned(), says, weight }
}

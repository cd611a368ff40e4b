//! The first step that is owed, and what its silence means: stopped, under way, or not to be decided.

use std::time::Duration;

use crate::{
    Finding, Kind, Outcome, Phase, Route, Says, Stop, Weight, Witness,
    look::{Fate, Look},
    path::later,
    spans::{Node, Spans},
    trust::{Trust, Word},
};

/// The step in question, with all that bears on it.
pub(crate) struct Question<'q, 'a> {
    pub(crate) route: &'a Route,
    pub(crate) spans: &'q Spans<'a>,
    pub(crate) look: &'q Look<'a>,
    pub(crate) trust: &'q Trust<'a>,
    pub(crate) witnesses: &'a [Witness],
    /// Services of the steps that follow it: had it been done, they would have shown.
    pub(crate) next: Vec<&'a str>,
    /// When the step before it was over, if nothing shows when this one was handed on or began.
    pub(crate) before: Option<u64>,
    pub(crate) now_ns: u64,
}

/// The answer.
pub(crate) struct Answer {
    pub(crate) outcome: Outcome,
    pub(crate) stop: Stop,
    pub(crate) due_ns: u64,
    pub(crate) findings: Vec<Finding>,
}

/// What the answer rests on, before it is written out.
struct Ground {
    outcome: Outcome,
    phase: Phase,
    cause: Option<String>,
    words: Option<String>,
    since: Option<u64>,
    findings: Vec<Finding>,
}

// === impl Question ===

impl<'a> Question<'_, 'a> {
    pub(crate) fn answer(&self) -> Answer {
        let since = self.since();
        let due = later(later(since, self.look.limit(self.route)), self.route.lag);
        let ground = self.told().or_else(|| self.failed_for_good()).unwrap_or_else(|| {
            if self.now_ns < due {
                return self.waiting();
            }
            self.failed(due)
                .or_else(|| self.not_seen())
                .or_else(|| self.not_finished(due))
                .unwrap_or_else(|| self.not_received(due))
        });
        let stop = Stop {
            step: self.look.step.name().to_owned(),
            phase: ground.phase,
            cause: ground.cause,
            words: ground.words,
            since_ns: ground.since.unwrap_or(since),
        };
        Answer { outcome: ground.outcome, stop, due_ns: due, findings: ground.findings }
    }

    fn since(&self) -> u64 {
        // When nothing shows when it was handed on, the last that is known of the order bounds the time.
        let known = || self.spans.iter().filter_map(|n| self.spans.end(n)).max();
        self.look.since(self.spans, self.route).or(self.before).or_else(known).unwrap_or_default()
    }

    /// A book says that it gave up.
    fn told(&self) -> Option<Ground> {
        let name = self.look.step.name();
        let (witness, cause) = self.witnesses.iter().find_map(|w| match &w.says {
            Says::Stopped { step, cause } if step == name => Some((w, cause.clone())),
            _ => None,
        })?;
        let span = self.look.gave_up.first().copied().or_else(|| self.look.last_bad(self.spans));
        let cause = cause.or_else(|| span.and_then(Node::cause));
        let words = self.words_for(cause.as_deref()).or_else(|| span.and_then(Node::words));
        let mut ground = self.ground(Outcome::Stopped, Phase::Failed, cause, words);
        ground.since = span.and_then(|n| self.spans.end(n));
        ground.findings.push(self.of_witness(witness, "says that it gave up", Weight::Decisive));
        ground.findings.extend(span.map(|n| self.of_span(n, "ended in error", Weight::Supporting)));
        Some(ground)
    }

    /// It says itself that it gave up, or its whole time was used up by its own clock.
    fn failed_for_good(&self) -> Option<Ground> {
        let span = self.look.gave_up.first().copied().or_else(|| self.look.used_up(self.route))?;
        Some(self.failure(span))
    }

    fn failure(&self, span: Node<'a>) -> Ground {
        let told = self.look.last_bad(self.spans).filter(|n| n.cause().is_some()).unwrap_or(span);
        let cause = span.cause().or_else(|| told.cause());
        let words = self.words_for(cause.as_deref()).or_else(|| span.words()).or_else(|| told.words());
        let mut ground = self.ground(Outcome::Stopped, Phase::Failed, cause, words);
        ground.since = self.spans.end(span);
        let says = match span.words() {
            Some(words) => format!("ended in error: {words}"),
            None => "shows that it gave up".to_owned(),
        };
        ground.findings.push(self.of_span(span, &says, Weight::Decisive));
        ground
    }

    fn waiting(&self) -> Ground {
        let limit = people(self.look.limit(self.route));
        let phase = if self.look.has_own() { Phase::NotFinished } else { Phase::NotReceived };
        let mut ground = self.ground(Outcome::UnderWay, phase, None, None);
        if let Some(span) = self.look.last_bad(self.spans) {
            ground.cause = span.cause();
            ground.words = span.words();
            ground.findings.push(self.of_span(
                span,
                "ended in error, and may be tried again",
                Weight::Outweighed,
            ));
        }
        if let Some(span) = self.look.newest(self.spans) {
            ground.findings.push(self.of_span(
                span,
                &format!("shows that it began; it may take {limit}"),
                Weight::Decisive,
            ));
        } else if let Some(handoff) = self.look.handoffs.last() {
            let says = format!("hands on to it; it may take {limit}");
            ground.findings.push(self.of_span(handoff.node, &says, Weight::Decisive));
        }
        ground
    }

    /// Every attempt failed, and the time for another is over.
    fn failed(&self, due: u64) -> Option<Ground> {
        let mut ground = self.failure(self.look.last_bad(self.spans)?);
        let tries = self.look.bad.len();
        if tries > 1
            && let Some(words) = &mut ground.words
        {
            words.push_str(&format!(" (tried {tries} times)"));
        }
        self.in_force(&mut ground, due);
        Some(ground)
    }

    /// Its own service has never seen what travels.
    fn not_seen(&self) -> Option<Ground> {
        let name = self.look.step.name();
        if self.look.has_own() {
            return None;
        }
        let witness =
            self.witnesses.iter().find(|w| matches!(&w.says, Says::NotSeen { step } if step == name))?;
        let sent = !self.look.handoffs.is_empty();
        let (phase, cause) =
            if sent { (Phase::NotReceived, "not_received") } else { (Phase::NotSent, "not_sent") };
        let words = self.way_lost(phase);
        let mut ground = self.ground(Outcome::Stopped, phase, Some(cause.to_owned()), Some(words));
        ground.findings.push(self.of_witness(witness, "has never seen it", Weight::Decisive));
        Some(ground)
    }

    /// It was taken over, and nothing more was heard of it.
    fn not_finished(&self, due: u64) -> Option<Ground> {
        let name = self.look.step.name();
        let services = self.look.step.services();
        let book = self.witnesses.iter().find(|w| matches!(&w.says, Says::Begun { step } if step == name));
        let unseen = self.look.handed(Fate::Unseen);
        if !self.look.has_own() && unseen.is_none() && book.is_none() {
            return None;
        }
        let limit = people(self.look.limit(self.route));
        let words = self
            .words_for(Some("no_word"))
            .unwrap_or_else(|| format!("it was taken over, and nothing came of it within {limit}"));
        let mut ground =
            self.ground(Outcome::Stopped, Phase::NotFinished, Some("no_word".to_owned()), Some(words));
        if let Some(span) = self.look.newest(self.spans) {
            ground.findings.push(self.of_span(span, "shows that it began", Weight::Decisive));
        } else if let Some(handoff) = unseen {
            ground.findings.push(self.of_span(
                handoff.node,
                "was answered: it took it over",
                Weight::Decisive,
            ));
        }
        if let Some(book) = book {
            ground.findings.push(self.of_witness(
                book,
                "says that it began and is not finished",
                Weight::Decisive,
            ));
            return Some(ground);
        }
        if let Some(silent) = self.trust.no_answer(&services) {
            ground.findings.push(self.of_witness(silent, "it does not answer", Weight::Decisive));
            return Some(ground);
        }
        let seen_elsewhere = self.trust.heard_since(&services, self.since());
        if unseen.is_some() && !self.look.has_own() && (seen_elsewhere || !self.next_would_show(due)) {
            ground.outcome = Outcome::Undecided;
        }
        self.in_force(&mut ground, due);
        if let Some(orphan) = self.orphan(&services) {
            let says =
                "has a parent that no span bears: its work went on, and that span is missing".to_owned();
            ground.findings.push(self.of_span(orphan, &says, Weight::Doubt));
            if !self.next_would_show(due) {
                ground.outcome = Outcome::Undecided;
            }
        }
        Some(ground)
    }

    /// A call or a message of the step's own service whose parent, which is of the same service, is missing.
    fn orphan(&self, services: &[&str]) -> Option<Node<'a>> {
        self.spans.iter().find(|n| {
            services.contains(&n.span.service.as_str())
                && matches!(n.span.kind, Kind::Client | Kind::Producer)
                && self.spans.is_orphan(*n)
        })
    }

    /// Nothing shows that it ever got there.
    fn not_received(&self, due: u64) -> Ground {
        let (receiver, sender) = (self.look.step.services(), self.senders());
        let since = self.since();
        let receives = self.trust.in_all(receiver.iter().copied(), since, due);
        let sends = self.trust.in_all(sender.iter().copied(), since, due);
        let failed = self.look.handoffs.iter().filter(|h| h.fate == Fate::Failed).max_by_key(|h| h.node);
        let (phase, cause) = match failed {
            Some(_) => (Phase::NotReceived, "not_received"),
            None if sender.is_empty() || !self.look.handoffs.is_empty() => {
                (Phase::NotReceived, "not_received")
            }
            None if sends == Word::Lossy => (Phase::NotReceived, "no_word"),
            None => (Phase::NotSent, "not_sent"),
        };
        let words = self.way_lost(phase);
        let mut ground = self.ground(Outcome::Stopped, phase, Some(cause.to_owned()), Some(words));
        if let Some(failed) = failed {
            let says =
                format!("failed: {}", failed.node.words().unwrap_or_else(|| "no reason given".to_owned()));
            ground.findings.push(self.of_span(failed.node, &says, Weight::Decisive));
        } else if let Some(promised) = self.look.handoffs.first() {
            let says = "promised to hand on, and no span shows that it was sent";
            ground.findings.push(self.of_span(promised.node, says, Weight::Supporting));
        }
        ground.findings.push(self.absence(&receiver, since, receives));
        // What a broker has taken over the sender has sent: only the receiver could tell more, or whoever comes after it.
        let left =
            self.look.handoffs.iter().any(|h| h.fate == Fate::Promised && h.node.span.kind == Kind::Client);
        let unsure = match failed {
            // The sender tells what went wrong: only when both are in doubt may a later try have gone well.
            Some(_) => sends == Word::Lossy && !receives.is_good(),
            None if sender.is_empty() => !receives.is_good(),
            None if left => !receives.is_good() && !self.next_would_show(due),
            None => !receives.is_good() && !sends.is_good(),
        };
        if unsure {
            ground.outcome = Outcome::Undecided;
        }
        ground.findings.extend(self.trust.doubts(self.look.step.name(), &receiver, since, due));
        ground.findings.extend(self.trust.doubts(self.look.step.name(), &sender, since, due));
        ground
    }

    /// Whether the absence of more spans of the step means anything.
    fn in_force(&self, ground: &mut Ground, due: u64) {
        let services = self.look.step.services();
        let since = self.since();
        let word = self.trust.in_all(services.iter().copied(), since, due);
        let doubts = self.trust.doubts(self.look.step.name(), &services, since, due);
        ground.findings.extend(doubts);
        if word.is_good() {
            ground.findings.push(self.absence(&services, since, word));
        } else if self.next_would_show(due) {
            let says = format!("{} would have shown, had it been done", list(&self.next));
            ground.findings.push(self.finding("the trace store", says, Weight::Supporting));
        } else if !self.look.step.done.is_empty() {
            ground.outcome = Outcome::Undecided;
        }
    }

    /// The services of what follows were heard of since, and nothing is known against their telemetry.
    fn next_would_show(&self, due: u64) -> bool {
        let own = self.look.step.services();
        self.next.iter().any(|s| !own.contains(s) && self.trust.in_service(s, due, due) == Word::Heard)
    }

    fn senders(&self) -> Vec<&'a str> {
        let mut all: Vec<&str> = self.look.step.handoff.iter().map(|m| m.service.as_str()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn absence(&self, services: &[&str], since: u64, word: Word) -> Finding {
        let who = list(services);
        let says = match word {
            Word::Heard if since > 0 => {
                format!("no span of {who} shows that it was done, while {who} was heard of since")
            }
            _ => format!("no span of {who} shows that it was done"),
        };
        self.finding("the trace store", says, Weight::Supporting)
    }

    fn way_lost(&self, phase: Phase) -> String {
        let key = if phase == Phase::NotSent { "not_sent" } else { "not_received" };
        if let Some(words) = self.words_for(Some(key)) {
            return words;
        }
        let (title, senders) = (self.look.step.title(), self.senders());
        let failed = self.look.handoffs.iter().filter(|h| h.fate == Fate::Failed).max_by_key(|h| h.node);
        match (phase, failed) {
            (Phase::NotSent, _) if senders.is_empty() => format!("nothing was ever handed on to {title}"),
            (Phase::NotSent, _) => format!("{} never handed it on", list(&senders)),
            (_, Some(failed)) => {
                let (who, why) = (&failed.node.span.service, failed.node.words());
                let why = why.map(|w| format!(" ({w})")).unwrap_or_default();
                let tries = self.look.handoffs.iter().filter(|h| h.fate == Fate::Failed).count();
                let tries = if tries > 1 { format!(", tried {tries} times") } else { String::new() };
                format!("{who} could not hand it on{tries}{why}")
            }
            (_, None) if self.look.handoffs.is_empty() => {
                format!("nothing shows that it got there within {}", people(self.look.limit(self.route)))
            }
            (_, None) => {
                let limit = people(self.look.limit(self.route));
                format!("{} handed it on, and nothing shows that it got there within {limit}", list(&senders))
            }
        }
    }

    /// The route's words for a cause.
    fn words_for(&self, cause: Option<&str>) -> Option<String> {
        let words = self.look.step.causes.get(cause?)?;
        Some(words.replace("{deadline}", &people(self.look.limit(self.route))))
    }

    fn ground(&self, outcome: Outcome, phase: Phase, cause: Option<String>, words: Option<String>) -> Ground {
        Ground { outcome, phase, cause, words, since: None, findings: Vec::new() }
    }

    fn finding(&self, source: &str, says: String, weight: Weight) -> Finding {
        Finding { step: Some(self.look.step.name().to_owned()), source: source.to_owned(), says, weight }
    }

    fn of_span(&self, node: Node<'_>, says: &str, weight: Weight) -> Finding {
        self.finding(&node.source(), says.to_owned(), weight)
    }

    fn of_witness(&self, witness: &Witness, says: &str, weight: Weight) -> Finding {
        let detail = witness.detail.as_ref().map(|d| format!(" ({d})")).unwrap_or_default();
        self.finding(&witness.source, format!("{says}{detail}"), weight)
    }
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn list(names: &[&str]) -> String {
    match names {
        [] => "nobody".to_owned(),
        [one] => (*one).to_owned(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// A duration as people say it: `45 s`, `300 ms`, `2 h`.
pub(crate) fn people(duration: Duration) -> String {
    let millis = duration.as_millis();
    match millis {
        0..1_000 => format!("{millis} ms"),
        _ if !millis.is_multiple_of(1_000) && millis < 60_000 => {
            format!("{:.1} s", duration.as_secs_f64())
        }
        _ => match duration.as_secs() {
            s @ 0..120 => format!("{s} s"),
            s if s % 3_600 == 0 => format!("{} h", s / 3_600),
            s if s % 60 == 0 || s > 600 => format!("{} min", s / 60),
            s => format!("{} min {} s", s / 60, s % 60),
        },
    }
}

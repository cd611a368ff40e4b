//! Whether an absence of spans means anything: what is known of each service's telemetry, apart from what it should show.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Case, Finding, Kind, Says, Weight, Witness,
    look::{Fate, Look},
    path::Path,
    spans::{Node, Spans},
};

/// What is known of the telemetry of the services.
pub(crate) struct Trust<'a> {
    case: &'a Case,
    witnesses: &'a [Witness],
    /// Services of which spans of this very journey are proven to be missing, with the proof.
    missing: BTreeMap<String, String>,
}

/// How much the absence of a service's spans is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// It was heard of after the time in question: what it did, it would have told.
    Heard,
    /// Nothing is known against it.
    Unknown,
    /// Others were heard of since, and it was not: dead, or mute.
    Silent,
    /// Spans of it are lost.
    Lossy,
}

// === impl Word ===

impl Word {
    pub(crate) fn is_good(self) -> bool {
        matches!(self, Self::Heard | Self::Unknown)
    }
}

// === impl Trust ===

impl<'a> Trust<'a> {
    pub(crate) fn of(case: &'a Case, witnesses: &'a [Witness], path: &Path<'_>, spans: &Spans<'_>) -> Self {
        let mut missing = BTreeMap::new();
        for (i, look) in path.looks.iter().enumerate() {
            note(&mut missing, look, path.passed[i], spans);
        }
        for look in path.way.iter().flat_map(|w| &w.looks) {
            note(&mut missing, look, look.is_done(), spans);
        }
        unanswered(&mut missing, path, spans);
        Self { case, witnesses, missing }
    }

    /// What the absence of spans of `service` is worth, for something that began at `since` and had to be over at `due`.
    pub(crate) fn in_service(&self, service: &str, since: u64, due: u64) -> Word {
        let heard = self.case.heard.0.get(service).copied().unwrap_or_default();
        let lost = |w: &Witness| matches!(&w.says, Says::SpansLost { service: s, spans } if s == service && *spans > 0);
        if self.missing.contains_key(service) || self.witnesses.iter().any(lost) {
            Word::Lossy
        } else if heard >= since && heard > 0 {
            Word::Heard
        } else if self.case.heard.0.values().any(|t| *t >= due) {
            Word::Silent
        } else {
            Word::Unknown
        }
    }

    /// The worst of several.
    pub(crate) fn in_all<'s>(
        &self,
        services: impl IntoIterator<Item = &'s str>,
        since: u64,
        due: u64,
    ) -> Word {
        let words = services.into_iter().map(|s| self.in_service(s, since, due));
        words.max_by_key(|w| *w as u8).unwrap_or(Word::Unknown)
    }

    /// It was heard of after `since`, in whatever trace.
    pub(crate) fn heard_since(&self, services: &[&str], since: u64) -> bool {
        services.iter().any(|s| self.case.heard.0.get(*s).is_some_and(|t| *t >= since))
    }

    /// It does not answer.
    pub(crate) fn no_answer(&self, services: &[&str]) -> Option<&'a Witness> {
        self.witnesses
            .iter()
            .find(|w| matches!(&w.says, Says::NoAnswer { service } if services.contains(&service.as_str())))
    }

    /// Why the absence of spans of `services` has little force.
    pub(crate) fn doubts(&self, step: &str, services: &[&str], since: u64, due: u64) -> Vec<Finding> {
        let mut found = Vec::new();
        let doubt = |source: String, says: String| Finding {
            step: Some(step.to_owned()),
            source,
            says,
            weight: Weight::Doubt,
        };
        for service in services {
            if let Some(proof) = self.missing.get(*service) {
                found.push(doubt("the spans of this journey".to_owned(), proof.clone()));
            }
            for w in self.witnesses {
                if let Says::SpansLost { service: s, spans } = &w.says
                    && s == service
                {
                    found.push(doubt(w.source.clone(), format!("{spans} spans of {s} were lost meanwhile")));
                }
            }
            if self.in_service(service, since, due) == Word::Silent {
                let says = format!("{service} was not heard of since, in any trace, and others were");
                found.push(doubt("the trace store".to_owned(), says));
            }
        }
        found
    }
}

/// Attributes by which a call names whom it calls.
const PEERS: [&str; 3] = ["service.peer.name", "peer.service", "messaging.consumer.group.name"];

/// Calls that a service answered without a span of its own. One that begins traces of its own has dropped the context, and
/// its spans are there, elsewhere.
fn unanswered(missing: &mut BTreeMap<String, String>, path: &Path<'_>, spans: &Spans<'_>) {
    let begins =
        |n: &Node<'_>| n.span.parent.is_none() && matches!(n.span.kind, Kind::Server | Kind::Consumer);
    let elsewhere: BTreeSet<&str> = spans.iter().filter(begins).map(|n| n.span.service.as_str()).collect();
    let steps = || path.looks.iter().chain(path.way.iter().flat_map(|w| &w.looks)).map(|l| l.step);
    let services: BTreeSet<&str> = steps().flat_map(|s| s.services()).collect();
    for call in spans.iter().filter(|n| n.span.kind == Kind::Client && !n.span.error) {
        let Some(peer) = PEERS.iter().find_map(|key| call.span.attributes.get(*key)) else { continue };
        let ours = services.contains(peer.as_str()) && *peer != call.span.service;
        if !ours || elsewhere.contains(peer.as_str()) || spans.children(call).any(|c| c.span.service == *peer)
        {
            continue;
        }
        if steps().flat_map(|s| &s.handoff).any(|m| m.promise && m.fits(call.span)) {
            continue;
        }
        let proof = format!("{} was answered by {peer}, and the span of that is missing", call.label());
        missing.entry(peer.clone()).or_insert(proof);
    }
}

/// Proofs that spans of this journey are missing: what must have been is not there.
fn note(missing: &mut BTreeMap<String, String>, look: &Look<'_>, passed: bool, spans: &Spans<'_>) {
    let title = look.step.title();
    if passed && !look.has_own() && !look.step.optional {
        for service in look.step.services() {
            let proof = format!("what followed {title} is there, and no span of {service} for it");
            missing.entry(service.to_owned()).or_insert(proof);
        }
    }
    if let Some(handoff) = look.handed(Fate::Unseen)
        && !look.has_own()
    {
        for service in look.step.services() {
            let label = handoff.node.label();
            let proof = format!("{label} was answered by {service}, and the span of that is missing");
            missing.entry(service.to_owned()).or_insert(proof);
        }
    }
    let orphan = look.own().find(|n| spans.is_orphan(*n));
    if let Some(orphan) = orphan.filter(|_| look.handoffs.is_empty()) {
        for mark in &look.step.handoff {
            let proof = format!("the parent of {} is missing", orphan.label());
            missing.entry(mark.service.clone()).or_insert(proof);
        }
    }
}

//! Context that was dropped on the way: servers and consumers that begin a trace of their own, spans without the subject.

use std::collections::HashSet;

use super::{Chart, Notes, Symptom, Tree};
use crate::{Kind, Span, spans::whose, weigh::list};

/// Notes what `tree` shows.
pub(super) fn examine<'a>(
    tree: &Tree<'a>,
    chart: &Chart<'a>,
    notes: &mut Notes,
    dropped: &mut Vec<Dropped<'a>>,
) {
    let trace = tree.trace;
    let subject = &chart.route.subject;
    let of_route = trace.spans.iter().any(|s| s.attributes.contains_key(subject));
    // A later look at what travels passes some of its services, too: a trace that begins with another thing names nothing.
    let is_step = |span: &'a Span| chart.steps_of(span).next().is_some();
    let begins_as_step = trace.spans.iter().any(|s| s.parent.is_none() && is_step(s));
    for span in trace.spans.iter().filter(|s| chart.services.contains(s.service.as_str())) {
        let has_subject = span.attributes.contains_key(subject);
        let is_step = is_step(span);
        if !has_subject && (of_route || is_step && begins_as_step) {
            let detail = format!("{:?} has no {subject}", span.name);
            notes.add(Symptom::NoSubject, &span.service, detail, Some(&trace.id));
        }
        if span.parent.is_none() && (has_subject || is_step) {
            begins(span, chart, &trace.id, notes, dropped);
        }
    }
}

/// A span that takes something from another service, and knows nothing of it. Services to which nobody hands on are where
/// journeys begin.
fn begins<'a>(
    span: &'a Span,
    chart: &Chart<'a>,
    trace: &'a str,
    notes: &mut Notes,
    dropped: &mut Vec<Dropped<'a>>,
) {
    match span.kind {
        Kind::Server if chart.receives(&span.service) => {
            dropped.push(Dropped { span, senders: chart.senders(span), trace });
        }
        Kind::Consumer if span.links.is_empty() => {
            let detail = format!("{:?} names no producer", span.name);
            notes.add(Symptom::NoProducer, &span.service, detail, Some(trace));
        }
        _ => {}
    }
}

/// A server span without its caller's context.
pub(super) struct Dropped<'a> {
    span: &'a Span,
    senders: Vec<&'a str>,
    trace: &'a str,
}

/// Of caller and receiver, the one that also drops what others send it is the one to look at.
pub(super) fn blame(dropped: &[Dropped<'_>], notes: &mut Notes) {
    let suspects: HashSet<&str> = dropped.iter().map(|d| d.span.service.as_str()).collect();
    for Dropped { span, senders, trace } in dropped {
        let (service, detail) = match senders.as_slice() {
            [one] if suspects.contains(one) => {
                (*one, format!("{} {:?} comes without its context", whose(&span.service), span.name))
            }
            [] => (span.service.as_str(), format!("{:?} comes without its caller's context", span.name)),
            some => (
                span.service.as_str(),
                format!("{:?} comes without the context of {}", span.name, list(some)),
            ),
        };
        notes.add(Symptom::ContextDropped, service, detail, Some(trace));
    }
}

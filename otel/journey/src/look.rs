//! What the spans say of one step by themselves: handed on, begun, done, failed, and when.

use std::time::Duration;

use crate::{
    Kind, Route, Step,
    spans::{Node, Spans},
};

/// One step's evidence.
pub(crate) struct Look<'a> {
    pub(crate) step: &'a Step,
    /// Spans that show that it began.
    pub(crate) begun: Vec<Node<'a>>,
    /// Its `done` spans that did not end in error.
    pub(crate) good: Vec<Node<'a>>,
    /// Its `done` spans that did.
    pub(crate) bad: Vec<Node<'a>>,
    pub(crate) gave_up: Vec<Node<'a>>,
    /// The sender's spans that hand on to it.
    pub(crate) handoffs: Vec<Handoff<'a>>,
}

/// One span that hands on to a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Handoff<'a> {
    pub(crate) node: Node<'a>,
    pub(crate) fate: Fate,
}

/// What became of a hand-off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Written down by the sender, to be sent.
    Promised,
    /// The call failed.
    Failed,
    /// The call was answered, and the receiver's own span is there.
    Taken,
    /// The call was answered, and no span of the receiver is there: its telemetry is missing.
    Unseen,
}

// === impl Look ===

impl<'a> Look<'a> {
    pub(crate) fn at(step: &'a Step, spans: &Spans<'a>) -> Self {
        let (good, bad) = spans.marked(&step.done).into_iter().partition(|n| !n.span.error);
        let services = step.services();
        let handoffs: Vec<_> = spans
            .marked(&step.handoff)
            .into_iter()
            .map(|node| Handoff { node, fate: fate(node, step, spans, &services) })
            .collect();
        let mut begun = spans.marked(&step.begun);
        for handoff in handoffs.iter().filter(|h| h.fate == Fate::Taken) {
            begun.extend(received(handoff.node, spans, &services).filter(|n| !n.span.error));
        }
        begun.sort_unstable();
        begun.dedup();
        Self { step, begun, good, bad, gave_up: spans.marked(&step.stopped), handoffs }
    }

    /// Some span of the step itself is there.
    pub(crate) fn has_own(&self) -> bool {
        self.own().next().is_some()
    }

    pub(crate) fn own(&self) -> impl Iterator<Item = Node<'a>> {
        self.begun.iter().chain(&self.good).chain(&self.bad).chain(&self.gave_up).copied()
    }

    pub(crate) fn handed(&self, fate: Fate) -> Option<Handoff<'a>> {
        self.handoffs.iter().copied().find(|h| h.fate == fate)
    }

    /// Done by its own spans: what gave up for good is not done by a later delivery of the same message.
    pub(crate) fn is_done(&self) -> bool {
        self.gave_up.is_empty() && !self.good.is_empty()
    }

    /// The latest attempt that ended in error.
    pub(crate) fn last_bad(&self, spans: &Spans<'a>) -> Option<Node<'a>> {
        self.bad.iter().copied().max_by_key(|n| (spans.end(*n), *n))
    }

    pub(crate) fn began(&self, spans: &Spans<'a>) -> Option<u64> {
        self.own().filter_map(|n| spans.start(n)).min()
    }

    /// The latest span that shows that it began.
    pub(crate) fn newest(&self, spans: &Spans<'a>) -> Option<Node<'a>> {
        self.begun.iter().copied().max_by_key(|n| (spans.start(*n), *n))
    }

    /// The span that decided how it ended.
    pub(crate) fn decider(&self, spans: &Spans<'a>) -> Option<Node<'a>> {
        let gave_up = self.gave_up.first().copied();
        gave_up.or_else(|| self.good.first().copied()).or_else(|| self.last_bad(spans))
    }

    /// How long it may take: what its own receipts say, the longest of them, else what the route says.
    pub(crate) fn limit(&self, route: &Route) -> Duration {
        let key = route.deadline_attribute.as_deref();
        let told = key.and_then(|key| {
            let millis = self.begun.iter().filter_map(|n| n.span.attributes.get(key)?.parse::<u64>().ok());
            millis.max().map(Duration::from_millis)
        });
        told.unwrap_or(self.step.deadline)
    }

    /// Since when it is waited for: the latest of what sender and receiver say, so that a clock that is behind never
    /// shortens the time. An attempt that failed does not begin the time anew, unless a receipt says so.
    pub(crate) fn since(&self, spans: &Spans<'a>, route: &Route) -> Option<u64> {
        let promised = self.handoffs.iter().filter_map(|h| spans.end(h.node)).min();
        let answered = self
            .handoffs
            .iter()
            .filter(|h| matches!(h.fate, Fate::Taken | Fate::Unseen))
            .filter_map(|h| spans.end(h.node))
            .max();
        let is_receipt = |n: &&Node<'_>| {
            route.deadline_attribute.as_ref().is_some_and(|key| n.span.attributes.contains_key(key))
        };
        let receipt = self.begun.iter().filter(is_receipt).filter_map(|n| spans.start(*n)).max();
        promised.max(answered).max(receipt.or_else(|| self.began(spans)))
    }

    /// An attempt failed after the whole time that the step may take, by its own clock alone.
    pub(crate) fn used_up(&self, route: &Route) -> Option<Node<'a>> {
        let limit = u64::try_from(self.limit(route).as_nanos()).unwrap_or(u64::MAX);
        // A timer may fire a little early.
        let limit = limit - limit / 50;
        self.bad.iter().copied().find(|n| n.span.end_ns.saturating_sub(n.span.start_ns) >= limit)
    }

    /// From the sender's hand-off to the step's beginning.
    pub(crate) fn handoff_ns(&self, spans: &Spans<'a>) -> Option<i64> {
        let first = self.own().filter(|n| spans.start(*n).is_some()).min_by_key(|n| (n.span.start_ns, *n))?;
        let above = spans.parent(first).filter(|p| self.handoffs.iter().any(|h| h.node == *p));
        let from =
            above.or_else(|| self.handoffs.iter().map(|h| h.node).min_by_key(|n| (n.span.start_ns, *n)))?;
        // A message waits from its making on; a call is on its way from its start.
        let left = match from.span.kind {
            Kind::Client => spans.start(from)?,
            _ => spans.end(from)?,
        };
        i64::try_from(i128::from(first.span.start_ns) - i128::from(left)).ok()
    }
}

fn fate<'a>(node: Node<'a>, step: &Step, spans: &Spans<'a>, services: &[&str]) -> Fate {
    // A call whose answer was lost was taken all the same.
    if received(node, spans, services).any(|n| !n.span.error) {
        return Fate::Taken;
    }
    match node.span.kind {
        _ if node.span.error => Fate::Failed,
        Kind::Client if !step.handoff.iter().any(|m| m.promise && m.fits(node.span)) => Fate::Unseen,
        _ => Fate::Promised,
    }
}

/// The receiver's spans right under the hand-off.
fn received<'a, 's>(
    node: Node<'a>,
    spans: &'s Spans<'a>,
    services: &'s [&str],
) -> impl Iterator<Item = Node<'a>> + use<'a, 's> {
    spans
        .children(node)
        .filter(move |c| services.contains(&c.span.service.as_str()) && c.span.service != node.span.service)
}

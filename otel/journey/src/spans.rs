//! All spans of one case, each once, in an order of its own, found by name, id and parent in one step.

use std::{collections::HashMap, time::Duration};

use crate::{Case, Mark, Route, Span};

/// No span.
const ZERO: &str = "0000000000000000";
/// How far a time may lie from the middle of the case, apart from the route's own deadlines.
const DAY: Duration = Duration::from_secs(86_400);

/// The spans of a case. Whatever order they came in and however often, this is the same.
pub(crate) struct Spans<'a> {
    nodes: Vec<Node<'a>>,
    named: HashMap<(&'a str, &'a str), Vec<usize>>,
    ids: HashMap<(&'a str, &'a str), usize>,
    children: HashMap<(&'a str, &'a str), Vec<usize>>,
    /// Times outside are absurd.
    sane: (u64, u64),
}

/// One span with its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Node<'a> {
    pub(crate) trace: &'a str,
    pub(crate) span: &'a Span,
}

// === impl Spans ===

impl<'a> Spans<'a> {
    pub(crate) fn of(case: &'a Case, route: &Route) -> Self {
        let mut nodes: Vec<_> = case
            .traces
            .iter()
            .flat_map(|t| t.spans.iter().map(|span| Node { trace: t.id.as_str(), span }))
            .collect();
        nodes.sort_unstable();
        nodes.dedup();
        let mut named: HashMap<_, Vec<usize>> = HashMap::new();
        let mut children: HashMap<_, Vec<usize>> = HashMap::new();
        let mut ids = HashMap::new();
        for (i, node) in nodes.iter().enumerate() {
            named.entry((node.span.service.as_str(), node.span.name.as_str())).or_default().push(i);
            if node.span.id != ZERO {
                ids.entry((node.trace, node.span.id.as_str())).or_insert(i);
            }
            if let Some(parent) = node.parent() {
                children.entry((node.trace, parent)).or_default().push(i);
            }
        }
        let sane = sane(&nodes, route);
        Self { nodes, named, ids, children, sane }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Node<'a>> {
        self.nodes.iter().copied()
    }

    /// The spans that fit one of `marks`, each once, in their own order.
    pub(crate) fn marked(&self, marks: &[Mark]) -> Vec<Node<'a>> {
        self.fitting(marks, |_, _| true)
    }

    fn fitting(&self, marks: &[Mark], also: impl Fn(&Mark, &Span) -> bool) -> Vec<Node<'a>> {
        let mut found: Vec<usize> = Vec::new();
        for mark in marks {
            let named = self.named.get(&(mark.service.as_str(), mark.span.as_str()));
            let fits = |i: &usize| mark.fits(self.nodes[*i].span) && also(mark, self.nodes[*i].span);
            found.extend(named.into_iter().flatten().copied().filter(fits));
        }
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|i| self.nodes[i]).collect()
    }

    pub(crate) fn any(&self, marks: &[Mark]) -> Option<Node<'a>> {
        self.marked(marks).first().copied()
    }

    /// The first of those that did not end in error, unless the mark asks for that.
    pub(crate) fn well(&self, marks: &[Mark]) -> Option<Node<'a>> {
        let well = |mark: &Mark, span: &Span| !span.error || mark.error == Some(true);
        self.fitting(marks, well).first().copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(crate) fn parent(&self, node: Node<'a>) -> Option<Node<'a>> {
        Some(self.nodes[*self.ids.get(&(node.trace, node.parent()?))?])
    }

    pub(crate) fn children(&self, node: Node<'a>) -> impl Iterator<Item = Node<'a>> {
        let found = (node.span.id != ZERO).then(|| self.children.get(&(node.trace, node.span.id.as_str())));
        found.flatten().into_iter().flatten().map(|i| self.nodes[*i])
    }

    /// It names a parent that no span bears.
    pub(crate) fn is_orphan(&self, node: Node<'a>) -> bool {
        node.parent().is_some_and(|p| !self.ids.contains_key(&(node.trace, p)))
    }

    /// `time`, unless it is absurd.
    pub(crate) fn sane(&self, time: u64) -> Option<u64> {
        (self.sane.0..=self.sane.1).contains(&time).then_some(time)
    }

    pub(crate) fn start(&self, node: Node<'_>) -> Option<u64> {
        self.sane(node.span.start_ns)
    }

    /// Its end, never before its start.
    pub(crate) fn end(&self, node: Node<'_>) -> Option<u64> {
        self.sane(node.span.end_ns.max(node.span.start_ns)).or_else(|| self.start(node))
    }

    /// Ids of the traces: the one with most to tell first.
    pub(crate) fn traces(&self, case: &Case) -> Vec<String> {
        let mut counts: HashMap<&str, usize> = case.traces.iter().map(|t| (t.id.as_str(), 0)).collect();
        for node in &self.nodes {
            *counts.entry(node.trace).or_default() += 1;
        }
        let mut ids: Vec<_> = counts.into_iter().collect();
        ids.sort_unstable_by_key(|(id, count)| (std::cmp::Reverse(*count), *id));
        ids.into_iter().map(|(id, _)| id.to_owned()).collect()
    }
}

/// The middle of all starts, give or take a day and twice the time that the whole route may take.
fn sane(nodes: &[Node<'_>], route: &Route) -> (u64, u64) {
    let mut starts: Vec<u64> = nodes.iter().map(|n| n.span.start_ns).collect();
    starts.sort_unstable();
    let middle = starts.get(starts.len() / 2).copied().unwrap_or_default();
    let reach =
        u64::try_from(DAY.saturating_add(route.longest().saturating_mul(2)).as_nanos()).unwrap_or(u64::MAX);
    (middle.saturating_sub(reach), middle.saturating_add(reach))
}

// === impl Node ===

impl<'a> Node<'a> {
    fn parent(self) -> Option<&'a str> {
        self.span.parent.as_deref().filter(|p| *p != ZERO)
    }

    /// For people: `tracking's span "send tracking.started"`.
    pub(crate) fn label(self) -> String {
        format!("{} span {:?}", whose(&self.span.service), self.span.name)
    }

    /// For evidence: its id, service and name.
    pub(crate) fn source(self) -> String {
        format!("span {} {} {}", self.span.id, self.span.service, self.span.name)
    }

    /// `error.type`, else the status text.
    pub(crate) fn cause(self) -> Option<String> {
        let kind = self.span.attributes.get("error.type");
        kind.or(Some(&self.span.error_message)).filter(|c| !c.is_empty()).cloned()
    }

    /// The status text, else `error.type`.
    pub(crate) fn words(self) -> Option<String> {
        let text = Some(&self.span.error_message).filter(|m| !m.is_empty());
        text.or_else(|| self.span.attributes.get("error.type")).cloned()
    }
}

/// `tracking's`, `restaurant-orders'`.
pub(crate) fn whose(name: &str) -> String {
    if name.ends_with('s') { format!("{name}'") } else { format!("{name}'s") }
}

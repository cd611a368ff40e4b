//! How far a journey came: which steps are shown to be done, by spans and by witnesses, and which other way was taken.

use crate::{
    Alternative, End, Route, Says, Witness,
    look::Look,
    spans::{Node, Spans},
};

/// A journey laid beside its route.
pub(crate) struct Path<'a> {
    /// One for each step of the route.
    pub(crate) looks: Vec<Look<'a>>,
    /// Steps that spans show to be done: their own, or those of what follows them.
    pub(crate) passed: Vec<bool>,
    /// Steps that witnesses say are done.
    pub(crate) told: Vec<bool>,
    pub(crate) way: Option<Taken<'a>>,
    pub(crate) end: Option<Reached<'a>>,
    /// There is no span at all.
    mute: bool,
}

/// The other way that was taken.
pub(crate) struct Taken<'a> {
    pub(crate) way: &'a Alternative,
    pub(crate) looks: Vec<Look<'a>>,
    /// Steps of it that witnesses say are done.
    pub(crate) told: Vec<bool>,
    /// The span that shows it; none when only a witness does.
    pub(crate) shown: Option<Node<'a>>,
}

/// The end that was reached.
pub(crate) struct Reached<'a> {
    pub(crate) end: &'a End,
    /// The span that shows it; none when only a witness does.
    pub(crate) shown: Option<Node<'a>>,
}

// === impl Path ===

impl<'a> Path<'a> {
    pub(crate) fn of(spans: &Spans<'a>, route: &'a Route, witnesses: &[Witness]) -> Self {
        let looks: Vec<_> = route.steps.iter().map(|step| Look::at(step, spans)).collect();
        let end = reached(spans, route, witnesses);
        let shown = route.alternatives.iter().find_map(|way| {
            let shown = spans.any(&way.when).filter(|_| spans.any(&way.unless).is_none())?;
            let gone_on = || looks.iter().any(|l| way.replaces(l.step.name()) && l.is_done());
            (!way.unless.is_empty() || !gone_on()).then_some((way, Some(shown)))
        });
        let led = end.as_ref().map(|e| e.end.name.as_str());
        let way = shown.or_else(|| said(route, &looks, witnesses, led).map(|way| (way, None)));
        let way = way.map(|(way, shown)| Taken {
            looks: way.steps.iter().map(|step| Look::at(step, spans)).collect(),
            told: way.steps.iter().map(|step| says_done(witnesses, step.name())).collect(),
            way,
            shown,
        });
        let by_spans = end.as_ref().filter(|e| e.shown.is_some()).and_then(|e| e.end.after());
        let passed = passed(
            route,
            by_spans,
            |i| looks[i].is_done(),
            |i| {
                looks[i].has_own()
                    || !looks[i].handoffs.is_empty()
                    || way
                        .as_ref()
                        .is_some_and(|w| w.shown.is_some() && w.way.after() == looks[i].step.name())
            },
        );
        let by_word = end.as_ref().and_then(|e| e.end.after());
        let name = |i: usize| looks[i].step.name();
        let told = passed_by_word(route, by_word, witnesses, name);
        Self { looks, passed, told, way, end, mute: spans.is_empty() }
    }

    /// It came to an end, as a witness says, and not a span of it is there: nothing can be asked of its steps.
    fn is_all_word(&self) -> bool {
        self.mute && self.end.is_some()
    }

    /// It came to an end after which nothing is owed.
    fn is_over(&self) -> bool {
        self.way.is_none() && self.end.as_ref().is_some_and(|e| e.end.good && e.end.after().is_none())
    }

    /// It is not owed: done, replaced, or optional and never begun.
    pub(crate) fn is_settled(&self, i: usize) -> bool {
        let look = &self.looks[i];
        let other = self
            .way
            .as_ref()
            .is_some_and(|w| w.way.replaces(look.step.name()) || w.way.after() == look.step.name());
        let idle = look.step.optional && !look.has_own() && look.handoffs.is_empty();
        self.passed[i] || self.told[i] || other || idle || self.is_all_word() || self.is_over()
    }

    /// Until when the steps before `i` were at work, or may have been.
    pub(crate) fn before(&self, i: usize, spans: &Spans<'a>, route: &Route) -> Option<u64> {
        let follows = route.follows(i);
        let ahead = (0..i).filter(|a| follows.contains(&self.looks[*a].step.name()));
        ahead.filter_map(|a| self.ended(a, spans, route)).max()
    }

    fn ended(&self, i: usize, spans: &Spans<'a>, route: &Route) -> Option<u64> {
        let look = &self.looks[i];
        if let Some(end) = look.good.iter().filter_map(|n| spans.end(*n)).max() {
            return Some(end);
        }
        match look.since(spans, route) {
            Some(since) => Some(later(since, look.limit(route))),
            None => self.before(i, spans, route).map(|t| later(t, look.step.deadline)),
        }
    }
}

/// `time` and `more`, at most the end of time.
pub(crate) fn later(time: u64, more: std::time::Duration) -> u64 {
    time.saturating_add(u64::try_from(more.as_nanos()).unwrap_or(u64::MAX))
}

fn passed(
    route: &Route,
    end: Option<&str>,
    done: impl Fn(usize) -> bool,
    seen: impl Fn(usize) -> bool,
) -> Vec<bool> {
    let mut passed = vec![false; route.steps.len()];
    let index = |name: &str| route.steps.iter().position(|s| s.name() == name);
    for i in (0..route.steps.len()).rev() {
        passed[i] |= done(i) || end == Some(route.steps[i].name());
        if passed[i] || seen(i) {
            for before in route.follows(i).into_iter().filter_map(index) {
                passed[before] = true;
            }
        }
    }
    passed
}

fn passed_by_word<'a>(
    route: &Route,
    end: Option<&str>,
    witnesses: &[Witness],
    name: impl Fn(usize) -> &'a str,
) -> Vec<bool> {
    passed(
        route,
        end,
        |i| says_done(witnesses, name(i)),
        |i| {
            witnesses.iter().any(|w| match &w.says {
                Says::Begun { step } | Says::Stopped { step, .. } => step == name(i),
                _ => false,
            })
        },
    )
}

fn says_done(witnesses: &[Witness], name: &str) -> bool {
    witnesses.iter().any(|w| matches!(&w.says, Says::Done { step } if step == name))
}

/// Spans first, in the order of the route; then what witnesses say.
fn reached<'a>(spans: &Spans<'a>, route: &'a Route, witnesses: &[Witness]) -> Option<Reached<'a>> {
    let shown = |end: &End| spans.well(&end.seen).filter(|_| spans.any(&end.unless).is_none());
    let seen = route.ends.iter().find_map(|end| Some((end, shown(end)?)));
    let told = route.ends.iter().find(|end| {
        witnesses.iter().any(|w| matches!(&w.says, Says::Ended { end: name } if *name == end.name))
    });
    match (seen, told) {
        (Some((end, shown)), _) => Some(Reached { end, shown: Some(shown) }),
        (None, Some(end)) => Some(Reached { end, shown: None }),
        (None, None) => None,
    }
}

/// The way that is not shown itself: it leads to the end that was reached, or a witness says that one of its own steps
/// is done.
fn said<'a>(
    route: &'a Route,
    looks: &[Look<'_>],
    witnesses: &[Witness],
    end: Option<&str>,
) -> Option<&'a Alternative> {
    route.alternatives.iter().find(|way| {
        let undone =
            !way.unless.is_empty() || looks.iter().all(|l| !way.replaces(l.step.name()) || !l.is_done());
        let leads = end.is_some() && way.end() == end;
        let shown = leads
            || witnesses.iter().any(|w| match &w.says {
                Says::Done { step } => {
                    way.steps.iter().any(|s| s.name() == step)
                        && !route.steps.iter().any(|s| s.name() == step)
                }
                _ => false,
            });
        undone && shown
    })
}

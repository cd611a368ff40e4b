//! From an id to all that the store has of the one order that it names: whichever trace bears the id, all traces that
//! bear its order's subject. A later look at an order is a trace of its own that links to the order's; links are followed.

use std::time::Duration;

use contracts::keys;
use journey::{Case, Route, Trace};

use super::{
    AskError, Backend, Window,
    ids::{Form, Reading},
};

/// Traces of one order that are read from one service.
const TRACES: usize = 50;
/// Links that are followed from a trace that names no order.
const LINKS: usize = 8;
/// An order is looked for this much before the first span of it that is known.
const BEFORE: Duration = Duration::from_secs(24 * 3600);

/// What an id has led to.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// One order.
    Found(Box<Case>),
    /// More than one: which is meant must be said.
    Several(Vec<Named>),
    /// Nothing in this store, in this time.
    Nothing,
}

/// One of several orders that an id or a text leads to.
#[derive(Debug)]
pub(crate) struct Named {
    /// What led to it.
    pub(crate) by: Reading,
    /// What it is called; none when its spans do not say.
    pub(crate) subject: Option<String>,
    /// One of its traces.
    pub(crate) trace: String,
}

/// Looks ids up.
#[derive(Debug)]
pub(crate) struct Finder<'a> {
    backend: &'a Backend,
    route: &'a Route,
    window: Window,
}

// === impl Finder ===

impl<'a> Finder<'a> {
    /// Looks for what travels on `route` among the spans that started within `window`.
    pub(crate) fn new(backend: &'a Backend, route: &'a Route, window: Window) -> Self {
        Self { backend, route, window }
    }

    /// What one of `readings` leads to.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub(crate) async fn look_up(&self, readings: &[Reading]) -> Result<Lookup, AskError> {
        let mut found: Vec<(&Reading, Case)> = Vec::new();
        for reading in readings {
            // Taking a text as it stands is the last resort.
            if reading.form == Form::Any && !found.is_empty() {
                break;
            }
            for case in self.cases(reading).await? {
                if !found.iter().any(|(_, known)| same(known, &case)) {
                    found.push((reading, case));
                }
            }
        }
        if found.len() > 1 {
            let named = found.into_iter().map(|(by, case)| Named {
                by: by.clone(),
                trace: case.traces.first().map(|t| t.id.clone()).unwrap_or_default(),
                subject: case.subject,
            });
            return Ok(Lookup::Several(named.collect()));
        }
        match found.pop() {
            Some((_, case)) => Ok(Lookup::Found(Box::new(self.whole(case).await?))),
            None => Ok(Lookup::Nothing),
        }
    }

    /// `case` as the store has it now, with the traces that were found in other ways before.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub(crate) async fn whole(&self, case: Case) -> Result<Case, AskError> {
        let Some(subject) = case.subject.clone() else {
            return self.reread(case).await;
        };
        let begun = case.traces.iter().flat_map(|t| &t.spans).map(|s| s.start_ns).min().unwrap_or(u64::MAX);
        let before = u64::try_from(BEFORE.as_nanos()).unwrap_or(u64::MAX);
        let start_ns = self.window.start_ns.min(begun.saturating_sub(before));
        let window = Window { start_ns, end_ns: Window::last(Duration::ZERO).end_ns };
        let services = self.route.services();
        let mut traces =
            self.backend.find(&services, (&self.route.subject, &subject), window, TRACES).await?;
        for old in case.traces {
            match traces.iter_mut().find(|t| t.id == old.id) {
                // What was read by id may hold more than a search that was cut short.
                Some(new) if new.spans.len() < old.spans.len() => *new = old,
                Some(_) => {}
                None => traces.push(old),
            }
        }
        traces.sort_by_key(|t| std::cmp::Reverse(t.spans.len()));
        let all = Case::split(traces, self.route);
        let one = all.into_iter().find(|c| c.subject.as_ref() == Some(&subject));
        Ok(one.unwrap_or(Case { subject: Some(subject), ..Case::default() }))
    }

    async fn reread(&self, case: Case) -> Result<Case, AskError> {
        let mut traces = Vec::new();
        for old in case.traces {
            traces.push(self.backend.trace(&old.id).await?.unwrap_or(old));
        }
        Ok(Case { traces, ..case })
    }

    /// All orders that one reading names.
    async fn cases(&self, reading: &Reading) -> Result<Vec<Case>, AskError> {
        if reading.form == Form::Trace {
            return self.of_trace(&reading.value).await;
        }
        let services = self.route.services();
        let ids = ids(self.route);
        for key in reading.form.keys(&ids) {
            let value = reading.value.as_str();
            let traces = self.backend.find(&services, (key, value), self.window, TRACES).await?;
            let bears = |case: &Case| {
                let mut spans = case.traces.iter().flat_map(|t| &t.spans);
                spans.any(|s| s.attributes.get(key).is_some_and(|v| v == value))
            };
            let cases: Vec<_> = Case::split(traces, self.route).into_iter().filter(bears).collect();
            if !cases.is_empty() {
                return Ok(cases);
            }
        }
        Ok(Vec::new())
    }

    async fn of_trace(&self, id: &str) -> Result<Vec<Case>, AskError> {
        let Some(trace) = self.backend.trace(id).await? else { return Ok(Vec::new()) };
        let named = self.named(trace.clone());
        if !named.is_empty() {
            return Ok(named);
        }
        let mut links: Vec<_> = trace.spans.iter().flat_map(|s| &s.links).map(|l| l.trace.clone()).collect();
        links.sort();
        links.dedup();
        for link in links.iter().filter(|link| *link != id).take(LINKS) {
            let named = self.backend.trace(link).await?.map(|t| self.named(t)).unwrap_or_default();
            if !named.is_empty() {
                return Ok(named);
            }
        }
        Ok(vec![Case { traces: vec![trace], ..Case::default() }])
    }

    fn named(&self, trace: Trace) -> Vec<Case> {
        Case::split(vec![trace], self.route).into_iter().filter(|c| c.subject.is_some()).collect()
    }
}

/// The attributes that name what travels; a route that names none but its subject is searched for that alone.
fn ids(route: &Route) -> Vec<String> {
    if !route.ids.is_empty() {
        return route.ids.clone();
    }
    let ours = [keys::ORDER_ID, keys::CART_ID, keys::PAYMENT_REFERENCE, keys::PARTNER_REFERENCE];
    let all = ours.iter().filter(|_| route.subject == keys::ORDER_ID).map(|k| (*k).to_owned());
    std::iter::once(route.subject.clone()).chain(all.filter(|k| *k != route.subject)).collect()
}

fn same(a: &Case, b: &Case) -> bool {
    match (&a.subject, &b.subject) {
        (None, None) => a.traces.first().map(|t| &t.id) == b.traces.first().map(|t| &t.id),
        (a, b) => a == b,
    }
}

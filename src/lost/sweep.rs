//! Goes through all orders of a stretch of time: from the trace store newest first, then those that only the books know.

use std::collections::{HashMap, HashSet};

use chassis::bus::DeadLetterBox;
use futures::{StreamExt, TryStreamExt, stream};
use indicatif::ProgressBar;
use journey::{Case, Heard, Outcome, Route, Trace, Verdict};

use super::{
    order::{Amount, Order},
    set_aside::Messages,
    survey::{Survey, Wanted},
};
use crate::ask::{
    AskError, Backend, Books, NatsLetters, Records, SetAside, Window, books::Counters, lookup::Finder,
    now_ns, standing,
};

/// Traces that are judged together: what is in memory at any time.
const TOGETHER: usize = 100;
/// Orders of which everything is looked up, at once.
const AT_ONCE: usize = 8;
/// Orders whose two stories differ are asked about again so often, since a story may only be late…
const AGAIN: usize = 3;
/// …after this long…
const LATER: std::time::Duration = std::time::Duration::from_secs(2);
/// …as long as they are not more than this.
const MOST_AGAIN: usize = 500;
/// The book that knows of every order that was paid.
const LEDGER: &str = "payment-gateway";

/// What a sweep goes through, and with what.
pub(crate) struct Sweep<'a> {
    pub(crate) backend: &'a Backend,
    pub(crate) route: &'a Route,
    /// None when no book is to be asked.
    pub(crate) books: Option<&'a Books>,
    /// None when NATS is not to be asked.
    pub(crate) dead_letters: Option<&'a DeadLetterBox>,
    pub(crate) window: Window,
    pub(crate) wanted: Wanted,
    pub(crate) progress: ProgressBar,
}

/// What is known of the system as a whole: asked once.
struct Known {
    heard: Heard,
    counters: Counters,
    dead: NatsLetters,
}

/// What was found so far.
#[derive(Default)]
struct Found {
    orders: HashMap<Box<str>, Order>,
    /// Services whose book did not answer.
    silent: HashSet<String>,
    /// Messages that were set aside, by order.
    set_aside: HashMap<String, Vec<SetAside>>,
}

// === impl Sweep ===

impl Sweep<'_> {
    /// Goes through everything.
    ///
    /// # Errors
    /// When the trace store cannot be asked. Books that do not answer are named in the survey.
    pub(crate) async fn run(&self) -> Result<Survey, AskError> {
        let counters = async {
            match self.books {
                Some(books) => books.counters().await,
                None => Counters::default(),
            }
        };
        let services = self.route.services();
        let heard = self.backend.heard(&services, self.window);
        let dead = NatsLetters::read(self.dead_letters, self.window);
        let (heard, counters, dead) = futures::join!(heard, counters, dead);
        let known = Known { heard: heard?, counters, dead };
        let mut found = Found::default();
        self.through_traces(&known, &mut found).await?;
        self.through_books(&known, &mut found).await?;
        self.through_dead_letters(&known, &mut found).await?;
        self.settle(&known, &mut found).await?;
        self.progress.finish_and_clear();
        Ok(self.survey(found, known.dead))
    }

    fn survey(&self, found: Found, dead: NatsLetters) -> Survey {
        let mut silent: Vec<_> = found.silent.into_iter().collect();
        silent.sort();
        let mut set_aside = dead.others(|id| found.set_aside.contains_key(id));
        set_aside.extend(found.set_aside.into_values().flatten());
        let set_aside = Messages::of(set_aside, dead, &found.orders, &self.wanted, self.window);
        let survey = Survey::of(&found.orders, &self.wanted, self.window, now_ns(), silent);
        Survey { set_aside, ..survey }
    }

    /// Every order of which the first service tells, in batches.
    async fn through_traces(&self, known: &Known, found: &mut Found) -> Result<(), AskError> {
        let Some((service, operation)) = self.entrance() else { return Ok(()) };
        let scan = self.backend.scan(service, Some(operation), self.window);
        let mut batches = std::pin::pin!(scan.try_chunks(TOGETHER));
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(|e| e.1)?;
            let ids = self.judge(self.cases(batch), known, found).await?;
            self.tell(found, ids);
        }
        Ok(())
    }

    /// The span that every order begins with, even one that hangs: the first step's receipt, else its own span.
    fn entrance(&self) -> Option<(&str, &str)> {
        let first = self.route.steps.first()?;
        let mark = first.begun.iter().chain(&first.done).next()?;
        Some((&mark.service, &mark.span))
    }

    fn cases(&self, traces: Vec<Trace>) -> Vec<Case> {
        let named = Case::split(traces, self.route).into_iter().filter(|c| c.subject.is_some());
        named.collect()
    }

    /// Judges each of `cases`, and writes down what came of it.
    async fn judge(&self, cases: Vec<Case>, known: &Known, found: &mut Found) -> Result<usize, AskError> {
        let met = |case: &Case| case.subject.as_ref().is_some_and(|s| found.orders.contains_key(s.as_str()));
        let judged: Vec<_> = cases
            .into_iter()
            .map(|case| {
                let again = met(&case);
                self.by_traces(case, &known.heard, again)
            })
            .collect();
        let judged: Vec<_> = stream::iter(judged).buffer_unordered(AT_ONCE).try_collect().await?;
        let ids: Vec<String> = judged.iter().filter_map(|(case, _)| case.subject.clone()).collect();
        let mut records = self.records(&ids, known, found).await;
        for (case, alone) in judged {
            let Some(subject) = case.subject.clone() else { continue };
            let records = records.remove(&subject);
            // What came to rest by its spans has; the books are still held against it in the reconciliation.
            let verdict = match &records {
                Some(records) if alone.outcome != Outcome::Arrived => {
                    let mut witnesses = records.witnesses();
                    witnesses.extend(known.counters.witnesses(began(&case)));
                    journey::judge(&case, self.route, &witnesses, now_ns())
                }
                _ => alone.clone(),
            };
            let mut order = Order::judged(&verdict, &alone);
            if let Some(records) = records.filter(|_| self.asks_books()) {
                order.books = Some(standing(&records, self.route, now_ms()));
                order.booked = booked(&records);
            }
            found.orders.insert(subject.into(), order);
        }
        Ok(ids.len())
    }

    /// By its traces alone. What has not arrived may have gone on in another trace: all that bear its name are read.
    async fn by_traces(
        &self,
        mut case: Case,
        heard: &Heard,
        again: bool,
    ) -> Result<(Case, Verdict), AskError> {
        case.heard = heard.clone();
        let verdict = journey::judge(&case, self.route, &[], now_ns());
        if verdict.outcome == Outcome::Arrived && !again {
            return Ok((case, verdict));
        }
        let mut whole = Finder::new(self.backend, self.route, self.window).whole(case).await?;
        whole.heard = heard.clone();
        let verdict = journey::judge(&whole, self.route, &[], now_ns());
        Ok((whole, verdict))
    }

    fn asks_books(&self) -> bool {
        self.books.is_some_and(|b| !b.keepers().is_empty())
    }

    /// What books and dead letters say of the orders `ids`; none of an order of which nobody could be asked.
    async fn records(&self, ids: &[String], known: &Known, found: &mut Found) -> HashMap<String, Records> {
        let mut records = match self.books.filter(|_| self.asks_books()) {
            Some(books) => books.of(ids).await,
            None => HashMap::new(),
        };
        for record in records.values() {
            found.silent.extend(record.silent.iter().chain(&record.unread).cloned());
        }
        for id in ids {
            if !known.dead.tell_of(id) && !records.contains_key(id) {
                continue;
            }
            let set_aside = known.dead.complete(id, records.entry(id.clone()).or_default());
            if set_aside.is_empty() {
                found.set_aside.remove(id);
            } else {
                found.set_aside.insert(id.clone(), set_aside);
            }
        }
        records
    }

    /// Orders that were paid and of which no trace began at the first service: its telemetry may be lost, or sampled away.
    async fn through_books(&self, known: &Known, found: &mut Found) -> Result<(), AskError> {
        let Some(books) = self.books.filter(|b| b.keepers().contains(&LEDGER)) else { return Ok(()) };
        let ms = |ns: u64| i64::try_from(ns / 1_000_000).unwrap_or(i64::MAX);
        let (since, until) = (ms(self.window.start_ns), ms(self.window.end_ns));
        let mut after = String::new();
        loop {
            let query = [("after", after.clone()), ("since", since.to_string())];
            let Ok(page) = books.page(LEDGER, &query).await else {
                found.silent.insert(LEDGER.to_owned());
                return Ok(());
            };
            let unknown = page.entries.iter().filter(|e| e.began_ms.is_some_and(|ms| ms <= until));
            let unknown = unknown.filter(|e| !found.orders.contains_key(e.order_id.as_str()));
            let ids: Vec<_> = unknown.map(|e| e.order_id.clone()).collect();
            self.unmet(ids, known, found).await?;
            match page.next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    /// Orders of the time of which so far nothing tells but a message that was set aside.
    async fn through_dead_letters(&self, known: &Known, found: &mut Found) -> Result<(), AskError> {
        let mut ids = known.dead.orders(self.window);
        ids.retain(|id| !found.orders.contains_key(id.as_str()));
        for ids in ids.chunks(TOGETHER) {
            self.unmet(ids.to_vec(), known, found).await?;
        }
        Ok(())
    }

    /// Looks for `ids` in the trace store by name; those that are not there are judged by the books.
    async fn unmet(&self, ids: Vec<String>, known: &Known, found: &mut Found) -> Result<(), AskError> {
        let look = ids.into_iter().map(|id| async move {
            let case = Case { subject: Some(id), ..Case::default() };
            Finder::new(self.backend, self.route, self.window).whole(case).await
        });
        let cases: Vec<_> = stream::iter(look).buffer_unordered(AT_ONCE).try_collect().await?;
        let (met, unmet): (Vec<_>, Vec<_>) = cases.into_iter().partition(|case| !case.traces.is_empty());
        let met = self.judge(met, known, found).await?;
        let ids: Vec<_> = unmet.into_iter().filter_map(|case| case.subject).collect();
        for (id, records) in self.records(&ids, known, found).await {
            let standing = standing(&records, self.route, now_ms());
            let mut order = Order::by_books(standing, booked(&records), records.trace());
            if let (None, Some(message)) =
                (&order.place, found.set_aside.get(&id).and_then(|all| all.first()))
            {
                order.waits_for(message);
            }
            found.orders.insert(id.into(), order);
        }
        self.tell(found, met + ids.len());
        Ok(())
    }

    /// An order may have moved between the two looks at it, and its spans are a moment behind its books.
    async fn settle(&self, known: &Known, found: &mut Found) -> Result<(), AskError> {
        for _ in 0..AGAIN {
            let differ: Vec<String> =
                found.orders.iter().filter(|(_, o)| o.differs()).map(|(id, _)| id.to_string()).collect();
            if differ.is_empty() || differ.len() > MOST_AGAIN {
                return Ok(());
            }
            self.progress.set_message(format!(
                "{} orders of which traces and books differ: looking again",
                differ.len()
            ));
            tokio::time::sleep(LATER).await;
            let cases = differ.into_iter().map(|id| Case { subject: Some(id), ..Case::default() });
            self.judge(cases.collect(), known, found).await?;
        }
        Ok(())
    }

    fn tell(&self, found: &Found, by: usize) {
        self.progress.inc(u64::try_from(by).unwrap_or_default());
        self.progress.set_message(format!("{} orders judged", found.orders.len()));
    }
}

fn began(case: &Case) -> Option<u64> {
    case.traces.iter().flat_map(|t| &t.spans).map(|s| s.start_ns).min()
}

fn booked(records: &Records) -> Option<Amount> {
    records.amount().map(|(minor, currency)| Amount { minor, currency: currency.into() })
}

fn now_ms() -> i64 {
    i64::try_from(now_ns() / 1_000_000).unwrap_or(i64::MAX)
}

//! Who else knows of an order: the services' own books (`GET /book`), third parties' logs, drop counters. Read when a
//! verdict is asked for. Everything is optional: what is not there, or does not answer in time, is said to be silent.

mod counters;
mod meaning;
mod partners;
mod standing;

use std::{collections::HashMap, time::Duration};

use chassis::book::{Entry, Letter, Page, Says as Word};
use futures::future::join_all;
use journey::{Case, Says, Witness};
use reqwest::{Client, Url};
use serde::de::DeserializeOwned;

use super::Places;

pub(crate) use counters::{Counters, Face};
#[cfg(test)]
pub(crate) use counters::{Counts, Setting, Warning};
pub(crate) use meaning::{KEEPERS, step_of};
pub(crate) use standing::{Standing, standing};

/// A book that has not answered within this time is not waited for.
const PATIENCE: Duration = Duration::from_secs(3);
/// Most that is read of one answer.
const MOST_BYTES: usize = 8 << 20;
/// Orders that a book is asked about at once; its own limit.
pub(crate) const AT_ONCE: usize = 200;

/// The books and logs of a running system, as far as it is known where they are.
#[derive(Debug, Clone)]
pub(crate) struct Books {
    client: Client,
    places: Places,
}

/// What all books say of one order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Records {
    /// By service, in the order of the route.
    pub(crate) entries: Vec<(String, Entry)>,
    /// Messages that are not done with, by the service that holds them.
    pub(crate) letters: Vec<(String, Letter)>,
    /// Services that did not answer at all.
    pub(crate) silent: Vec<String>,
    /// Services that answered, but not with their book.
    pub(crate) unread: Vec<String>,
}

/// Why something could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    /// Nobody answers there.
    NoAnswer,
    /// Something answers, and not with what was asked for.
    Other,
}

// === impl Books ===

impl Books {
    /// The books of the fleet at `places`.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub(crate) fn new(places: Places) -> anyhow::Result<Self> {
        // Questions about orders are no part of them: a plain client, without spans.
        let client = Client::builder().timeout(PATIENCE).no_proxy().build()?;
        Ok(Self { client, places })
    }

    /// Services whose book can be asked.
    pub(crate) fn keepers(&self) -> Vec<&'static str> {
        KEEPERS.into_iter().filter(|service| self.places.url(service).is_some()).collect()
    }

    /// Everything that is said of `case` outside its traces.
    pub(crate) async fn witnesses(&self, case: &Case) -> Vec<Witness> {
        let began = case.traces.iter().flat_map(|t| &t.spans).map(|s| s.start_ns).min();
        let (records, logs, lost) = futures::join!(
            async {
                let Some(subject) = &case.subject else { return Records::default() };
                self.of(std::slice::from_ref(subject)).await.remove(subject).unwrap_or_default()
            },
            self.logs(case),
            async { self.counters().await.witnesses(began) },
        );
        let mut all = records.witnesses();
        all.extend(logs);
        without_contradiction(&mut all);
        all.extend(lost);
        all
    }

    /// What the books say of each of `orders`, asked together.
    pub(crate) async fn of(&self, orders: &[String]) -> HashMap<String, Records> {
        let mut all: HashMap<String, Records> =
            orders.iter().map(|id| (id.clone(), Records::default())).collect();
        for chunk in orders.chunks(AT_ONCE) {
            let ids = chunk.join(",");
            let ask = |service: &'static str| {
                let query = [("order_id", ids.clone())];
                async move { (service, self.page(service, &query).await) }
            };
            for (service, page) in join_all(self.keepers().into_iter().map(ask)).await {
                match page {
                    Ok(page) => {
                        for entry in page.entries {
                            if let Some(records) = all.get_mut(&entry.order_id) {
                                records.entries.push((service.to_owned(), entry));
                            }
                        }
                        for letter in page.messages {
                            if let Some(records) = all.get_mut(&letter.order_id) {
                                records.letters.push((service.to_owned(), letter));
                            }
                        }
                    }
                    Err(why) => {
                        for id in chunk {
                            if let Some(records) = all.get_mut(id) {
                                records.fails(service, why);
                            }
                        }
                    }
                }
            }
        }
        all
    }

    /// One page of the book of `service`.
    ///
    /// # Errors
    /// Whether anybody answers there.
    pub(crate) async fn page(&self, service: &str, query: &[(&str, String)]) -> Result<Page, Unread> {
        let base = self.places.url(service).ok_or(Unread::Other)?;
        self.get(&format!("{base}/book"), query).await
    }

    /// Asks for JSON; what comes is bounded in time and size.
    async fn get<T: DeserializeOwned>(&self, url: &str, query: &[(&str, String)]) -> Result<T, Unread> {
        let body = self.bytes(url, query).await?;
        serde_json::from_slice(&body).map_err(|_| Unread::Other)
    }

    async fn bytes(&self, url: &str, query: &[(&str, String)]) -> Result<Vec<u8>, Unread> {
        let mut url = Url::parse(url).map_err(|_| Unread::Other)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut reply = self.client.get(url).send().await.map_err(|_| Unread::NoAnswer)?;
        if !reply.status().is_success() {
            return Err(Unread::Other);
        }
        let mut body = Vec::new();
        while let Some(chunk) = reply.chunk().await.map_err(|_| Unread::NoAnswer)? {
            body.extend_from_slice(&chunk);
            if body.len() > MOST_BYTES {
                return Err(Unread::Other);
            }
        }
        Ok(body)
    }
}

// === impl Records ===

impl Records {
    /// What `service` has on record; none when it has never seen the order.
    pub(crate) fn entry(&self, service: &str) -> Option<&Entry> {
        let found = self.entries.iter().find(|(s, e)| s == service && e.says != Word::NotSeen);
        found.map(|(_, entry)| entry)
    }

    /// What was seen of the order, by service.
    pub(crate) fn seen(&self) -> impl Iterator<Item = (&str, &Entry)> {
        let seen = self.entries.iter().filter(|(_, e)| e.says != Word::NotSeen);
        seen.map(|(service, entry)| (service.as_str(), entry))
    }

    /// Whether any book has seen the order.
    pub(crate) fn know(&self) -> bool {
        self.seen().next().is_some()
    }

    /// Whether it is unknown what `service` has on record.
    pub(crate) fn is_silent(&self, service: &str) -> bool {
        !self.entries.iter().any(|(s, _)| s == service)
    }

    /// What was paid, by the book of payments, else by whichever book names an amount.
    pub(crate) fn amount(&self) -> Option<(i64, String)> {
        let gateway = self.entry("payment-gateway").into_iter();
        let all = gateway.chain(self.entries.iter().map(|(_, e)| e));
        all.filter_map(|e| Some((e.amount_minor?, e.currency.clone()?))).next()
    }

    /// The order's trace, where a book names it.
    pub(crate) fn trace(&self) -> Option<&str> {
        self.entries.iter().find_map(|(_, e)| e.trace_id.as_deref())
    }

    /// The same as witnesses.
    pub(crate) fn witnesses(&self) -> Vec<Witness> {
        meaning::witnesses(self)
    }

    fn fails(&mut self, service: &str, why: Unread) {
        match why {
            Unread::NoAnswer => self.silent.push(service.to_owned()),
            Unread::Other => self.unread.push(service.to_owned()),
        }
    }
}

/// Of a step that one has not seen and another has, only the latter counts.
fn without_contradiction(all: &mut Vec<Witness>) {
    let step = |says: &Says| match says {
        Says::Done { step } | Says::Begun { step } | Says::Stopped { step, .. } => Some(step.clone()),
        _ => None,
    };
    let seen: Vec<String> = all.iter().filter_map(|w| step(&w.says)).collect();
    all.retain(|w| !matches!(&w.says, Says::NotSeen { step } if seen.contains(step)));
}

//! What is kept of each order once it has been judged: little, so that a million of them fit in memory (some 200 bytes each).

use std::collections::BTreeMap;

use journey::{Outcome, Phase, Verdict};

use crate::ask::{SetAside, Standing};

/// One order, judged.
#[derive(Debug, Clone)]
pub(super) struct Order {
    /// Its first trace; none when the store has nothing of it.
    pub(super) trace: Option<u128>,
    /// What was, or would have been, paid.
    pub(super) amount: Option<Amount>,
    /// The verdict on all there is.
    pub(super) outcome: Outcome,
    /// Where it stopped, or may have.
    pub(super) place: Option<Place>,
    /// Money that was taken, for which nothing was given: neither food nor refund.
    pub(super) owed: bool,
    /// By the traces alone; none when there is no trace.
    pub(super) traces: Option<Standing>,
    /// By the books alone; none when none was asked.
    pub(super) books: Option<Standing>,
    /// What the books say was paid.
    pub(super) booked: Option<Amount>,
}

/// Minor units and ISO 4217 code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) minor: i64,
    pub(super) currency: Box<str>,
}

/// Where and why, by which orders are grouped.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) step: Box<str>,
    pub(super) phase: Phase,
    pub(super) cause: Option<Box<str>>,
    pub(super) words: Option<Box<str>>,
}

/// Sums by currency.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Money(pub(crate) BTreeMap<String, i64>);

// === impl Order ===

impl Order {
    /// From the verdict on everything, and that on the traces alone.
    pub(super) fn judged(verdict: &Verdict, traces_alone: &Verdict) -> Self {
        let value = verdict.value.as_ref();
        let taken = value.is_some_and(|v| v.taken == Some(true) && v.returned != Some(true));
        Self {
            trace: verdict.traces.first().and_then(|id| u128::from_str_radix(id, 16).ok()),
            amount: value.map(|v| Amount { minor: v.amount_minor, currency: v.currency.as_str().into() }),
            outcome: verdict.outcome,
            place: place(verdict),
            owed: taken && verdict.end.as_deref() != Some("delivered"),
            traces: Some(by_traces(traces_alone)),
            books: None,
            booked: None,
        }
    }

    /// Of which the store has nothing: lost from telemetry or sampled away. The books alone are asked.
    pub(super) fn by_books(standing: Standing, booked: Option<Amount>, trace: Option<&str>) -> Self {
        let outcome = match &standing {
            Standing::Delivered | Standing::Refunded | Standing::Unpaid => Outcome::Arrived,
            Standing::UnderWay => Outcome::UnderWay,
            Standing::Stopped { .. } => Outcome::Stopped,
            Standing::Undecided => Outcome::Undecided,
        };
        let place = match &standing {
            Standing::Stopped { step, cause } => Some(Place {
                step: step.as_str().into(),
                phase: if cause == "no_word" { Phase::NotFinished } else { Phase::Failed },
                cause: Some(cause.as_str().into()),
                words: None,
            }),
            _ => None,
        };
        Self {
            trace: trace.and_then(|id| u128::from_str_radix(id, 16).ok()),
            amount: booked.clone(),
            outcome,
            place,
            owed: matches!(standing, Standing::Stopped { .. } | Standing::Undecided),
            traces: None,
            books: Some(standing),
            booked,
        }
    }

    /// Nothing is known of it but that nobody works any more on `message`.
    pub(super) fn waits_for(&mut self, message: &SetAside) {
        self.place = Some(Place {
            step: message.step.unwrap_or(&message.service).into(),
            phase: Phase::Failed,
            cause: Some("dead_message".into()),
            words: None,
        });
        let id = message.trace.as_ref().and_then(|id| u128::from_str_radix(id, 16).ok());
        self.trace = self.trace.or(id);
    }

    /// Its first trace, 32 hex digits.
    pub(super) fn trace_id(&self) -> Option<String> {
        self.trace.map(|id| format!("{id:032x}"))
    }

    /// Whether traces and books tell two different stories of the money. What one side does not decide is no difference.
    pub(super) fn differs(&self) -> bool {
        let (Some(traces), Some(books)) = (&self.traces, &self.books) else { return false };
        let decided = |s: &Standing| !matches!(s, Standing::Undecided);
        if !decided(traces) || !decided(books) {
            return false;
        }
        let paid = !matches!(traces, Standing::Unpaid) && !matches!(books, Standing::Unpaid);
        let sums = paid && self.booked.is_some() && self.amount.is_some() && self.booked != self.amount;
        traces.name() != books.name() || sums
    }
}

/// Where the money of an order is, as its traces tell.
fn by_traces(verdict: &Verdict) -> Standing {
    match verdict.end.as_deref() {
        Some("delivered") => return Standing::Delivered,
        Some("refunded") => return Standing::Refunded,
        _ => {}
    }
    let taken = verdict.value.as_ref().and_then(|v| v.taken);
    match (verdict.outcome, taken, &verdict.stop) {
        (Outcome::Arrived | Outcome::NotBegun, ..) | (_, Some(false), _) => Standing::Unpaid,
        (Outcome::UnderWay, Some(true), _) => Standing::UnderWay,
        (Outcome::UnderWay, None, _) => Standing::Unpaid,
        (Outcome::Stopped, Some(true), Some(stop)) => {
            Standing::Stopped { step: stop.step.clone(), cause: stop.cause.clone().unwrap_or_default() }
        }
        _ => Standing::Undecided,
    }
}

fn place(verdict: &Verdict) -> Option<Place> {
    let stop = verdict.stop.as_ref()?;
    Some(Place {
        step: stop.step.as_str().into(),
        phase: stop.phase,
        cause: stop.cause.as_deref().map(Into::into),
        words: stop.words.as_deref().map(Into::into),
    })
}

// === impl Money ===

impl Money {
    pub(super) fn add(&mut self, amount: Option<&Amount>) {
        if let Some(amount) = amount {
            let sum = self.0.entry(amount.currency.to_string()).or_default();
            *sum = sum.saturating_add(amount.minor);
        }
    }

    /// The greatest sum in any currency: what groups are ordered by.
    pub(super) fn greatest(&self) -> i64 {
        self.0.values().copied().max().unwrap_or_default()
    }
}

//! The reconciliation: paid = delivered + refunded + under way + stopped, by the traces and by the books.

use serde::Serialize;

use super::order::{Money, Order};
use crate::ask::Standing;

/// How many, and how much.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Term {
    pub(crate) count: usize,
    #[serde(serialize_with = "sums")]
    pub(crate) money: Money,
}

/// One side of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Side {
    pub(crate) paid: Term,
    pub(crate) delivered: Term,
    pub(crate) refunded: Term,
    pub(crate) under_way: Term,
    pub(crate) stopped: Term,
    /// What the side cannot tell; for the traces also orders that only the books know.
    pub(crate) undecided: Term,
}

// === impl Side ===

impl Side {
    /// By the traces: what they say was paid. Of an order without a trace only the books know, so it is undecided here.
    pub(super) fn of_traces<'a>(orders: impl Iterator<Item = &'a Order>) -> Self {
        let mut side = Self::default();
        for order in orders {
            let unknown =
                order.books.as_ref().filter(|s| **s != Standing::Unpaid).map(|_| Standing::Undecided);
            if let Some(standing) = order.traces.clone().or(unknown) {
                side.add(&standing, order.amount.as_ref());
            }
        }
        side
    }

    /// By the books.
    pub(super) fn of_books<'a>(orders: impl Iterator<Item = &'a Order>) -> Self {
        let mut side = Self::default();
        for order in orders {
            if let Some(standing) = &order.books {
                side.add(standing, order.booked.as_ref());
            }
        }
        side
    }

    /// The terms in the order of the equation, each with its name.
    pub(crate) fn terms(&self) -> [(&'static str, &Term); 6] {
        [
            ("paid", &self.paid),
            ("delivered", &self.delivered),
            ("refunded", &self.refunded),
            ("under way", &self.under_way),
            ("stopped", &self.stopped),
            ("undecided", &self.undecided),
        ]
    }

    fn add(&mut self, standing: &Standing, amount: Option<&super::order::Amount>) {
        let term = match standing {
            Standing::Unpaid => return,
            Standing::Delivered => &mut self.delivered,
            Standing::Refunded => &mut self.refunded,
            Standing::UnderWay => &mut self.under_way,
            Standing::Stopped { .. } => &mut self.stopped,
            Standing::Undecided => &mut self.undecided,
        };
        for term in [term, &mut self.paid] {
            term.count += 1;
            term.money.add(amount);
        }
    }
}

fn sums<S: serde::Serializer>(money: &Money, serializer: S) -> Result<S::Ok, S::Error> {
    money.0.serialize(serializer)
}

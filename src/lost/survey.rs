//! What came of a sweep: groups of orders that stopped, those that are undecided, and the two sides of the reconciliation.

use std::collections::{BTreeMap, HashMap};

use journey::{Outcome, Phase};

use super::{
    order::{Money, Order, Place},
    reconcile::Side,
    set_aside::Messages,
};
use crate::ask::Window;

/// Everything that is told.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) window: Window,
    pub(crate) asked_ns: u64,
    /// How many orders were judged.
    pub(crate) orders: usize,
    pub(crate) outcomes: BTreeMap<Outcome, usize>,
    /// Largest sum first.
    pub(crate) stopped: Vec<Group>,
    pub(crate) undecided: Vec<Group>,
    pub(crate) traces: Side,
    /// None when no book was asked.
    pub(crate) books: Option<Side>,
    /// Orders of which the store has nothing, and the books do.
    pub(crate) untraced: usize,
    pub(crate) differences: Vec<Difference>,
    pub(crate) differences_total: usize,
    /// Services whose book did not answer.
    pub(crate) silent: Vec<String>,
    /// Messages that nobody works on any more.
    pub(crate) set_aside: Messages,
}

/// Orders that stopped at one point for one reason.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) step: String,
    pub(crate) phase: Option<Phase>,
    pub(crate) cause: Option<String>,
    pub(crate) words: Option<String>,
    pub(crate) count: usize,
    /// What was taken for them and not given back.
    pub(crate) owed: Money,
    /// Some of them, by id.
    pub(crate) examples: Vec<Example>,
}

/// One order of a group.
#[derive(Debug, Clone)]
pub(crate) struct Example {
    pub(crate) order: String,
    pub(crate) trace: Option<String>,
    pub(crate) amount: Option<(i64, String)>,
}

/// An order of which traces and books tell different stories.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) order: String,
    pub(crate) trace: Option<String>,
    pub(crate) traces: &'static str,
    pub(crate) books: &'static str,
    pub(crate) amount: Option<(i64, String)>,
    pub(crate) booked: Option<(i64, String)>,
}

/// What is asked of a survey.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Only groups of this step.
    pub(crate) step: Option<String>,
    /// Most orders that are named of one group.
    pub(crate) limit: usize,
}

// === impl Survey ===

impl Survey {
    pub(super) fn of(
        orders: &HashMap<Box<str>, Order>,
        wanted: &Wanted,
        window: Window,
        asked_ns: u64,
        silent: Vec<String>,
    ) -> Self {
        let mut outcomes = BTreeMap::new();
        for order in orders.values() {
            *outcomes.entry(order.outcome).or_insert(0) += 1;
        }
        let mut differing: Vec<_> = orders.iter().filter(|(_, order)| order.differs()).collect();
        differing.sort_by(|a, b| a.0.cmp(b.0));
        Self {
            window,
            asked_ns,
            orders: orders.len(),
            outcomes,
            stopped: groups(orders, Outcome::Stopped, wanted),
            undecided: groups(orders, Outcome::Undecided, wanted),
            traces: Side::of_traces(orders.values()),
            books: orders.values().any(|o| o.books.is_some()).then(|| Side::of_books(orders.values())),
            untraced: orders.values().filter(|o| o.traces.is_none()).count(),
            differences_total: differing.len(),
            differences: differing.into_iter().take(wanted.limit).map(|(id, o)| difference(id, o)).collect(),
            silent,
            set_aside: Messages::default(),
        }
    }

    /// How many orders stopped, of those that were asked for.
    pub(crate) fn lost(&self) -> usize {
        self.stopped.iter().map(|g| g.count).sum()
    }
}

fn groups(orders: &HashMap<Box<str>, Order>, outcome: Outcome, wanted: &Wanted) -> Vec<Group> {
    let mut members: BTreeMap<Option<&Place>, Vec<(&str, &Order)>> = BTreeMap::new();
    for (id, order) in orders.iter().filter(|(_, o)| o.outcome == outcome) {
        members.entry(order.place.as_ref()).or_default().push((id, order));
    }
    let mut all: Vec<_> =
        members.into_iter().map(|(place, orders)| group(place, orders, wanted.limit)).collect();
    all.retain(|g| wanted.step.as_ref().is_none_or(|step| *step == g.step));
    all.sort_by_key(|g| std::cmp::Reverse((g.owed.greatest(), g.count)));
    all
}

fn group(place: Option<&Place>, mut orders: Vec<(&str, &Order)>, limit: usize) -> Group {
    // The dearest are named, and of equals always the same.
    orders.sort_by_key(|(id, order)| (std::cmp::Reverse(order.amount.as_ref().map(|a| a.minor)), *id));
    let mut owed = Money::default();
    for (_, order) in orders.iter().filter(|(_, order)| order.owed) {
        owed.add(order.amount.as_ref());
    }
    Group {
        step: place.map(|p| p.step.to_string()).unwrap_or_default(),
        phase: place.map(|p| p.phase),
        cause: place.and_then(|p| p.cause.as_deref()).map(str::to_owned),
        words: place.and_then(|p| p.words.as_deref()).map(str::to_owned),
        count: orders.len(),
        owed,
        examples: orders.iter().take(limit).map(|(id, order)| example(id, order)).collect(),
    }
}

fn example(id: &str, order: &Order) -> Example {
    let amount = order.amount.as_ref().map(|a| (a.minor, a.currency.to_string()));
    Example { order: id.to_owned(), trace: order.trace_id(), amount }
}

fn difference(id: &str, order: &Order) -> Difference {
    let name =
        |standing: Option<&crate::ask::Standing>| standing.map_or("unknown", crate::ask::Standing::name);
    Difference {
        order: id.to_owned(),
        trace: order.trace_id(),
        traces: name(order.traces.as_ref()),
        books: name(order.books.as_ref()),
        amount: order.amount.as_ref().map(|a| (a.minor, a.currency.to_string())),
        booked: order.booked.as_ref().map(|a| (a.minor, a.currency.to_string())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::{ask::Standing, lost::order::Amount};

    fn order(minor: i64, cause: &str, books: Standing) -> Order {
        let amount = Some(Amount { minor, currency: "USD".into() });
        let standing = Standing::Stopped { step: "van".into(), cause: cause.into() };
        Order {
            traces: Some(standing.clone()),
            books: Some(books),
            ..Order::by_books(standing, amount, None)
        }
    }

    fn survey(orders: Vec<Order>, step: Option<&str>) -> Survey {
        let orders = orders.into_iter().enumerate().map(|(i, o)| (format!("o-{i}").into(), o)).collect();
        let wanted = Wanted { step: step.map(str::to_owned), limit: 1 };
        Survey::of(&orders, &wanted, Window { start_ns: 0, end_ns: 1 }, 1, Vec::new())
    }

    fn stopped(cause: &str) -> Standing {
        Standing::Stopped { step: "van".into(), cause: cause.into() }
    }

    #[test]
    fn groups_come_with_the_largest_sum_first_and_name_their_dearest_order() {
        let survey = survey(
            vec![
                order(100, "flat_tyre", stopped("flat_tyre")),
                order(150, "flat_tyre", stopped("flat_tyre")),
                order(900, "no_driver", stopped("no_driver")),
            ],
            None,
        );
        let told: Vec<_> = survey.stopped.iter().map(|g| (g.cause.as_deref().unwrap(), g.count)).collect();
        assert_eq!(told, [("no_driver", 1), ("flat_tyre", 2)]);
        assert_eq!(survey.stopped[1].owed.0["USD"], 250);
        assert_eq!(survey.stopped[1].examples[0].order, "o-1");
        assert_eq!((survey.lost(), survey.differences_total), (3, 0));
    }

    #[test]
    fn only_the_step_that_was_asked_for_is_told() {
        let orders = || vec![order(100, "flat_tyre", stopped("flat_tyre"))];
        assert_eq!(survey(orders(), Some("van")).lost(), 1);
        assert_eq!(survey(orders(), Some("door")).lost(), 0);
    }

    #[test]
    fn an_order_that_the_books_call_delivered_is_a_difference_and_one_they_cannot_tell_is_none() {
        let survey =
            survey(vec![order(100, "x", Standing::Delivered), order(200, "x", Standing::Undecided)], None);
        assert_eq!(survey.differences_total, 1);
        assert_eq!((survey.differences[0].traces, survey.differences[0].books), ("stopped", "delivered"));
        let books = survey.books.unwrap();
        assert_eq!((books.paid.count, books.delivered.count, books.stopped.count), (2, 1, 0));
        assert_eq!(survey.traces.stopped.money.0["USD"], 300);
    }
}

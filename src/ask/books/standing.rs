//! Where an order stands by the books alone, no trace asked: the other side of the reconciliation.

use chassis::book::{Entry, LetterState};
use journey::Route;

use super::{
    Records,
    meaning::{DEAD, REFUSED, step_of},
};

/// Where an order stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The food is there.
    Delivered,
    /// The money is back.
    Refunded,
    /// It may still arrive.
    UnderWay,
    /// It got no further.
    Stopped {
        /// The step that is owed.
        step: String,
        /// Short word for why.
        cause: String,
    },
    /// The evidence decides neither way.
    Undecided,
    /// No money was taken.
    Unpaid,
}

/// Time beyond a step's deadline after which nobody is at work on it any more: messages and refunds are tried again after
/// pauses of 30 s at most.
const GRACE_MS: i64 = 60_000;

// === impl Standing ===

impl Standing {
    /// The words of the reconciliation.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Refunded => "refunded",
            Self::UnderWay => "under way",
            Self::Stopped { .. } => "stopped",
            Self::Undecided => "undecided",
            Self::Unpaid => "not paid",
        }
    }
}

/// Where the order of `records` stands at `now_ms` (Unix milliseconds). Undecided where the book of payments is silent.
pub(crate) fn standing(records: &Records, route: &Route, now_ms: i64) -> Standing {
    let state = |service: &str| records.entry(service).map(|e| e.state.as_str()).unwrap_or_default();
    let delivered = state("restaurant-orders") == "delivered" || state("tracking") == "delivered";
    match state("payment-gateway") {
        "refunded" => return Standing::Refunded,
        _ if delivered => return Standing::Delivered,
        "charged" | "refunding" => {}
        _ if records.is_silent("payment-gateway") => return Standing::Undecided,
        _ => return Standing::Unpaid,
    }
    if let Some(stopped) = given_up(records) {
        return stopped;
    }
    let (step, since) = owed(records);
    let limit = route.step(step).map_or(0, |s| i64::try_from(s.deadline.as_millis()).unwrap_or(i64::MAX));
    // A ride takes as long as it takes; tracking is at work on it.
    let rides = state("tracking") == "riding";
    match since {
        Some(since) if !rides && now_ms > since.saturating_add(limit).saturating_add(GRACE_MS) => {
            let unseen = route.step(step).is_some() && records.silent.iter().any(|s| s == step);
            if unseen { Standing::Undecided } else { stopped(step, "no_word") }
        }
        _ => Standing::UnderWay,
    }
}

/// A book says that nobody works on it any more. What failed and goes back is on its way.
fn given_up(records: &Records) -> Option<Standing> {
    let dropped = records.entry("delivery-assignment").filter(|e| e.state == "dropped");
    if let Some(entry) = dropped {
        return Some(stopped("delivery-assignment", &entry.reason));
    }
    records.letters.iter().find_map(|(service, letter)| {
        let (receiver, cause) = match letter.state {
            LetterState::Dead => (service, DEAD),
            LetterState::Refused => (&letter.peer, REFUSED),
            LetterState::Open | LetterState::Waiting => return None,
        };
        // That the customer is told is no question of money.
        let step = step_of(receiver, &letter.event_type).filter(|_| receiver != "notification")?;
        Some(stopped(step, cause))
    })
}

/// The step that is owed, and since when.
fn owed(records: &Records) -> (&'static str, Option<i64>) {
    let at = |e: &Entry| e.at_ms;
    let newest = records.entries.iter().filter_map(|(_, e)| at(e)).max();
    let state = |service: &str| records.entry(service).map(|e| e.state.as_str()).unwrap_or_default();
    let step = match (state("restaurant-orders"), state("delivery-assignment")) {
        ("failing", _) | (_, "failed") => "refunded",
        (_, "riding" | "assigned") => "tracking",
        (_, "searching") | ("accepted", _) => "delivery-assignment",
        _ if state("payment-gateway") == "refunding" => "refunded",
        _ => "restaurant-orders",
    };
    (step, newest)
}

fn stopped(step: &str, cause: &str) -> Standing {
    Standing::Stopped { step: step.to_owned(), cause: cause.to_owned() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn of(states: &[(&str, &str)], age_ms: i64) -> Standing {
        let entry = |(service, state): &(&str, &str)| {
            let mut entry = Entry::not_seen("o");
            entry.says = chassis::book::Says::Begun;
            (*state).clone_into(&mut entry.state);
            entry.at_ms = Some(1_000_000 - age_ms);
            ((*service).to_owned(), entry)
        };
        let records = Records { entries: states.iter().map(entry).collect(), ..Records::default() };
        standing(&records, &journey::Route::parse(contracts::ROUTE).unwrap(), 1_000_000)
    }

    #[test]
    fn where_the_money_is_decides() {
        let paid = ("payment-gateway", "charged");
        assert_eq!(of(&[("payment-gateway", "refunded")], 0), Standing::Refunded);
        assert_eq!(of(&[paid, ("restaurant-orders", "delivered")], 0), Standing::Delivered);
        assert_eq!(
            of(&[paid, ("restaurant-orders", "accepted"), ("tracking", "delivered")], 0),
            Standing::Delivered
        );
        assert_eq!(of(&[("payment-gateway", "declined")], 0), Standing::Unpaid);
        let unasked = of(&[("mobile-app", "placed")], 0);
        assert_eq!(unasked, Standing::Undecided, "without the book of payments nothing is known of money");
    }

    #[test]
    fn an_order_of_which_no_book_moves_any_more_has_stopped_at_what_is_owed() {
        let paid = [("payment-gateway", "charged"), ("restaurant-orders", "accepted")];
        assert_eq!(of(&paid, 50_000), Standing::UnderWay);
        assert_eq!(of(&paid, 500_000), stopped("delivery-assignment", "no_word"));
        let rides = [paid[0], paid[1], ("delivery-assignment", "riding"), ("tracking", "riding")];
        assert_eq!(of(&rides, 500_000), Standing::UnderWay);
        let failed = [paid[0], paid[1], ("delivery-assignment", "failed")];
        assert_eq!(of(&failed, 1_000), Standing::UnderWay);
        assert_eq!(of(&failed, 500_000), stopped("refunded", "no_word"));
    }

    #[test]
    fn what_was_dropped_has_stopped_at_once() {
        let dropped = [("payment-gateway", "charged"), ("delivery-assignment", "dropped")];
        assert!(matches!(of(&dropped, 0), Standing::Stopped { step, .. } if step == "delivery-assignment"));
    }
}

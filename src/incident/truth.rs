//! What the facts on record amount to: an outcome and, where an order stopped, the step it stopped at. Spans play no part.
//!
//! | on record | means |
//! |--|--|
//! | delivered, and the customer was told of the ride | arrived |
//! | refunded, and told of it where delivery-assignment gave up | arrived |
//! | declined by the card network, or turned away before the payment: nothing is owed | arrived |
//! | a message still in its sender's outbox | stopped, its receiver's step: not received |
//! | a message open in an inbox, never failed | stopped, that step: not finished |
//! | a message dead in an inbox, or failing again and again | stopped, that step: failed |
//! | a courier search dropped on the floor | stopped, delivery-assignment: failed |

use journey::{Outcome, Phase};

use super::{
    audit::{Facts, Letter},
    record::Halt,
};

/// An order's fate: outcome, end, stop point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) outcome: Outcome,
    pub(super) end: Option<&'static str>,
    pub(super) stop: Option<Halt>,
}

/// What `facts` amount to once nothing changes any more.
pub(super) fn fate(facts: &Facts) -> Fate {
    match before_the_owner(facts) {
        Some(fate) => fate,
        None => match facts.owner.as_ref().map(|(state, _)| state.as_str()) {
            None => stopped("restaurant-orders", Phase::NotReceived, "not_received"),
            Some("received") => stopped("restaurant-orders", Phase::NotFinished, "no_word"),
            Some("refunded") => refunded(facts),
            Some("failing") => not_refunded(facts),
            Some(_) => on_the_road(facts),
        },
    }
}

/// Whether the order needs nothing any more, so that nobody need wait for it.
pub(super) fn is_settled(facts: &Facts) -> bool {
    let over = matches!(&facts.front, Some(f) if f.stage == "failed" || f.stage == "declined");
    let open = !facts.outbox.is_empty() || !facts.inbox.is_empty();
    let cart_only = facts.front.is_none();
    let owned = facts.owner.as_ref().is_some_and(|(state, _)| state == "delivered" || state == "refunded");
    (over || cart_only || owned) && !open
}

/// Set when the order never came to restaurant-orders' hands for a reason that lies before it.
fn before_the_owner(facts: &Facts) -> Option<Fate> {
    if facts.owner.is_some() {
        return None;
    }
    let Some(front) = &facts.front else {
        return Some(Fate { outcome: Outcome::NotBegun, end: None, stop: None });
    };
    match (front.stage.as_str(), facts.payment.as_deref()) {
        ("declined", _) => Some(Fate { outcome: Outcome::Arrived, end: Some("declined"), stop: None }),
        ("failed", _) => Some(Fate { outcome: Outcome::Arrived, end: Some("refused"), stop: None }),
        ("placing", _) if front.anonymous => Some(stopped("auth", Phase::NotReceived, "not_received")),
        ("placing", _) => Some(stopped("restaurant-availability", Phase::NotFinished, "no_word")),
        ("paying", None) => Some(stopped("payment-gateway", Phase::NotReceived, "not_received")),
        (_, Some("pending")) => Some(stopped("payment-gateway", Phase::NotFinished, "no_word")),
        _ => None,
    }
}

/// The restaurant cooks; what is owed are courier, ride and the word to the customer.
fn on_the_road(facts: &Facts) -> Fate {
    let courier = "delivery-assignment";
    match facts.assignment.as_ref().map(|(state, reason)| (state.as_str(), reason.as_str())) {
        None | Some(("searching", _)) => handed(facts, "order.accepted", courier, courier),
        Some(("dropped", reason)) => stopped(courier, Phase::Failed, reason),
        Some(("failed", _)) => not_refunded(facts),
        Some(("assigned", _)) if facts.ride.is_none() => match facts.taken("order.accepted", courier) {
            // Neither silence nor a line that is cut: tracking has answered, and its one refusal is this.
            Some(letter) if word(letter) == "internal" => {
                stopped("tracking", Phase::Failed, "INVALID_ARGUMENT")
            }
            _ => stopped("tracking", Phase::NotReceived, "not_received"),
        },
        Some(_) => ridden(facts),
    }
}

fn ridden(facts: &Facts) -> Fate {
    let there = facts.ride.as_deref() == Some("delivered");
    let end = there.then_some("delivered");
    if !told_of_ride(facts) {
        return Fate { end, ..handed(facts, "tracking.started", "notification", "notification") };
    }
    if there {
        return Fate { outcome: Outcome::Arrived, end, stop: None };
    }
    stopped("tracking", Phase::NotFinished, "no_word")
}

/// Whether the customer was told that the food is on its way, or there.
fn told_of_ride(facts: &Facts) -> bool {
    ["tracking.started", "order.delivered"].iter().any(|event| facts.told.contains(*event))
}

fn refunded(facts: &Facts) -> Fate {
    let end = Some("refunded");
    let given_up = facts.assignment.as_ref().is_some_and(|(state, _)| state == "failed");
    if given_up && !facts.told.contains("order.failed") {
        return Fate { end, ..handed(facts, "order.failed", "notification", "customer told") };
    }
    Fate { outcome: Outcome::Arrived, end, stop: None }
}

/// The money is owed.
fn not_refunded(facts: &Facts) -> Fate {
    let owner = "restaurant-orders";
    let on_its_way = facts.in_transit("order.failed", owner).or_else(|| facts.taken("order.failed", owner));
    match (on_its_way, facts.payment.as_deref()) {
        (Some(_), _) => handed(facts, "order.failed", owner, "refunded"),
        (None, Some("refunding" | "pending")) => stopped("refunded", Phase::NotFinished, "no_word"),
        (None, _) => stopped("refunded", Phase::NotReceived, "not_received"),
    }
}

/// Where message `event` to `to` got stuck, on whose handling `step` rests.
fn handed(facts: &Facts, event: &str, to: &str, step: &str) -> Fate {
    if facts.in_transit(event, to).is_some() {
        return stopped(step, Phase::NotReceived, "not_received");
    }
    match facts.taken(event, to) {
        Some(letter) if letter.hopeless || !letter.error.is_empty() => {
            stopped(step, Phase::Failed, word(letter))
        }
        Some(_) => stopped(step, Phase::NotFinished, "no_word"),
        // Neither on its way nor taken: it was never made.
        None => stopped(step, Phase::NotSent, "not_sent"),
    }
}

fn stopped(step: &str, phase: Phase, cause: &str) -> Fate {
    let stop = Halt { step: step.to_owned(), phase, cause: cause.to_owned() };
    Fate { outcome: Outcome::Stopped, end: None, stop: Some(stop) }
}

/// The `error.type` for what an inbox has on record: the public sentences are the chassis's own, one per kind.
fn word(letter: &Letter) -> &'static str {
    match letter.error.as_str() {
        e if e.ends_with("did not answer in time") => "timeout",
        e if e.ends_with("is unavailable") => "unavailable",
        "the push provider refuses the push" => "push-refused",
        "the database is busy" => "database-busy",
        e if e.starts_with("an assignment that is") => "illegal-transition",
        _ => "internal",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::incident::audit::Front;

    fn letter(at: &str, to: &str, event: &str, hopeless: bool, error: &str) -> Letter {
        let text = str::to_owned;
        Letter { at: text(at), to: text(to), event: text(event), hopeless, error: text(error) }
    }

    fn accepted() -> Facts {
        let pair = |a: &str| Some((a.to_owned(), String::new()));
        Facts {
            front: Some(Front { stage: "placed".into(), ..Front::default() }),
            payment: Some("charged".into()),
            owner: pair("accepted"),
            ..Facts::default()
        }
    }

    fn point(facts: &Facts) -> (String, Phase, String) {
        let stop = fate(facts).stop.unwrap();
        (stop.step, stop.phase, stop.cause)
    }

    #[test]
    fn a_message_in_the_outbox_is_not_received_and_one_in_the_inbox_is_not_finished() {
        let mut facts = accepted();
        facts.outbox.push(letter("restaurant-orders", "delivery-assignment", "order.accepted", false, "x"));
        assert_eq!(point(&facts), ("delivery-assignment".into(), Phase::NotReceived, "not_received".into()));
        facts.inbox = std::mem::take(&mut facts.outbox);
        facts.inbox[0].error.clear();
        assert_eq!(point(&facts), ("delivery-assignment".into(), Phase::NotFinished, "no_word".into()));
    }

    #[test]
    fn food_that_came_without_a_word_to_the_customer_has_not_arrived() {
        let mut facts = accepted();
        facts.assignment = Some(("riding".into(), String::new()));
        facts.ride = Some("delivered".into());
        let error = "push-provider is unavailable";
        facts.inbox.push(letter("notification", "notification", "tracking.started", false, error));
        assert_eq!(point(&facts), ("notification".into(), Phase::Failed, "unavailable".into()));
        assert_eq!(fate(&facts).end, Some("delivered"));
        facts.told.insert("tracking.started".into());
        assert_eq!(fate(&facts).outcome, Outcome::Arrived);
    }

    #[test]
    fn a_dropped_search_is_a_failure_with_its_reason_and_a_refund_an_arrival() {
        let mut facts = accepted();
        facts.assignment = Some(("dropped".into(), "courier_timeout".into()));
        assert_eq!(point(&facts), ("delivery-assignment".into(), Phase::Failed, "courier_timeout".into()));
        facts.assignment = Some(("failed".into(), "courier_timeout".into()));
        facts.owner = Some(("refunded".into(), "courier_timeout".into()));
        facts.told.insert("order.failed".into());
        assert_eq!(fate(&facts).outcome, Outcome::Arrived);
    }

    #[test]
    fn a_cart_that_was_never_ordered_has_not_begun_and_an_open_payment_is_not_finished() {
        assert_eq!(fate(&Facts::default()).outcome, Outcome::NotBegun);
        let mut facts = accepted();
        facts.owner = None;
        facts.payment = Some("pending".into());
        assert_eq!(point(&facts).1, Phase::NotFinished);
    }
}

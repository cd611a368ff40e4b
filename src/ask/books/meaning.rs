//! What the books say about the route, in one table: which service stands for which step, and which of its states means
//! what. The step names are those of `services/contracts/route.yaml`.

use chassis::book::{Entry, Letter, LetterState, Says as Word};
use journey::{Says, Witness};

use super::{Records, without_contradiction};

/// What a state of a book stands for.
#[derive(Debug, Clone, Copy)]
enum Fact {
    Done(&'static str),
    Begun(&'static str),
    /// Gave up, for the entry's own reason.
    Stopped(&'static str),
    Ended(&'static str),
    Taken,
    Returned,
}

use Fact::{Begun, Done, Ended, Returned, Stopped, Taken};

/// Service, its own word for a state, what that means.
const STATES: &[(&str, &str, &[Fact])] = &[
    ("mobile-app", "placing", &[Begun("mobile-app")]),
    ("mobile-app", "paying", &[Begun("mobile-app")]),
    ("mobile-app", "placed", &[Done("mobile-app")]),
    ("mobile-app", "declined", &[Ended("declined")]),
    ("mobile-app", "failed", &[Ended("refused")]),
    ("payment-gateway", "pending", &[Begun("payment-gateway")]),
    ("payment-gateway", "charged", &[Done("payment-gateway"), Taken]),
    ("payment-gateway", "declined", &[Ended("declined")]),
    ("payment-gateway", "refunding", &[Done("payment-gateway"), Begun("refunded"), Taken]),
    (
        "payment-gateway",
        "refunded",
        &[Done("payment-gateway"), Done("refunded"), Ended("refunded"), Taken, Returned],
    ),
    ("restaurant-orders", "received", &[Begun("restaurant-orders")]),
    ("restaurant-orders", "accepted", &[Done("restaurant-orders")]),
    ("restaurant-orders", "tracking", &[Done("restaurant-orders")]),
    ("restaurant-orders", "delivered", &[Done("restaurant-orders"), Ended("delivered")]),
    ("restaurant-orders", "failing", &[Begun("refunded")]),
    ("restaurant-orders", "refunded", &[Ended("refunded")]),
    ("delivery-assignment", "searching", &[Begun("delivery-assignment")]),
    ("delivery-assignment", "assigned", &[Begun("delivery-assignment")]),
    ("delivery-assignment", "riding", &[Done("delivery-assignment")]),
    ("delivery-assignment", "failed", &[Stopped("delivery-assignment")]),
    ("delivery-assignment", "dropped", &[Stopped("delivery-assignment")]),
    ("tracking", "riding", &[Done("tracking")]),
    ("tracking", "delivered", &[Done("tracking"), Ended("delivered")]),
    ("notification", "told_start", &[Done("notification")]),
    ("notification", "told_refund", &[Done("customer told")]),
    ("notification", "told_end", &[Begun("notification")]),
    ("notification", "unregistered", &[Stopped("notification")]),
];

/// Who takes which message, and the step that it begins.
const MESSAGES: &[(&str, &str, &str)] = &[
    ("delivery-assignment", "order.accepted", "delivery-assignment"),
    ("restaurant-orders", "order.failed", "refunded"),
    ("notification", "tracking.started", "notification"),
    ("notification", "order.failed", "customer told"),
];

/// Cause of a step whose message was worked on in vain.
pub(super) const DEAD: &str = "dead_message";
/// Cause of a step whose message its receiver will not take.
pub(super) const REFUSED: &str = "message_refused";

/// The services that keep books, in the order of the route.
pub(crate) const KEEPERS: [&str; 6] =
    ["mobile-app", "payment-gateway", "restaurant-orders", "delivery-assignment", "tracking", "notification"];

/// The step that a message begins at its receiver; none where no step waits for it.
pub(crate) fn step_of(receiver: &str, event_type: &str) -> Option<&'static str> {
    MESSAGES.iter().find(|(r, e, _)| *r == receiver && *e == event_type).map(|(_, _, step)| *step)
}

/// All that the books say of one order. Of a step that one book has not seen and another has, only the latter counts.
pub(super) fn witnesses(records: &Records) -> Vec<Witness> {
    let mut all: Vec<Witness> = Vec::new();
    for (service, entry) in &records.entries {
        all.extend(of_entry(service, entry));
    }
    for (service, letter) in &records.letters {
        all.extend(of_letter(service, letter));
    }
    without_contradiction(&mut all);
    all.extend(records.silent.iter().map(|service| Witness {
        source: format!("{service}'s book"),
        says: Says::NoAnswer { service: service.clone() },
        detail: None,
    }));
    all
}

fn of_entry(service: &str, entry: &Entry) -> Vec<Witness> {
    let detail = match (entry.state.as_str(), entry.reason.as_str()) {
        ("", _) => None,
        (state, "") => Some(state.to_owned()),
        (state, reason) => Some(format!("{state}: {reason}")),
    };
    let witness = |says: Says| Witness { source: format!("{service}'s book"), says, detail: detail.clone() };
    if entry.says == Word::NotSeen {
        let steps = MESSAGES.iter().filter(|(r, _, _)| *r == service).map(|(_, _, step)| *step);
        let own = std::iter::once(service).filter(|s| !MESSAGES.iter().any(|(_, _, step)| step == s));
        return own.chain(steps).map(|step| witness(Says::NotSeen { step: step.to_owned() })).collect();
    }
    let known = STATES.iter().find(|(s, state, _)| *s == service && *state == entry.state);
    match known {
        Some((_, _, facts)) => facts.iter().filter_map(|f| says(*f, entry)).map(witness).collect(),
        // A state of a newer version: what the service itself calls it.
        None => by_word(service, entry).map(witness).into_iter().collect(),
    }
}

fn says(fact: Fact, entry: &Entry) -> Option<Says> {
    let money = || Some((entry.amount_minor?, entry.currency.clone()?));
    Some(match fact {
        Done(step) => Says::Done { step: step.to_owned() },
        Begun(step) => Says::Begun { step: step.to_owned() },
        Stopped(step) => Says::Stopped {
            step: step.to_owned(),
            cause: Some(if entry.reason.is_empty() { &entry.state } else { &entry.reason }.clone()),
        },
        Ended(end) => Says::Ended { end: end.to_owned() },
        Taken => money().map(|(amount_minor, currency)| Says::Taken { amount_minor, currency })?,
        Returned => money().map(|(amount_minor, currency)| Says::Returned { amount_minor, currency })?,
    })
}

fn by_word(service: &str, entry: &Entry) -> Option<Says> {
    let step = service.to_owned();
    match entry.says {
        Word::Done => Some(Says::Done { step }),
        Word::Begun => Some(Says::Begun { step }),
        Word::Stopped => Some(Says::Stopped { step, cause: Some(entry.reason.clone()) }),
        Word::NotSeen | Word::Ended => None,
    }
}

fn of_letter(service: &str, letter: &Letter) -> Option<Witness> {
    let outgoing = matches!(letter.state, LetterState::Waiting | LetterState::Refused);
    let receiver = if outgoing { &letter.peer } else { service };
    let step = step_of(receiver, &letter.event_type)?.to_owned();
    let (says, what) = match letter.state {
        LetterState::Waiting => (Says::NotSeen { step }, "waits to be delivered"),
        LetterState::Refused => (Says::Stopped { step, cause: Some(REFUSED.to_owned()) }, "is refused"),
        LetterState::Open => (Says::Begun { step }, "is being worked on"),
        LetterState::Dead => (Says::Stopped { step, cause: Some(DEAD.to_owned()) }, "was worked on in vain"),
    };
    let why = if letter.reason.is_empty() { String::new() } else { format!(": {}", letter.reason) };
    Some(Witness {
        source: format!("{service}'s {}", if outgoing { "outbox" } else { "inbox" }),
        says,
        detail: Some(format!("{} {what}, tried {} times{why}", letter.event_type, letter.attempts)),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn entry(service: &str, state: &str, reason: &str) -> (String, Entry) {
        let mut entry = Entry::not_seen("o");
        if !state.is_empty() {
            entry.says = Word::Begun;
        }
        state.clone_into(&mut entry.state);
        reason.clone_into(&mut entry.reason);
        (entry.amount_minor, entry.currency) = (Some(500), Some("USD".to_owned()));
        (service.to_owned(), entry)
    }

    fn letter(state: LetterState, peer: &str) -> Letter {
        Letter {
            order_id: "o".into(),
            event_type: "order.accepted".into(),
            state,
            peer: peer.into(),
            attempts: 2,
            reason: "never".into(),
            since_ms: 1,
        }
    }

    #[test]
    fn every_step_end_and_message_of_the_table_is_one_of_the_route() {
        let route = journey::Route::parse(contracts::ROUTE).unwrap();
        for (_, _, facts) in STATES {
            for fact in *facts {
                match fact {
                    Done(step) | Begun(step) | Stopped(step) => assert!(route.step(step).is_some(), "{step}"),
                    // Ends before the payment may have no name of their own in a route.
                    Ended("declined" | "refused") | Taken | Returned => {}
                    Ended(end) => assert!(route.ends.iter().any(|e| e.name == *end), "{end}"),
                }
            }
        }
        for (receiver, _, step) in MESSAGES {
            assert!(KEEPERS.contains(receiver) && route.step(step).is_some());
        }
    }

    #[test]
    fn an_order_dropped_on_the_floor_was_paid_and_stopped_for_a_reason() {
        let records = Records {
            entries: vec![
                entry("payment-gateway", "charged", ""),
                entry("delivery-assignment", "dropped", "courier_timeout"),
            ],
            ..Records::default()
        };
        let says: Vec<_> = witnesses(&records).into_iter().map(|w| w.says).collect();
        assert!(says.contains(&Says::Taken { amount_minor: 500, currency: "USD".into() }));
        let stopped =
            Says::Stopped { step: "delivery-assignment".into(), cause: Some("courier_timeout".into()) };
        assert!(says.contains(&stopped));
    }

    #[test]
    fn a_message_in_the_inbox_has_been_seen_and_one_in_the_outbox_has_not() {
        let unseen = Says::NotSeen { step: "delivery-assignment".into() };
        let records = |service: &str, l: Letter| Records {
            entries: vec![entry("delivery-assignment", "", "")],
            letters: vec![(service.to_owned(), l)],
            ..Records::default()
        };
        let all = witnesses(&records("delivery-assignment", letter(LetterState::Open, "restaurant-orders")));
        assert!(all.iter().all(|w| w.says != unseen), "{all:?}");
        let all =
            witnesses(&records("restaurant-orders", letter(LetterState::Waiting, "delivery-assignment")));
        assert_eq!(all.iter().filter(|w| w.says == unseen).count(), 2);
        let all = witnesses(&records("delivery-assignment", letter(LetterState::Dead, "restaurant-orders")));
        let dead = Says::Stopped { step: "delivery-assignment".into(), cause: Some(DEAD.into()) };
        assert_eq!(all.into_iter().map(|w| w.says).collect::<Vec<_>>(), [dead]);
    }
}

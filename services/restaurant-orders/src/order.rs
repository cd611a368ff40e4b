//! An order and the states it may take. Pure: no transport, no database.

use std::fmt;

/// Where an order is. Every state but the last three leads on; the owner sees to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Taken over; the restaurant has not said yes or no.
    Received,
    /// The restaurant cooks; a courier is looked for.
    Accepted,
    /// On its way.
    Tracking,
    /// The food is there.
    Delivered,
    /// It will not be delivered; the money is on its way back.
    Failing,
    /// The money is back.
    Refunded,
}

/// What may happen to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Accept,
    Track,
    Deliver,
    Fail,
    Refund,
}

/// A step that the order's state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an order that is {from} cannot {step}")]
pub(crate) struct Illegal {
    pub(crate) from: State,
    pub(crate) step: Step,
}

// === impl State ===

impl State {
    pub(crate) const ALL: [Self; 6] =
        [Self::Received, Self::Accepted, Self::Tracking, Self::Delivered, Self::Failing, Self::Refunded];

    /// The state after `step`. A step that was taken already changes nothing: messages may come twice, and the news of the
    /// ride's start may be overtaken by that of its end.
    pub(crate) fn after(self, step: Step) -> Result<Self, Illegal> {
        use State::{Accepted, Delivered, Failing, Received, Refunded, Tracking};
        match (self, step) {
            (Received, Step::Accept) => Ok(Accepted),
            (Accepted, Step::Track) => Ok(Tracking),
            (Accepted | Tracking, Step::Deliver) => Ok(Delivered),
            (Received | Accepted, Step::Fail) => Ok(Failing),
            (Failing, Step::Refund) => Ok(Refunded),
            (Accepted, Step::Accept)
            | (Tracking, Step::Accept | Step::Track)
            | (Delivered, Step::Accept | Step::Track | Step::Deliver)
            | (Failing | Refunded, Step::Fail)
            | (Refunded, Step::Refund) => Ok(self),
            (from, step) => Err(Illegal { from, step }),
        }
    }

    /// As stored and as told over gRPC.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Accepted => "accepted",
            Self::Tracking => "tracking",
            Self::Delivered => "delivered",
            Self::Failing => "failing",
            Self::Refunded => "refunded",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "be accepted",
            Self::Track => "set off",
            Self::Deliver => "be delivered",
            Self::Fail => "fail",
            Self::Refund => "be refunded",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Step; 5] = [Step::Accept, Step::Track, Step::Deliver, Step::Fail, Step::Refund];

    #[test]
    fn an_order_that_set_off_is_never_refunded_and_one_that_failed_never_rides() {
        for step in [Step::Fail, Step::Refund] {
            assert!(State::Tracking.after(step).is_err());
            assert!(State::Delivered.after(step).is_err());
        }
        for state in [State::Failing, State::Refunded] {
            for step in [Step::Accept, Step::Track, Step::Deliver] {
                assert_eq!(state.after(step), Err(Illegal { from: state, step }));
            }
        }
        assert!(State::Accepted.after(Step::Refund).is_err());
    }

    #[test]
    fn taking_a_step_twice_changes_nothing() {
        for state in State::ALL {
            for step in STEPS {
                if let Ok(next) = state.after(step) {
                    assert_eq!(next.after(step), Ok(next), "{state} {step}");
                }
            }
        }
    }

    #[test]
    fn every_state_but_the_ends_leads_to_an_end() {
        for state in State::ALL {
            let mut at = state;
            for _ in 0..STEPS.len() {
                let next = STEPS.iter().filter_map(|step| at.after(*step).ok()).find(|next| *next != at);
                at = next.unwrap_or(at);
            }
            assert!(matches!(at, State::Delivered | State::Refunded), "{state} ends as {at}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for state in State::ALL {
            assert_eq!(State::from_name(state.name()), Some(state));
        }
        assert_eq!(State::from_name("lost"), None);
    }
}

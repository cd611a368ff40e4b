//! What others than the order's own spans say: the services' books, partners' logs, drop counters. Read when a verdict
//! is asked for, weighed openly in it.

use serde::{Deserialize, Serialize};

/// One statement about a journey, with its source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// Who says so, such as `delivery-assignment's book`.
    pub source: String,
    /// What is said.
    #[serde(flatten)]
    pub says: Says,
    /// The source's own words, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What a witness says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "says", rename_all = "snake_case")]
pub enum Says {
    /// The step was done.
    Done {
        /// Name of the step.
        step: String,
    },
    /// The step began and is not finished.
    Begun {
        /// Name of the step.
        step: String,
    },
    /// The step gave up.
    Stopped {
        /// Name of the step.
        step: String,
        /// Short word for why, such as `courier_timeout`.
        cause: Option<String>,
    },
    /// Whoever does this step has never seen what travels.
    NotSeen {
        /// Name of the step.
        step: String,
    },
    /// The journey came to rest.
    Ended {
        /// Name of the route's end.
        end: String,
    },
    /// Spans of this service were dropped or refused while the journey lasted.
    SpansLost {
        /// `service.name`.
        service: String,
        /// How many, of any trace.
        spans: u64,
    },
    /// The service does not answer: dead, hung or unreachable.
    NoAnswer {
        /// `service.name`.
        service: String,
    },
    /// The value was taken from the customer.
    Taken {
        /// In minor units.
        amount_minor: i64,
        /// ISO 4217.
        currency: String,
    },
    /// The value was given back.
    Returned {
        /// In minor units.
        amount_minor: i64,
        /// ISO 4217.
        currency: String,
    },
}

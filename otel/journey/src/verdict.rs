//! The verdict as data: what became of one journey, where it stopped, and on what evidence.

use serde::{Deserialize, Serialize};

use crate::stamps::Stamp;

/// What became of one journey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Name of the route it was held against.
    pub route: String,
    /// Value of the route's subject attribute; none when no span bears it.
    pub subject: Option<String>,
    /// Ids of the traces that tell of it, 32 lower-case hex digits each, the main one first.
    pub traces: Vec<String>,
    /// The verdict in one word.
    pub outcome: Outcome,
    /// The end state that was reached.
    pub end: Option<String>,
    /// Where it stopped: given when the outcome is `Stopped`, and as the last known place when it is `Undecided`.
    pub stop: Option<Stop>,
    /// One for each step of the route, in its order.
    pub stamps: Vec<Stamp>,
    /// The other way that was taken, with its own stamps.
    pub alternative: Option<Way>,
    /// What was paid for it.
    pub value: Option<Value>,
    /// The evidence, weighed.
    pub findings: Vec<Finding>,
    /// When this was asked, Unix nanoseconds: the verdict holds for this moment.
    #[serde(default)]
    pub asked_ns: u64,
    /// Until when the step at which it is may still be at work, Unix nanoseconds; given while it is under way.
    #[serde(default)]
    pub due_ns: Option<u64>,
}

/// The verdict in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It came to a good end, and no step that had to follow is owed.
    Arrived,
    /// It got no further, and the evidence shows where.
    Stopped,
    /// It may still arrive within its deadlines.
    UnderWay,
    /// The evidence decides neither way: the thing may be lost, or only its telemetry.
    Undecided,
    /// There is telemetry, but the first step was never taken.
    NotBegun,
}

/// Where a journey stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Name of the first step that is owed.
    pub step: String,
    /// How far that step got.
    pub phase: Phase,
    /// Short word for why: the `error.type` of what failed, or one of `not_sent`, `not_received`, `no_word`.
    pub cause: Option<String>,
    /// Why, in the words of the route or of the telemetry.
    pub words: Option<String>,
    /// Since when, Unix nanoseconds.
    pub since_ns: u64,
}

/// How far the step got at which a journey stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The step before was done and never handed on.
    NotSent,
    /// Handed on, never received.
    NotReceived,
    /// Received, never finished: nothing was heard of it within the deadline.
    NotFinished,
    /// It failed or gave up.
    Failed,
}

/// Steps taken in place of others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// Name of the route's alternative.
    pub name: String,
    /// One for each of its steps.
    pub stamps: Vec<Stamp>,
}

/// What was paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// In minor units: 20000 is $200.00.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// Whether it was taken from the customer; none when unknown.
    pub taken: Option<bool>,
    /// Whether it was given back; none when unknown.
    pub returned: Option<bool>,
}

/// One piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The step that it is about, if one.
    pub step: Option<String>,
    /// Where it comes from: `span …`, `delivery-assignment's book`, `collector's drop counter`.
    pub source: String,
    /// What it says, in plain words.
    pub says: String,
    /// What it counts for.
    pub weight: Weight,
}

/// What a finding counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// The verdict rests on it.
    Decisive,
    /// It agrees with the verdict.
    Supporting,
    /// It speaks against, and was outweighed.
    Outweighed,
    /// It takes the force from an absence: what is missing may only be telemetry.
    Doubt,
}

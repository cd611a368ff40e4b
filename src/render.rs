//! How a verdict looks: for a person in a terminal ([`card`]), for a program ([`json`]), and what to do next ([`next`]).
//! Pure: nothing here asks anyone anything.

pub(crate) mod card;
pub(crate) mod json;
mod look;
pub(crate) mod next;
mod units;

use journey::{Outcome, Route, Verdict};

pub(crate) use look::Look;
pub(crate) use units::{clean, clock, rfc3339};

/// A verdict with all that is told along with it.
#[derive(Debug, Clone)]
pub(crate) struct Told<'a> {
    /// The text that was asked with.
    pub(crate) asked: &'a str,
    pub(crate) route: &'a Route,
    pub(crate) verdict: &'a Verdict,
    /// Where the waterfalls are, one for each of the verdict's traces.
    pub(crate) links: Vec<String>,
    /// What to do next, most urgent first.
    pub(crate) next: Vec<String>,
}

// === impl Told ===

impl Told<'_> {
    /// The one sentence.
    pub(crate) fn sentence(&self) -> String {
        clean(&journey::sentence(self.verdict, self.route, &self.noun()))
    }

    /// What travels, with its name.
    pub(crate) fn noun(&self) -> String {
        let name = self.verdict.subject.clone();
        let name = name.or_else(|| self.verdict.traces.first().map(|id| format!("of trace {id}")));
        clean(&format!("{} {}", self.route.noun, name.unwrap_or_default()))
    }
}

/// Exit status for an outcome: 0 a good end, 1 stopped, 3 nothing was ever begun, 5 under way, 6 undecided.
pub(crate) fn status(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Arrived => 0,
        Outcome::Stopped => 1,
        Outcome::NotBegun => 3,
        Outcome::UnderWay => 5,
        Outcome::Undecided => 6,
    }
}

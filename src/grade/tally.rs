//! The figures: counted per run, summed over runs, held against thresholds.

use std::ops::AddAssign;

use journey::Outcome;
use serde::Serialize;

use super::mark::{Evidence, Graded, Mark};

/// Right ones of so many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Share {
    /// How many are right.
    pub(crate) right: u32,
    /// Of how many.
    pub(crate) of: u32,
}

/// The figures of one run, or of several, for one kind of evidence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Tally {
    /// Orders placed.
    pub(crate) orders: u32,
    /// Lost orders that were found: recall.
    pub(crate) found: Share,
    /// Orders said to be lost that are not.
    pub(crate) false_alarms: u32,
    /// Lost orders whose step was named.
    pub(crate) step: Share,
    /// Lost orders of whose step it was told how far it got.
    pub(crate) phase: Share,
    /// Lost orders whose cause was named.
    pub(crate) cause: Share,
    /// Orders with damaged telemetry of which it was told whether they are lost or only look so.
    pub(crate) told_apart: Share,
    /// Orders whose outcome is right, lost or not.
    pub(crate) outcome: Share,
    /// Seconds that all verdicts took together.
    pub(crate) seconds: f64,
}

/// What is demanded.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Thresholds {
    /// Least share of lost orders found.
    pub(crate) recall: Option<f64>,
    /// Most false alarms.
    pub(crate) false_alarms: Option<u32>,
    /// Least shares of the stop point's parts.
    pub(crate) step: Option<f64>,
    /// See `step`.
    pub(crate) phase: Option<f64>,
    /// See `step`.
    pub(crate) cause: Option<f64>,
    /// Least share of damaged telemetry told from lost orders.
    pub(crate) told_apart: Option<f64>,
}

// === impl Share ===

impl Share {
    /// 1 when there is nothing to be right about.
    pub(crate) fn ratio(self) -> f64 {
        if self.of == 0 { 1.0 } else { f64::from(self.right) / f64::from(self.of) }
    }

    fn count(&mut self, right: bool) {
        self.of += 1;
        self.right += u32::from(right);
    }
}

impl AddAssign for Share {
    fn add_assign(&mut self, other: Self) {
        self.right += other.right;
        self.of += other.of;
    }
}

// === impl Tally ===

impl Tally {
    /// Counts the verdicts of one run that rest on `evidence`.
    pub(crate) fn of(graded: &Graded, evidence: Evidence) -> Self {
        let mut tally = Self::default();
        for mark in graded.marks.iter().filter(|m| m.evidence == evidence) {
            tally.count(graded, mark);
        }
        tally
    }

    /// Seconds per verdict.
    pub(crate) fn pace(&self) -> f64 {
        self.seconds / f64::from(self.orders.max(1))
    }

    fn count(&mut self, graded: &Graded, mark: &Mark) {
        let truth = graded.truth(mark);
        self.orders += 1;
        self.seconds += mark.took.as_secs_f64();
        self.outcome.count(mark.right(truth));
        if truth.outcome == Outcome::Stopped {
            let [step, phase, cause] = mark.point(truth);
            self.found.count(mark.alarms());
            self.step.count(step);
            self.phase.count(step && phase);
            self.cause.count(step && cause);
        } else if mark.alarms() {
            self.false_alarms += 1;
        }
        if graded.holed(mark) {
            self.told_apart.count(mark.right(truth));
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.orders += other.orders;
        self.found += other.found;
        self.false_alarms += other.false_alarms;
        self.step += other.step;
        self.phase += other.phase;
        self.cause += other.cause;
        self.told_apart += other.told_apart;
        self.outcome += other.outcome;
        self.seconds += other.seconds;
    }
}

// === impl Thresholds ===

impl Thresholds {
    /// What `tally` falls short of, one line each.
    pub(crate) fn missed(&self, tally: &Tally) -> Vec<String> {
        let shares = [
            ("lost orders found", self.recall, tally.found),
            ("right step", self.step, tally.step),
            ("right phase", self.phase, tally.phase),
            ("right cause", self.cause, tally.cause),
            ("telemetry told apart", self.told_apart, tally.told_apart),
        ];
        let mut missed: Vec<_> = shares
            .into_iter()
            .filter_map(|(what, least, share)| {
                let least = least?;
                (share.ratio() < least)
                    .then(|| format!("{what}: {} of {}, {least} demanded", share.right, share.of))
            })
            .collect();
        if let Some(most) = self.false_alarms.filter(|most| tally.false_alarms > *most) {
            missed.push(format!("false alarms: {}, at most {most} allowed", tally.false_alarms));
        }
        missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_falls_short_is_named_and_nothing_to_find_is_no_shortfall() {
        let demand = Thresholds { recall: Some(1.0), false_alarms: Some(0), ..Thresholds::default() };
        assert!(demand.missed(&Tally::default()).is_empty());
        let poor = Tally { found: Share { right: 9, of: 10 }, false_alarms: 1, ..Tally::default() };
        let missed = demand.missed(&poor);
        assert_eq!(missed.len(), 2);
        assert!(missed[0].contains("9 of 10"));
    }
}

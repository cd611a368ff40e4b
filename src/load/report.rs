//! What became of the orders: counts, percentiles, and the ids of those that went wrong.

use std::{fmt::Write, time::Duration};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Ids that are listed; of the rest only the count is told.
const LISTED: usize = 20;

/// How one order ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Taken, and the food arrived.
    Delivered,
    /// Taken, and the money went back.
    Refunded,
    /// Not taken, or given up without a delivery: why.
    Failed(String),
    /// Taken, then not at an end within the time given: the last that was heard.
    Lost(String),
}

/// All that one run has seen.
#[derive(Debug)]
pub(crate) struct Report {
    placed: u64,
    delivered: u64,
    refunded: u64,
    failed: Vec<String>,
    lost: Vec<String>,
    /// Milliseconds from when the order was due to the front door's yes.
    placing: Histogram<u64>,
    /// Milliseconds from when the order was due to its end.
    whole: Histogram<u64>,
    /// Wall time of the run.
    pub(crate) took: Duration,
}

// === impl Report ===

impl Report {
    /// Nothing yet.
    ///
    /// # Errors
    /// Never in practice: the histograms' bounds are constants.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let histogram = || Histogram::new_with_bounds(1, 3_600_000, 3);
        Ok(Self {
            placed: 0,
            delivered: 0,
            refunded: 0,
            failed: Vec::new(),
            lost: Vec::new(),
            placing: histogram()?,
            whole: histogram()?,
            took: Duration::ZERO,
        })
    }

    /// Adds one order. `placed` is set when the front door took it, both times count from when it was due.
    pub(crate) fn add(&mut self, id: &str, placed: Option<Duration>, whole: Duration, outcome: &Outcome) {
        if let Some(placed) = placed {
            self.placed += 1;
            self.placing.saturating_record(millis(placed));
        }
        match outcome {
            Outcome::Delivered => self.delivered += 1,
            Outcome::Refunded => self.refunded += 1,
            Outcome::Failed(why) => self.failed.push(format!("{id}: {why}")),
            Outcome::Lost(last) => self.lost.push(format!("{id}: last seen as {last}")),
        }
        if matches!(outcome, Outcome::Delivered | Outcome::Refunded) {
            self.whole.saturating_record(millis(whole));
        }
    }

    /// Whether no order was lost sight of.
    pub(crate) fn all_seen(&self) -> bool {
        self.lost.is_empty()
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        let seconds = self.took.as_secs_f64();
        // Writing to a String cannot fail.
        let _ =
            writeln!(out, "placed           {:>8}  ({:.1}/s over {seconds:.1} s)", self.placed, self.rate());
        let _ = writeln!(out, "delivered        {:>8}", self.delivered);
        let _ = writeln!(out, "refunded         {:>8}", self.refunded);
        let _ = writeln!(out, "failed           {:>8}", self.failed.len());
        let _ = writeln!(out, "never seen again {:>8}", self.lost.len());
        for (name, h) in [("until taken", &self.placing), ("until the end", &self.whole)] {
            if !h.is_empty() {
                let at = |q| h.value_at_quantile(q);
                let _ = writeln!(
                    out,
                    "{name:<16} p50 {} ms, p90 {} ms, p99 {} ms, max {} ms",
                    at(0.5),
                    at(0.9),
                    at(0.99),
                    h.max()
                );
            }
        }
        for (name, list) in [("failed", &self.failed), ("never seen again", &self.lost)] {
            for line in list.iter().take(LISTED) {
                let _ = writeln!(out, "{name}: {line}");
            }
            if list.len() > LISTED {
                let _ = writeln!(out, "{name}: and {} more", list.len() - LISTED);
            }
        }
        out
    }

    /// For programs; times in milliseconds.
    pub(crate) fn json(&self) -> Value {
        let times = |h: &Histogram<u64>| {
            let at = |q| h.value_at_quantile(q);
            json!({ "p50_ms": at(0.5), "p90_ms": at(0.9), "p99_ms": at(0.99), "max_ms": h.max() })
        };
        json!({
            "placed": self.placed,
            "delivered": self.delivered,
            "refunded": self.refunded,
            "failed": self.failed.len(),
            "never_seen_again": self.lost.len(),
            "orders_per_second": self.rate(),
            "seconds": self.took.as_secs_f64(),
            "until_taken": times(&self.placing),
            "until_the_end": times(&self.whole),
            "failed_orders": self.failed,
            "lost_orders": self.lost,
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    fn rate(&self) -> f64 {
        self.placed as f64 / self.took.as_secs_f64().max(0.001)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn bad_orders_are_counted_and_listed_by_id() {
        let mut report = Report::new().unwrap();
        let ms = Duration::from_millis;
        report.add("o-1", Some(ms(10)), ms(900), &Outcome::Delivered);
        report.add("o-2", Some(ms(20)), ms(60_000), &Outcome::Lost("accepted".into()));
        report.add("-", None, ms(5), &Outcome::Failed("503".into()));
        assert!(!report.all_seen());
        let json = report.json();
        assert_eq!((json["placed"].as_u64(), json["never_seen_again"].as_u64()), (Some(2), Some(1)));
        assert!(report.text().contains("never seen again: o-2: last seen as accepted"));
    }
}

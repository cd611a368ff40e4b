//! `composite`: several policies that share a rate of spans per second.

use super::rule::{Decision, Moment, Rule};
use super::view::Trace;

/// The policies, each with its share.
#[derive(Debug, Clone)]
pub(super) struct Composite {
    pub(super) total: u64,
    pub(super) parts: Vec<Part>,
    second: u64,
}

/// One policy of a composite one.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) rule: Rule,
    /// Spans per second; 0, which a policy has that `rate_allocation` does not name, lets nothing through.
    pub(super) allocated: u64,
    pub(super) sampled: u64,
}

// === impl Composite ===

impl Composite {
    pub(super) fn new(total: u64, parts: Vec<Part>) -> Self {
        Self { total, parts, second: 0 }
    }

    /// The first policy that samples decides, if the trace still fits into its rate of this second. As upstream, the
    /// order is that of `composite_sub_policy`, and the total is held against each policy's count by itself.
    pub(super) fn samples(&mut self, trace: &Trace<'_>, now: Moment) -> bool {
        if self.second != now.second {
            self.second = now.second;
            self.parts.iter_mut().for_each(|part| part.sampled = 0);
        }
        let total = self.total;
        for part in &mut self.parts {
            if part.rule.evaluate(trace, now) != Decision::Sampled {
                continue;
            }
            let sum = part.sampled.saturating_add(trace.spans);
            let fits = sum <= part.allocated && sum <= total;
            if fits {
                part.sampled = sum;
            }
            return fits;
        }
        false
    }
}

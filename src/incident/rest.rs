//! When everything has come to rest: no book changes any more.

use std::time::{Duration, Instant};

use super::{
    audit::{self, Books},
    stage::Pace,
    truth,
};
use crate::fleet::Plan;

/// How often the books are looked at.
const LOOK: Duration = Duration::from_millis(300);
/// How long nothing must change when every order is settled.
const SETTLED: Duration = Duration::from_millis(900);
/// The longest deadline of the route: an order that is stuck is waited for a little longer than this (true time).
const LONGEST: Duration = Duration::from_secs(45);
/// On top of it, and not scaled: pauses between attempts are the services' own.
const SLACK: Duration = Duration::from_secs(4);
/// When patience ends, beside the scaled [`LONGEST`] eight times over.
const PATIENCE: Duration = Duration::from_secs(60);

/// How it ended.
pub(super) struct Rest {
    /// The last look.
    pub(super) books: Books,
    /// Nothing changed any more.
    pub(super) reached: bool,
}

/// Looks until nothing changes any more, for a bounded time.
///
/// # Errors
/// Those of the audit.
pub(super) async fn until_rest(plan: &Plan, pace: Pace) -> anyhow::Result<Rest> {
    let quiet = pace.of(LONGEST).mul_f64(1.1) + SLACK;
    let patience = PATIENCE + pace.of(LONGEST) * 8;
    let begun = Instant::now();
    let (mut last, mut since) = (Books::new(), Instant::now());
    loop {
        let books = audit::books(plan).await?;
        let still: Books = books.iter().map(|(id, facts)| (id.clone(), facts.still())).collect();
        if still != last {
            (last, since) = (still, Instant::now());
        }
        let needed = if books.values().all(truth::is_settled) { SETTLED } else { quiet };
        let reached = since.elapsed() >= needed;
        if reached || begun.elapsed() > patience {
            return Ok(Rest { books, reached });
        }
        tokio::time::sleep(LOOK).await;
    }
}

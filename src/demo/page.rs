//! How the tale reads an order back, and how it looks in a terminal. Nothing here comes from the caller's memory but
//! the order's id: the stamps are the trace store's.

use std::time::{Duration, Instant};

use anyhow::bail;
use journey::{Outcome, Route, Stamp, State, Verdict};

use crate::{
    ask::{
        Backend, Window, ids,
        lookup::{Finder, Lookup},
        now_ns,
    },
    term,
};

/// How long an order's trace may take to come to rest in the store.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(100);
/// How far back an order is looked for.
const SINCE: Duration = Duration::from_secs(24 * 3600);

/// An order as its trace tells it.
#[derive(Debug)]
pub(crate) struct Page {
    verdict: Verdict,
    spans: usize,
    sentence: String,
}

/// Reads order `id` back, as `waybill where` does, until `enough` of it is there.
///
/// # Errors
/// When the store cannot be asked, or the order has not come to rest within half a minute.
pub(crate) async fn read(
    backend: &Backend,
    route: &Route,
    id: &str,
    enough: impl Fn(&Verdict) -> bool,
) -> anyhow::Result<Page> {
    let until = Instant::now() + PATIENCE;
    let mut last = "no span of it is there".to_owned();
    while Instant::now() < until {
        let finder = Finder::new(backend, route, Window::last(SINCE));
        if let Lookup::Found(case) = finder.look_up(&ids::readings(id)?).await? {
            let verdict = journey::judge(&case, route, &[], now_ns());
            let sentence = journey::sentence(&verdict, route, &format!("{} {id}", route.noun));
            if enough(&verdict) {
                return Ok(Page {
                    verdict,
                    spans: case.traces.iter().map(|t| t.spans.len()).sum(),
                    sentence,
                });
            }
            last = format!("{} {sentence}", signs(&verdict.stamps));
        }
        tokio::time::sleep(PAUSE).await;
    }
    bail!("order {id} did not come to rest within {} s: {last}", PATIENCE.as_secs())
}

/// All stamps are there, and the food arrived.
pub(crate) fn delivered(verdict: &Verdict) -> bool {
    verdict.outcome == Outcome::Arrived
        && verdict.end.as_deref() == Some("delivered")
        && verdict.stamps.iter().all(|s| s.state == State::Done)
}

/// A step gave up, and no other way was taken.
pub(crate) fn stranded(verdict: &Verdict) -> bool {
    verdict.outcome == Outcome::Stopped && verdict.alternative.is_none()
}

/// The other way was taken to its good end.
pub(crate) fn made_good(verdict: &Verdict) -> bool {
    let way = verdict.alternative.as_ref();
    verdict.outcome == Outcome::Arrived
        && way.is_some_and(|w| w.stamps.iter().all(|s| s.state == State::Done))
}

// === impl Page ===

impl Page {
    /// Prints the stamps, the title, the sentence, and the link.
    ///
    /// # Errors
    /// When stdout is gone.
    pub(crate) fn print(&self, title: &str, backend: &Backend) -> std::io::Result<()> {
        let end = self.verdict.end.as_deref().unwrap_or("lost");
        term::say(&format!("{}  {title} → {}", signs(&self.verdict.stamps), term::bold(end)))?;
        if let Some(way) = &self.verdict.alternative {
            let steps: Vec<_> =
                way.stamps.iter().map(|s| format!("{} {}", s.state.emoji(), s.step)).collect();
            term::say(&format!("   ↩ {}: {}", way.name, steps.join("  ")))?;
        }
        term::say(&format!("   {}", self.sentence))?;
        let link = self.verdict.traces.first().map(|id| backend.link(id)).unwrap_or_default();
        term::say(&format!("   {link} {}", term::dim(&format!("({} spans)", self.spans))))
    }
}

fn signs(stamps: &[Stamp]) -> String {
    stamps.iter().map(|s| s.state.emoji()).collect()
}

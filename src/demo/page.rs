//! How the tale reads an order back, and how it looks in a terminal. Nothing here comes from the caller's memory but
//! the order's id: the stamps are the trace store's.

use std::time::{Duration, Instant};

use anyhow::bail;
use contracts::keys::ORDER_ID;
use journey::{Journey, Route, Stamp, State, Trace};

use crate::{
    ask::{Backend, Window, now_ns},
    term,
};

/// How long an order's trace may take to come to rest in the store.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(50);

/// An order as its trace tells it.
#[derive(Debug)]
pub(crate) struct Page {
    trace: Trace,
    journey: Journey,
}

/// Reads order `id` back until `enough` of it is there.
///
/// # Errors
/// When the store cannot be asked, or the order has not come to rest within half a minute.
pub(crate) async fn read(
    backend: &Backend,
    route: &Route,
    id: &str,
    enough: impl Fn(&Journey) -> bool,
) -> anyhow::Result<Page> {
    let until = Instant::now() + PATIENCE;
    let mut last = "no span of it is there".to_owned();
    while Instant::now() < until {
        let window = Window::last(Duration::from_secs(24 * 3600));
        let found = backend.find(&["mobile-app"], (ORDER_ID, id), window, 20).await?;
        if let Some(trace) = found.into_iter().max_by_key(|t| t.spans.len()) {
            let journey = journey::stamps(&trace, route, now_ns());
            if enough(&journey) {
                return Ok(Page { trace, journey });
            }
            last = format!("its stamps are {}, {}", signs(&journey.stamps), backend.link(&trace.id));
        }
        tokio::time::sleep(PAUSE).await;
    }
    bail!("order {id} did not come to rest within {} s: {last}", PATIENCE.as_secs())
}

/// All stamps are there, and the food arrived.
pub(crate) fn delivered(journey: &Journey) -> bool {
    journey.stamps.iter().all(|s| s.state == State::Done)
        && journey.end.as_ref().is_some_and(|(end, _)| end == "delivered")
}

/// A step gave up, and no other way was taken.
pub(crate) fn stranded(journey: &Journey) -> bool {
    journey.stamps.iter().any(|s| s.state == State::Stopped)
        && journey.stamps.iter().all(|s| s.state != State::UnderWay)
        && journey.end.is_none()
}

/// The other way was taken to its good end.
pub(crate) fn made_good(journey: &Journey) -> bool {
    journey.alternative.as_ref().is_some_and(|(_, stamps)| stamps.iter().all(|s| s.state == State::Done))
        && journey.end.as_ref().is_some_and(|(_, good)| *good)
}

// === impl Page ===

impl Page {
    /// Prints the stamps, the title, what went wrong, and the link.
    ///
    /// # Errors
    /// When stdout is gone.
    pub(crate) fn print(&self, title: &str, backend: &Backend) -> std::io::Result<()> {
        let end = self.journey.end.as_ref().map_or("lost", |(end, _)| end.as_str());
        term::say(&format!("{}  {title} → {}", signs(&self.journey.stamps), term::bold(end)))?;
        for stamp in self.journey.stamps.iter().filter(|s| s.state == State::Stopped) {
            let cause = stamp.cause.as_deref().unwrap_or("no more was heard of it");
            term::say(&format!("   stopped at {}: {cause}", stamp.step))?;
        }
        if let Some((name, stamps)) = &self.journey.alternative {
            let steps: Vec<_> = stamps.iter().map(|s| format!("{} {}", s.state.emoji(), s.step)).collect();
            term::say(&format!("   ↩ {name}: {}", steps.join("  ")))?;
        }
        let (spans, link) = (self.trace.spans.len(), backend.link(&self.trace.id));
        term::say(&format!("   {link} {}", term::dim(&format!("({spans} spans)"))))
    }
}

fn signs(stamps: &[Stamp]) -> String {
    stamps.iter().map(|s| s.state.emoji()).collect()
}

//! `GET /orders/{id}/events`: an order's changes as server-sent events (HTML standard, section 9.2), from the first or
//! from `Last-Event-ID` on, to the end of the order.

use std::{convert::Infallible, time::Duration};

use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, StreamExt, stream};
use tokio::sync::OwnedSemaphorePermit;

use crate::{bodies::OrderEvent, book::Entry, error::FrontError, front::Front};

/// Pauses between two looks: short at first, when things happen, then longer.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A comment is sent when nothing else was for so long: proxies cut silent streams.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// A stream ends after so long; the browser takes it up again with its last event id.
const LONGEST_STREAM: Duration = Duration::from_secs(600);

struct Watch {
    front: Front,
    entry: Entry,
    last: i64,
    pause: Duration,
    until: tokio::time::Instant,
    over: bool,
    _permit: OwnedSemaphorePermit,
}

/// The stream of an order's changes after event `last`.
pub(crate) fn watch(
    front: &Front,
    entry: Entry,
    last: i64,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>> + use<>>, FrontError> {
    let permit = front.streams.clone().try_acquire_owned().map_err(|_| FrontError::TooManyStreams)?;
    let watch = Watch {
        front: front.clone(),
        entry,
        last,
        pause: FIRST_PAUSE,
        until: tokio::time::Instant::now() + LONGEST_STREAM,
        over: false,
        _permit: permit,
    };
    let events = stream::unfold(watch, |mut watch| async {
        let events = watch.next().await?;
        Some((stream::iter(events), watch))
    });
    let events = events.flatten().map(|event| Ok(frame(&event)));
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("still here")))
}

// === impl Watch ===

impl Watch {
    /// The next changes, one or more; nothing after the last.
    async fn next(&mut self) -> Option<Vec<OrderEvent>> {
        loop {
            if self.over || tokio::time::Instant::now() > self.until {
                return None;
            }
            match self.look().await {
                Ok(events) if !events.is_empty() => {
                    self.pause = FIRST_PAUSE;
                    return Some(events);
                }
                Ok(_) => {}
                Err(error) => {
                    let error = chassis::Error::from(error);
                    tracing::warn!(causes = error.causes(), "an event stream waits: {error}");
                }
            }
            if self.over {
                return None;
            }
            let stopping = self.front.stopping.clone();
            // A process that stops lets its streams go at once: they are taken up elsewhere.
            stopping.run_until_cancelled(tokio::time::sleep(self.pause)).await?;
            self.pause = (self.pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }

    async fn look(&mut self) -> Result<Vec<OrderEvent>, FrontError> {
        let entry = self.front.placing.book.find(&self.entry.order_id).await?;
        self.entry = self.front.refreshed(entry).await?;
        let events = self.front.placing.book.events(&self.entry.order_id, self.last).await?;
        if let Some(newest) = events.last() {
            self.last = newest.seq;
        }
        self.over = self.entry.state().is_end();
        Ok(events)
    }
}

fn frame(event: &OrderEvent) -> Event {
    let data = serde_json::to_string(event).unwrap_or_default();
    Event::default().event("state").id(event.seq.to_string()).data(data)
}

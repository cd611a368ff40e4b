//! All traces of a service in a stretch of time. Nothing pages, so an answer that is as long as it may be is asked for
//! again in two halves, until each is shorter: none is missed, and no more than one answer is held.

use std::collections::HashSet;

use futures::{Stream, stream};
use journey::Trace;

use super::{AskError, Backend, Window, backend::Search};

/// Traces asked for at once: an order's has some hundred spans, so an answer stays around ten megabytes.
const PAGE: usize = 100;

struct Scan<'a> {
    backend: &'a Backend,
    service: &'a str,
    operation: Option<&'a str>,
    /// Still to be asked for, the newest last.
    windows: Vec<Window>,
    /// Still to be handed out.
    traces: std::vec::IntoIter<Trace>,
    /// Handed out already: a trace may lie in two windows.
    seen: HashSet<u128>,
}

// === impl Backend ===

impl Backend {
    /// Every trace in which `service` has a span (called `operation`) that started within `window`, newest stretch first,
    /// each once.
    pub(crate) fn scan<'a>(
        &'a self,
        service: &'a str,
        operation: Option<&'a str>,
        window: Window,
    ) -> impl Stream<Item = Result<Trace, AskError>> + 'a {
        let scan = Scan {
            backend: self,
            service,
            operation,
            windows: vec![window],
            traces: Vec::new().into_iter(),
            seen: HashSet::new(),
        };
        stream::try_unfold(scan, |mut scan| async move {
            let next = scan.next().await?;
            Ok(next.map(|trace| (trace, scan)))
        })
    }
}

// === impl Scan ===

impl Scan<'_> {
    async fn next(&mut self) -> Result<Option<Trace>, AskError> {
        loop {
            for trace in self.traces.by_ref() {
                if self.seen.insert(u128::from_str_radix(&trace.id, 16).unwrap_or_default()) {
                    return Ok(Some(trace));
                }
            }
            let Some(window) = self.windows.pop() else { return Ok(None) };
            self.traces = self.ask(window).await?.into_iter();
        }
    }

    async fn ask(&mut self, window: Window) -> Result<Vec<Trace>, AskError> {
        let (service, operation) = (self.service, self.operation);
        let search = Search { service, operation, tag: None, window, limit: PAGE };
        let traces = match self.backend.search(search).await {
            Err(error) if error.too_much() && window.halves().is_some() => None,
            answer => Some(answer?),
        };
        if traces.as_ref().is_none_or(|t| t.len() >= PAGE)
            && let Some((newer, older)) = window.halves()
        {
            self.windows.extend([older, newer]);
        }
        // What a full answer holds is handed out all the same: it was paid for.
        Ok(traces.unwrap_or_default())
    }
}

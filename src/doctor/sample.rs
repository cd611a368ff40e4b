//! The traces that are looked at: the newest of each service, so that one whose context is dropped is among them.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use journey::{Heard, Route, Trace};

use crate::ask::{AskError, Backend, Window, now_ns};

/// Some traces, and when each service was last heard of.
pub(super) struct Sample {
    pub(super) traces: Vec<Trace>,
    pub(super) heard: Heard,
    pub(super) now_ns: u64,
}

/// At most `most` traces of each service of the route.
pub(super) async fn take(
    backend: &Backend,
    route: &Route,
    window: Window,
    most: usize,
) -> Result<Sample, AskError> {
    let services = route.services();
    let heard = backend.heard(&services, window).await?;
    let mut traces: BTreeMap<String, Trace> = BTreeMap::new();
    for service in &services {
        let mut scan = std::pin::pin!(backend.scan(service, None, window).take(most));
        while let Some(trace) = scan.try_next().await? {
            traces.entry(trace.id.clone()).or_insert(trace);
        }
    }
    Ok(Sample { traces: traces.into_values().collect(), heard, now_ns: now_ns() })
}

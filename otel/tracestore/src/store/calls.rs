//! Who called whom, counted when a segment is made.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::model::TraceId;

/// Children whose parent is elsewhere, kept to be resolved when somebody asks. The rest does not count as calls.
const MAX_OPEN: usize = 20_000;
/// Distinct (minute, parent, child) kept.
const MAX_PAIRS: usize = 20_000;

const MINUTE: u64 = 60_000_000_000;

/// A span whose parent was not beside it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Open {
    pub(crate) trace: (u64, u64),
    pub(crate) parent: u64,
    pub(crate) minute: u64,
    pub(crate) child: u32,
}

/// Calls of a segment by the minute in which the child started.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Calls {
    pub(crate) services: Vec<String>,
    /// Minute, parent service, child service, calls.
    pub(crate) pairs: Vec<(u64, u32, u32, u64)>,
    pub(crate) open: Vec<Open>,
}

/// Counts while a segment is made.
#[derive(Debug, Default)]
pub(crate) struct CallCounter {
    services: HashMap<Arc<str>, u32>,
    pairs: BTreeMap<(u64, u32, u32), u64>,
    open: Vec<Open>,
    spans: Vec<(u64, u64, u64, u32)>,
}

// === impl Calls ===

impl Calls {
    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

// === impl CallCounter ===

impl CallCounter {
    /// A span of the chunk at hand: its service, id, parent and start.
    pub(crate) fn span(&mut self, service: &Arc<str>, id: u64, parent: u64, start: u64) {
        let service = self.service(service);
        self.spans.push((id, parent, start, service));
    }

    /// Ends a chunk.
    pub(crate) fn end_chunk(&mut self, trace: TraceId) {
        let mut spans = std::mem::take(&mut self.spans);
        spans.sort_unstable();
        // A client that sent again did not call again.
        spans.dedup();
        for &(_, parent, start, child) in spans.iter().filter(|span| span.1 != 0) {
            let at = spans.partition_point(|span| span.0 < parent);
            match spans.get(at).filter(|span| span.0 == parent) {
                Some(&(.., caller)) => self.pair(start / MINUTE, caller, child, 1),
                None if self.open.len() < MAX_OPEN => {
                    self.open.push(Open { trace: halves(trace), parent, minute: start / MINUTE, child });
                }
                None => {}
            }
        }
        spans.clear();
        self.spans = spans;
    }

    /// Adds another segment's calls.
    pub(crate) fn add(&mut self, other: Calls) {
        let translate: Vec<u32> =
            other.services.iter().map(|service| self.service(&Arc::from(service.as_str()))).collect();
        let service = |index: u32| translate.get(index as usize).copied();
        for (minute, parent, child, count) in other.pairs {
            if let (Some(parent), Some(child)) = (service(parent), service(child)) {
                self.pair(minute, parent, child, count);
            }
        }
        for mut open in other.open {
            if let Some(child) = service(open.child).filter(|_| self.open.len() < MAX_OPEN) {
                open.child = child;
                self.open.push(open);
            }
        }
    }

    pub(crate) fn finish(self) -> Calls {
        let mut services: Vec<(Arc<str>, u32)> = self.services.into_iter().collect();
        services.sort_unstable_by_key(|(_, index)| *index);
        Calls {
            services: services.into_iter().map(|(service, _)| service.to_string()).collect(),
            pairs: self
                .pairs
                .into_iter()
                .map(|((minute, parent, child), n)| (minute, parent, child, n))
                .collect(),
            open: self.open,
        }
    }

    fn service(&mut self, service: &Arc<str>) -> u32 {
        let next = self.services.len() as u32;
        if let Some(&known) = self.services.get(service) {
            return known;
        }
        self.services.insert(Arc::clone(service), next);
        next
    }

    fn pair(&mut self, minute: u64, parent: u32, child: u32, count: u64) {
        if parent == child {
            return;
        }
        let room = self.pairs.len() < MAX_PAIRS;
        if let Some(known) = self.pairs.get_mut(&(minute, parent, child)) {
            *known += count;
        } else if room {
            self.pairs.insert((minute, parent, child), count);
        }
    }
}

/// Whether any of a minute lies within the range.
pub(crate) fn minute_within(minute: u64, from: u64, to: u64) -> bool {
    (from / MINUTE..=to / MINUTE).contains(&minute)
}

/// An id as JSON can hold it.
pub(crate) fn halves(id: TraceId) -> (u64, u64) {
    let whole = u128::from_be_bytes(id.0);
    ((whole >> 64) as u64, whole as u64)
}

/// Back from [`halves`].
pub(crate) fn whole((high, low): (u64, u64)) -> TraceId {
    TraceId((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
}

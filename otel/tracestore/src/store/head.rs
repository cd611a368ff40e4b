//! What has been accepted and is not in a segment yet: batches in memory, backed by one write-ahead log file.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::batch::{Batch, Name, Piece};
use super::plan::{Newest, Plan, Verifier};
use crate::model::TraceId;

/// Batches in order of arrival. Readers and the one writer share it.
#[derive(Debug)]
pub(crate) struct Head {
    /// Also the number of its log file and of the segment that it becomes.
    pub(crate) number: u64,
    batches: RwLock<Vec<Arc<Batch>>>,
    names: RwLock<HashMap<u64, Arc<Name>>>,
    memory: AtomicUsize,
    items: AtomicUsize,
    /// When the first batch arrived, Unix nanoseconds; 0 while empty.
    first_arrival: AtomicU64,
}

/// Every service and span name that anything refers to, each held once. Bounded, because clients choose the names.
#[derive(Debug, Default)]
pub(crate) struct Names {
    known: Mutex<HashSet<Arc<Name>>>,
    refused: AtomicU64,
}

/// Names kept at once; those that come later are searchable but not listed.
pub(crate) const MAX_NAMES: usize = 20_000;

// === impl Head ===

impl Head {
    pub(crate) fn new(number: u64) -> Self {
        Self {
            number,
            batches: RwLock::default(),
            names: RwLock::default(),
            memory: AtomicUsize::new(0),
            items: AtomicUsize::new(0),
            first_arrival: AtomicU64::new(0),
        }
    }

    /// Makes a batch visible to readers.
    pub(crate) fn publish(&self, mut batch: Batch, names: &Names) {
        self.memory.fetch_add(batch.memory(), Ordering::Relaxed);
        self.items.fetch_add(batch.items.len(), Ordering::Relaxed);
        let _ = self.first_arrival.compare_exchange(
            0,
            batch.arrived.max(1),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        let seen = std::mem::take(&mut batch.names);
        let fresh: Vec<(u64, Name)> = {
            let known = self.names.read().unwrap_or_else(PoisonError::into_inner);
            seen.into_iter().filter(|(hash, _)| !known.contains_key(hash)).collect()
        };
        if !fresh.is_empty() {
            let mut known = self.names.write().unwrap_or_else(PoisonError::into_inner);
            known.extend(fresh.into_iter().filter_map(|(hash, name)| Some((hash, names.hold(name)?))));
        }
        self.batches.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(batch));
    }

    pub(crate) fn batches(&self) -> Vec<Arc<Batch>> {
        self.batches.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn names(&self) -> Vec<Arc<Name>> {
        self.names.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }

    pub(crate) fn items(&self) -> usize {
        self.items.load(Ordering::Relaxed)
    }

    pub(crate) fn first_arrival(&self) -> Option<u64> {
        Some(self.first_arrival.load(Ordering::Relaxed)).filter(|&at| at != 0)
    }

    /// Adds what it holds of a trace, at most `max` pieces in all.
    pub(crate) fn collect(&self, id: TraceId, max: usize, out: &mut Vec<Piece>) {
        for batch in self.batches() {
            let mine = batch.ids.iter().enumerate().filter(|(_, other)| **other == id);
            for (index, _) in mine {
                if out.len() >= max {
                    return;
                }
                out.extend(batch.piece(index));
            }
        }
    }

    /// Offers every trace with a span that matches.
    pub(crate) fn search(&self, plan: &Plan<'_>, newest: &mut Newest) {
        let mut batches = self.batches();
        batches.sort_unstable_by_key(|batch| std::cmp::Reverse(batch.max_start));
        for batch in batches {
            if plan.misses(batch.min_start, batch.max_start) || !newest.wants(batch.max_start) {
                continue;
            }
            search_batch(&batch, plan, newest);
        }
    }
}

fn search_batch(batch: &Batch, plan: &Plan<'_>, newest: &mut Newest) {
    let mut verifier = Verifier::new(plan);
    for (index, (item, id)) in batch.items.iter().zip(&batch.ids).enumerate() {
        if !plan.admits(item.start, item.duration) || !newest.wants(item.start) {
            continue;
        }
        let Some(context) = batch.context(index) else {
            continue;
        };
        if plan.nominates(&context.terms, batch.item_terms(index))
            && verifier.holds(&context.resource, &context.scope, batch.item_bytes(index))
        {
            newest.offer(*id, item.start);
        }
    }
}

// === impl Names ===

impl Names {
    /// The shared copy of a name, unless there are too many already.
    pub(crate) fn hold(&self, name: Name) -> Option<Arc<Name>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = known.get(&name) {
            return Some(Arc::clone(held));
        }
        // Looking for names that nothing refers to any more is dear: once in a while is enough.
        if known.len() >= MAX_NAMES && self.refused.fetch_add(1, Ordering::Relaxed).is_multiple_of(4096) {
            known.retain(|held| Arc::strong_count(held) > 1);
        }
        if known.len() >= MAX_NAMES {
            tracing::debug!(service = %name.service, operation = %name.operation.name, "too many span names, not listed");
            return None;
        }
        let held = Arc::new(name);
        known.insert(Arc::clone(&held));
        Some(held)
    }
}

//! Who calls whom: pairs of a span and its parent in another service.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::batch::Batch;
use super::options::StoreError;
use super::shelf::Shelf;
use super::span::lineage;
use crate::model::{Dependency, TraceId};

/// A service pair's calls.
type Calls = BTreeMap<(Arc<str>, Arc<str>), u64>;

/// Calls by spans that start within the range. Calls within one service do not count.
pub(crate) fn between(shelf: &Shelf, from: u64, to: u64) -> Result<Vec<Dependency>, StoreError> {
    let view = shelf.view();
    let mut calls = Calls::new();
    let batches: Vec<Arc<Batch>> =
        view.sealing.iter().chain([&view.active]).flat_map(|head| head.batches()).collect();
    in_memory(&batches, from, to, &mut calls);
    let each = |((parent, child), call_count): ((Arc<str>, Arc<str>), u64)| Dependency {
        parent: parent.to_string(),
        child: child.to_string(),
        call_count,
    };
    Ok(calls.into_iter().map(each).collect())
}

fn in_memory(batches: &[Arc<Batch>], from: u64, to: u64, calls: &mut Calls) {
    let mut owner: BTreeMap<(TraceId, u64), Arc<str>> = BTreeMap::new();
    let mut children = Vec::new();
    for batch in batches {
        for (index, (item, id)) in batch.items.iter().zip(&batch.ids).enumerate() {
            let Some(context) = batch.context(index) else {
                continue;
            };
            let (span, parent) = lineage(batch.item_bytes(index));
            owner.insert((*id, span), Arc::clone(&context.service));
            if parent != 0 && (from..=to).contains(&item.start) {
                children.push(((*id, parent), Arc::clone(&context.service)));
            }
        }
    }
    for (parent, child) in children {
        if let Some(parent) = owner.get(&parent).filter(|parent| **parent != child) {
            *calls.entry((Arc::clone(parent), child)).or_default() += 1;
        }
    }
}

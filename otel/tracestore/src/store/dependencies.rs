//! Who calls whom: pairs of a span and its parent in another service.

use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::batch::{Batch, Piece};
use super::calls::{Calls, Open, halves, minute_within, whole};
use super::options::StoreError;
use super::plan::service_of;
use super::shelf::Shelf;
use super::span::lineage;
use crate::model::{Dependency, TraceId};

/// Spans sealed apart from their parents that one answer looks up; more do not count.
const MAX_RESOLVED: usize = 5_000;
/// Spans of one trace that are searched for a parent.
const MAX_SPANS: usize = 20_000;

/// A service pair's calls.
type Counts = BTreeMap<(Arc<str>, Arc<str>), u64>;

/// Calls by spans that start within the range. Calls within one service do not count.
pub(crate) fn between(shelf: &Shelf, from: u64, to: u64) -> Result<Vec<Dependency>, StoreError> {
    let view = shelf.view();
    let mut calls = Counts::new();
    let mut open = Vec::new();
    for segment in &view.segments {
        if segment.facts.max_start < from || segment.facts.min_start > to {
            continue;
        }
        match segment.calls() {
            Ok(counted) => in_segment(counted, from, to, &mut calls, &mut open),
            Err(fault) => shelf.survive(segment, Err(fault))?,
        }
    }
    let batches: Vec<Arc<Batch>> =
        view.sealing.iter().chain([&view.active]).flat_map(|head| head.batches()).collect();
    in_memory(&batches, from, to, &mut calls, &mut open);
    resolve(shelf, open, &mut calls)?;
    let each = |((parent, child), call_count): ((Arc<str>, Arc<str>), u64)| Dependency {
        parent: parent.to_string(),
        child: child.to_string(),
        call_count,
    };
    Ok(calls.into_iter().map(each).collect())
}

/// A segment counted by the minute, so the ends of the range are whole minutes there.
fn in_segment(counted: Calls, from: u64, to: u64, calls: &mut Counts, open: &mut Vec<(Open, Arc<str>)>) {
    let services: Vec<Arc<str>> =
        counted.services.iter().map(|service| Arc::from(service.as_str())).collect();
    let service = |index: u32| services.get(index as usize).cloned();
    for (minute, parent, child, count) in counted.pairs {
        if let (true, Some(parent), Some(child)) =
            (minute_within(minute, from, to), service(parent), service(child))
        {
            *calls.entry((parent, child)).or_default() += count;
        }
    }
    for child in counted.open.into_iter().filter(|open| minute_within(open.minute, from, to)) {
        if let Some(service) = service(child.child).filter(|_| open.len() < MAX_RESOLVED) {
            open.push((child, service));
        }
    }
}

/// Finds the parents of spans that were sealed apart from them.
fn resolve(shelf: &Shelf, mut open: Vec<(Open, Arc<str>)>, calls: &mut Counts) -> Result<(), StoreError> {
    open.sort_unstable_by_key(|(open, _)| open.trace);
    for children in open.chunk_by(|a, b| a.0.trace == b.0.trace) {
        let Some((first, _)) = children.first() else { continue };
        let pieces = shelf.collect(whole(first.trace), MAX_SPANS)?;
        let mut owner: HashMap<u64, &Piece> = HashMap::new();
        for piece in &pieces {
            owner.insert(lineage(&piece.item).0, piece);
        }
        for (child, service) in children {
            let Some(parent) = owner.get(&child.parent) else { continue };
            let group = ResourceSpans::decode(&parent.resource[..]).unwrap_or_default();
            let caller = service_of(&group.resource.unwrap_or_default());
            if *caller != **service {
                *calls.entry((Arc::from(caller), Arc::clone(service))).or_default() += 1;
            }
        }
    }
    Ok(())
}

fn in_memory(
    batches: &[Arc<Batch>],
    from: u64,
    to: u64,
    calls: &mut Counts,
    open: &mut Vec<(Open, Arc<str>)>,
) {
    let mut owners: Vec<(TraceId, u64, &Arc<str>)> = Vec::new();
    let mut children: Vec<(TraceId, u64, u64, &Arc<str>)> = Vec::new();
    for batch in batches {
        for (index, (item, id)) in batch.items.iter().zip(&batch.ids).enumerate() {
            let Some(context) = batch.context(index) else { continue };
            let (span, parent) = lineage(batch.item_bytes(index));
            owners.push((*id, span, &context.service));
            if parent != 0 && (from..=to).contains(&item.start) {
                children.push((*id, parent, span, &context.service));
            }
        }
    }
    owners.sort_unstable();
    // A client that sent again did not call again.
    children.sort_unstable();
    children.dedup();
    for (trace, parent, _, child) in children {
        let at = owners.partition_point(|owner| (owner.0, owner.1) < (trace, parent));
        match owners.get(at).filter(|owner| (owner.0, owner.1) == (trace, parent)) {
            Some((_, _, caller)) if *caller == child => {}
            Some((_, _, caller)) => *calls.entry((Arc::clone(caller), Arc::clone(child))).or_default() += 1,
            None if open.len() < MAX_RESOLVED => {
                open.push((Open { trace: halves(trace), parent, minute: 0, child: 0 }, Arc::clone(child)));
            }
            None => {}
        }
    }
}

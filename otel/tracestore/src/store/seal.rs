//! A head becomes a segment: its spans sorted by trace, its traces by time.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::batch::{Batch, Signal};
use super::calls::CallCounter;
use super::head::Head;
use super::segment::{BlockBuilder, Facts, Output, Row, TermSink};
use super::span::lineage;
use super::terms::Term;
use crate::model::TraceId;

/// Bytes at which a trace's chunk is split, so that no block grows without bound.
const CHUNK: usize = 1 << 20;

/// Where an item lies in the head.
type Place = (TraceId, u32, u32);

/// Spans of one trace, as a range of the sorted places.
struct Chunk {
    from: usize,
    to: usize,
    row: Row,
}

/// Writes a head as the segment of `first` to `last`. The file is durable on return.
pub(crate) fn seal(signal: Signal, head: &Head, first: u64, last: u64, path: &Path) -> io::Result<()> {
    let batches = head.batches();
    let places = sorted(&batches);
    let mut chunks = chunks(&batches, &places);
    chunks.sort_unstable_by_key(|chunk| (chunk.row.max_start, chunk.row.id));
    let mut output = Output::create(path)?;
    let mut block = BlockBuilder::default();
    // Comparing resources byte by byte for each span would cost more than all else here.
    let mut known: HashMap<(u32, u32), u32> = HashMap::new();
    let mut terms: Vec<(Term, u32)> = Vec::new();
    let mut calls = CallCounter::default();
    let mut rows = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let mine = places.get(chunk.from..chunk.to).unwrap_or_default();
        let mut row = chunk.row;
        row.block = output.next_block();
        row.offset = block.start(row.id, mine.len()) as u32;
        for &(_, b, i) in mine {
            let Some(batch) = batches.get(b as usize) else { continue };
            let Some((item, context)) = batch.items.get(i as usize).zip(batch.context(i as usize)) else {
                continue;
            };
            let bytes = batch.item_bytes(i as usize);
            let number = *known
                .entry((b, item.context))
                .or_insert_with(|| block.context(&context.resource, &context.scope));
            block.item(number, bytes);
            if signal == Signal::Spans {
                let (id, parent) = lineage(bytes);
                calls.span(&context.service, id, parent, item.start);
            }
        }
        row.len = (block.len() - row.offset as usize) as u32;
        calls.end_chunk(row.id);
        gather(&batches, mine, rows.len() as u32, &mut terms);
        rows.push(row);
        if block.full() {
            known.clear();
            output.block(&block.take())?;
        }
    }
    if block.len() > 0 {
        output.block(&block.take())?;
    }
    // Stable, and so in runs already: rows rise, and each row's terms do.
    terms.sort_by_key(|(term, _)| *term);
    let facts = facts(&batches, first, last);
    output.finish(facts, &rows, &head.names(), &calls.finish(), |sink| put_terms(&terms, sink))
}

fn sorted(batches: &[Arc<Batch>]) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::with_capacity(batches.iter().map(|b| b.ids.len()).sum());
    for (b, batch) in (0..).zip(batches) {
        places.extend((0..).zip(&batch.ids).map(|(i, id)| (*id, b, i)));
    }
    places.sort_unstable();
    places
}

fn chunks(batches: &[Arc<Batch>], places: &[Place]) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut bytes = 0;
    for (at, &(id, batch, item)) in places.iter().enumerate() {
        let Some(item) = batches.get(batch as usize).and_then(|b| b.items.get(item as usize)) else {
            continue;
        };
        let fits =
            chunks.last().is_some_and(|chunk| chunk.row.id == id && bytes + item.len as usize <= CHUNK);
        if !fits {
            bytes = 0;
            let row = Row {
                id,
                block: 0,
                offset: 0,
                len: 0,
                items: 0,
                min_start: u64::MAX,
                max_start: 0,
                shortest: u64::MAX,
                longest: 0,
            };
            chunks.push(Chunk { from: at, to: at, row });
        }
        bytes += item.len as usize;
        if let Some(Chunk { to, row, .. }) = chunks.last_mut() {
            *to = at + 1;
            row.items += 1;
            row.min_start = row.min_start.min(item.start);
            row.max_start = row.max_start.max(item.start);
            row.shortest = row.shortest.min(item.duration);
            row.longest = row.longest.max(item.duration);
        }
    }
    chunks
}

/// Adds the distinct terms of a chunk.
fn gather(batches: &[Arc<Batch>], places: &[Place], row: u32, out: &mut Vec<(Term, u32)>) {
    let from = out.len();
    let mut contexts: Vec<(u32, u32)> = Vec::new();
    for &(_, b, i) in places {
        let Some(batch) = batches.get(b as usize) else { continue };
        let Some(item) = batch.items.get(i as usize) else { continue };
        if !contexts.contains(&(b, item.context)) {
            contexts.push((b, item.context));
            let context = batch.contexts.get(item.context as usize);
            out.extend(context.iter().flat_map(|context| &context.terms).map(|term| (*term, row)));
        }
        out.extend(batch.item_terms(i as usize).iter().map(|term| (*term, row)));
    }
    let mine = out.get_mut(from..).unwrap_or_default();
    mine.sort_unstable_by_key(|(term, _)| *term);
    let mut distinct = 0;
    for at in 0..mine.len() {
        if distinct == 0 || mine[at] != mine[distinct - 1] {
            mine[distinct] = mine[at];
            distinct += 1;
        }
    }
    out.truncate(from + distinct);
}

fn facts(batches: &[Arc<Batch>], first: u64, last: u64) -> Facts {
    let mut facts = Facts { first, last, min_start: u64::MAX, min_arrived: u64::MAX, ..Facts::default() };
    for batch in batches {
        facts.items += batch.items.len() as u64;
        facts.min_start = facts.min_start.min(batch.min_start);
        facts.max_start = facts.max_start.max(batch.max_start);
        facts.min_arrived = facts.min_arrived.min(batch.arrived);
        facts.max_arrived = facts.max_arrived.max(batch.arrived);
    }
    facts
}

fn put_terms(terms: &[(Term, u32)], sink: &mut TermSink<'_>) -> io::Result<()> {
    for run in terms.chunk_by(|a, b| a.0 == b.0) {
        if let Some(&(term, _)) = run.first() {
            sink.term(term, run.iter().map(|(_, row)| *row))?;
        }
    }
    Ok(())
}

//! Fewer, larger segments. Small ones are made anew, so that a trace that came in parts lies together again; large ones
//! are joined block by block, without unpacking.

use bytes::Bytes;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::batch::{Batch, Signal, put_request};
use super::cache::BlockCache;
use super::calls::CallCounter;
use super::head::{Head, Names};
use super::options::Options;
use super::seal::seal;
use super::segment::{Facts, Fault, Output, Row, RowCursor, Segment, TermSink, unpack_rows};
use super::terms::Term;

/// Neighbours of a size that are merged at once.
const FAN_IN: usize = 8;
/// Chunks that a joined segment may have; its table is in memory while it is made.
const MAX_ROWS: u64 = 400_000;
/// Bytes that a joined segment may have; retention removes whole segments.
const MAX_BYTES: u64 = 1 << 30;

/// Segments that are too many, whatever their sizes.
const MANY: usize = 128;

/// What to merge, neighbours in order.
pub(crate) struct Merge {
    pub(crate) inputs: Vec<Arc<Segment>>,
    rebuild: bool,
}

/// A segment's terms, one after the other.
struct Terms<'s> {
    segment: &'s Segment,
    next_group: usize,
    queue: std::vec::IntoIter<(Term, Vec<u8>)>,
    head: Option<(Term, Vec<u8>)>,
}

// === impl Merge ===

impl Merge {
    /// A merge worth doing, if there is one.
    pub(crate) fn find(segments: &[Arc<Segment>], options: &Options) -> Option<Self> {
        let small = (options.head_bytes / 2) as u64;
        Self::run(segments, |run| Self::may_rebuild(run, small, options), true)
            .or_else(|| Self::run(segments, |run| alike(run, small) && Self::may_join(run, options), false))
            .or_else(|| {
                // Sizes that never match must not leave ever more files.
                let many = segments.len() > MANY;
                Self::run(segments, |run| many && Self::may_join(run, options), false)
            })
    }

    fn run(segments: &[Arc<Segment>], fits: impl Fn(&[Arc<Segment>]) -> bool, rebuild: bool) -> Option<Self> {
        let run = segments.windows(FAN_IN).find(|run| fits(run))?;
        Some(Self { inputs: run.to_vec(), rebuild })
    }

    fn may_rebuild(run: &[Arc<Segment>], small: u64, options: &Options) -> bool {
        run.iter().map(|s| s.facts.raw_bytes).sum::<u64>() <= small && same_age(run, options)
    }

    fn may_join(run: &[Arc<Segment>], options: &Options) -> bool {
        same_age(run, options)
            && run.iter().map(|s| u64::from(s.rows())).sum::<u64>() <= MAX_ROWS
            && run.iter().map(|s| s.bytes).sum::<u64>() <= MAX_BYTES.min(options.retention_bytes / 8)
    }

    /// Numbers of the first and last head in it.
    pub(crate) fn range(&self) -> (u64, u64) {
        let first = self.inputs.first().map_or(0, |s| s.facts.first);
        (first, self.inputs.last().map_or(0, |s| s.facts.last))
    }

    /// Writes the merged segment, durable on return.
    pub(crate) fn write(
        &self,
        signal: Signal,
        names: &Names,
        path: &Path,
    ) -> Result<(), (Option<usize>, Fault)> {
        if self.rebuild { self.rebuild(signal, names, path) } else { self.join(path) }
    }

    fn rebuild(&self, signal: Signal, names: &Names, path: &Path) -> Result<(), (Option<usize>, Fault)> {
        let (first, last) = self.range();
        let head = Head::new(last);
        let cache = BlockCache::new(1 << 20);
        for (index, segment) in self.inputs.iter().enumerate() {
            refile(signal, segment, &cache, names, &head).map_err(|fault| (Some(index), fault))?;
        }
        seal(signal, &head, first, last, path).map_err(|error| (None, error.into()))
    }

    fn join(&self, path: &Path) -> Result<(), (Option<usize>, Fault)> {
        let mut output = Output::create(path).map_err(|error| (None, error.into()))?;
        let (mut rows, mut calls, mut names) = (Vec::new(), CallCounter::default(), Vec::new());
        let mut facts = Facts { min_start: u64::MAX, min_arrived: u64::MAX, ..Facts::default() };
        (facts.first, facts.last) = self.range();
        for (index, segment) in self.inputs.iter().enumerate() {
            let base = output.next_block();
            copy_blocks(segment, &mut output).map_err(|fault| (Some(index), fault))?;
            let mut cursor = RowCursor::new(segment);
            for ordinal in 0..segment.rows() {
                let mut row = cursor.row(ordinal).map_err(|fault| (Some(index), fault))?;
                row.block += base;
                rows.push((row, index, ordinal));
            }
            calls.add(segment.calls().map_err(|fault| (Some(index), fault))?);
            names.extend(segment.names.iter().cloned());
            facts.items += segment.facts.items;
            facts.min_start = facts.min_start.min(segment.facts.min_start);
            facts.max_start = facts.max_start.max(segment.facts.max_start);
            facts.min_arrived = facts.min_arrived.min(segment.facts.min_arrived);
            facts.max_arrived = facts.max_arrived.max(segment.facts.max_arrived);
        }
        rows.sort_unstable_by_key(|(row, ..)| (row.max_start, row.id));
        names.sort_unstable();
        names.dedup();
        let translate = self.translate(&rows);
        let rows: Vec<Row> = rows.into_iter().map(|(row, ..)| row).collect();
        let mut bad = None;
        let terms = |sink: &mut TermSink<'_>| self.join_terms(&translate, &mut bad, sink);
        output.finish(facts, &rows, &names, &calls.finish(), terms).map_err(|error| (bad, error.into()))
    }

    /// Where each input's rows are now.
    fn translate(&self, rows: &[(Row, usize, u32)]) -> Vec<Vec<u32>> {
        let mut translate: Vec<Vec<u32>> = self.inputs.iter().map(|s| vec![0; s.rows() as usize]).collect();
        for (now, (_, input, before)) in (0..).zip(rows) {
            if let Some(slot) = translate.get_mut(*input).and_then(|rows| rows.get_mut(*before as usize)) {
                *slot = now;
            }
        }
        translate
    }

    fn join_terms(
        &self,
        translate: &[Vec<u32>],
        bad: &mut Option<usize>,
        sink: &mut TermSink<'_>,
    ) -> io::Result<()> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the terms cannot be read");
        let mut inputs = Vec::new();
        for (index, segment) in self.inputs.iter().enumerate() {
            inputs.push(Terms::new(segment).map_err(|_| damaged()).inspect_err(|_| *bad = Some(index))?);
        }
        let mut joined: Vec<u32> = Vec::new();
        while let Some(term) = inputs.iter().filter_map(|input| input.head.as_ref().map(|head| head.0)).min()
        {
            joined.clear();
            for (index, (input, rows)) in inputs.iter_mut().zip(translate).enumerate() {
                if input.head.as_ref().is_some_and(|head| head.0 == term)
                    && let Some((_, packed)) =
                        input.take().map_err(|_| damaged()).inspect_err(|_| *bad = Some(index))?
                {
                    joined.extend(unpack_rows(&packed).into_iter().filter_map(|row| rows.get(row as usize)));
                }
            }
            joined.sort_unstable();
            sink.term(term, joined.iter().copied())?;
        }
        Ok(())
    }
}

/// Joining a large segment with small ones would copy it again and again.
fn alike(run: &[Arc<Segment>], small: u64) -> bool {
    let sizes = || run.iter().map(|s| s.facts.raw_bytes.max(small));
    sizes().max().unwrap_or(0) <= sizes().min().unwrap_or(0).saturating_mul(FAN_IN as u64 / 2)
}

/// Merged data goes when its newest part goes, so it must not span much more time than its parts.
fn same_age(run: &[Arc<Segment>], options: &Options) -> bool {
    let oldest = run.iter().map(|s| s.facts.min_arrived).min().unwrap_or(0);
    let newest = run.iter().map(|s| s.facts.max_arrived).max().unwrap_or(0);
    u128::from(newest.saturating_sub(oldest)) <= options.retention_age.as_nanos() / 8
}

fn copy_blocks(segment: &Segment, output: &mut Output) -> Result<(), Fault> {
    for number in 0..segment.blocks() {
        let (row, stored) = segment.stored_block(number)?;
        output.stored_block(&stored, row.raw, row.crc)?;
    }
    Ok(())
}

/// Puts all of a segment into a head.
fn refile(
    signal: Signal,
    segment: &Segment,
    cache: &BlockCache,
    names: &Names,
    head: &Head,
) -> Result<(), Fault> {
    let mut cursor = RowCursor::new(segment);
    let mut request = Vec::new();
    for ordinal in 0..segment.rows() {
        let row = cursor.row(ordinal)?;
        let pieces = segment.chunk(&row, cache)?;
        for run in pieces.chunk_by(|a, b| a.resource == b.resource && a.scope == b.scope) {
            if let Some(piece) = run.first() {
                let items: Vec<&[u8]> = run.iter().map(|piece| &piece.item[..]).collect();
                put_request(&mut request, &piece.resource, &piece.scope, &items);
            }
        }
        if request.len() > 1 << 20 || ordinal + 1 == segment.rows() {
            let raw = Bytes::from(std::mem::take(&mut request));
            let mut batch =
                Batch::read(signal, raw, segment.facts.max_arrived).map_err(|bad| Fault::Corrupt(bad.0))?;
            batch.arrived = segment.facts.max_arrived;
            head.publish(batch, names);
        }
    }
    Ok(())
}

// === impl Terms ===

impl<'s> Terms<'s> {
    fn new(segment: &'s Segment) -> Result<Self, Fault> {
        let mut terms = Self { segment, next_group: 0, queue: Vec::new().into_iter(), head: None };
        terms.take()?;
        Ok(terms)
    }

    /// The term at hand; the next one takes its place.
    fn take(&mut self) -> Result<Option<(Term, Vec<u8>)>, Fault> {
        let mut next = self.queue.next();
        if next.is_none() && self.next_group < self.segment.term_groups() {
            let group = self.segment.term_group(self.next_group)?;
            self.queue =
                group.lists()?.map(|(term, list)| (term, list.to_vec())).collect::<Vec<_>>().into_iter();
            self.next_group += 1;
            next = self.queue.next();
        }
        Ok(std::mem::replace(&mut self.head, next))
    }
}

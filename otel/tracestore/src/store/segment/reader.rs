//! Reading a segment: every look-up is a few positioned reads, every byte is checked before it is believed.

use bytes::Bytes;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::super::batch::{Name, Piece};
use super::super::cache::BlockCache;
use super::super::calls::Calls;
use super::super::head::Names;
use super::super::names;
use super::super::plan::{Newest, Plan, Verifier};
use super::super::terms::Term;
use super::super::wire::take_varint;
use super::block::Block;
use super::filter::Filter;
use super::format::{self, BlockRow, Facts, Fault, Footer, PAGE, Row, SECTIONS, u32_at, u64_at};
use crate::model::TraceId;

/// Largest section or block that is believed.
const MAX_PART: u64 = 1 << 30;

static NEXT_UID: AtomicU64 = AtomicU64::new(1);

/// An open segment. The file may be unlinked meanwhile; reading goes on.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) facts: Facts,
    pub(crate) bytes: u64,
    pub(crate) path: PathBuf,
    pub(crate) names: Vec<Arc<Name>>,
    /// Tells segments apart in the block cache.
    uid: u64,
    file: File,
    index_start: u64,
    index_len: u64,
    crcs: Vec<u32>,
    sections: [(u64, u64); SECTIONS],
    term_fences: Vec<(Term, u64)>,
    id_fences: Vec<u64>,
    ids: Filter,
    bad_blocks: Mutex<HashSet<u32>>,
}

/// Reads rows one after the other, a page at a time.
pub(crate) struct RowCursor<'s> {
    segment: &'s Segment,
    from: u64,
    page: Vec<u8>,
}

/// Some hundred neighbouring terms and the rows that have them.
pub(crate) struct TermGroup(Vec<u8>);

// === impl Segment ===

impl Segment {
    /// Opens a file and checks what is kept in memory of it.
    pub(crate) fn open(path: &Path, shared: &Names) -> Result<Self, Fault> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let tail = bytes.checked_sub(format::FOOTER as u64).ok_or(Fault::Corrupt("the file is too short"))?;
        let mut footer = vec![0; format::FOOTER];
        file.read_exact_at(&mut footer, tail)?;
        let footer = Footer::decode(&footer)?;
        let crcs_len = footer.index_len.div_ceil(PAGE as u64) * 4;
        if footer.index_start.checked_add(footer.index_len).and_then(|at| at.checked_add(crcs_len))
            != Some(tail)
        {
            return Err(Fault::Corrupt("the footer does not fit the file"));
        }
        let mut crcs = vec![0; crcs_len as usize];
        file.read_exact_at(&mut crcs, footer.index_start + footer.index_len)?;
        if crc32fast::hash(&crcs) != footer.crcs_crc {
            return Err(Fault::Corrupt("the page checksums' checksum does not hold"));
        }
        let mut segment = Self {
            facts: footer.facts,
            bytes,
            path: path.to_owned(),
            names: Vec::new(),
            uid: NEXT_UID.fetch_add(1, Ordering::Relaxed),
            file,
            index_start: footer.index_start,
            index_len: footer.index_len,
            crcs: crcs.chunks_exact(4).map(|crc| u32_at(crc, 0)).collect(),
            sections: footer.sections,
            term_fences: Vec::new(),
            id_fences: Vec::new(),
            ids: Filter::default(),
            bad_blocks: Mutex::default(),
        };
        segment.load(shared)?;
        Ok(segment)
    }

    fn load(&mut self, shared: &Names) -> Result<(), Fault> {
        let fences = self.section(format::TERM_FENCES)?;
        self.term_fences = fences.chunks_exact(format::FENCE).map(|f| (u64_at(f, 0), u64_at(f, 8))).collect();
        let ids = self.section(format::IDS)?;
        let prefixes = || ids.chunks_exact(format::ID_ENTRY).map(|entry| u64_at(entry, 0));
        self.id_fences = prefixes().step_by(format::ID_FENCE_EVERY).collect();
        self.ids = Filter::of(ids.len() / format::ID_ENTRY, prefixes());
        let list = unpack(&self.section(format::NAMES)?).and_then(|json| names::decode(&json));
        let list = list.ok_or(Fault::Corrupt("the names cannot be read"))?;
        self.names = list.into_iter().filter_map(|name| shared.hold(name)).collect();
        Ok(())
    }

    /// Chunks.
    pub(crate) fn rows(&self) -> u32 {
        (self.sections[format::ROWS].1 / format::ROW as u64) as u32
    }

    /// Blocks.
    pub(crate) fn blocks(&self) -> u32 {
        (self.sections[format::BLOCKS].1 / format::BLOCK_ROW as u64) as u32
    }

    pub(crate) fn calls(&self) -> Result<Calls, Fault> {
        let packed = self.section(format::CALLS)?;
        unpack(&packed)
            .and_then(|json| Calls::decode(&json))
            .ok_or(Fault::Corrupt("the calls cannot be read"))
    }

    /// Adds what it holds of a trace, at most `max` pieces in all.
    pub(crate) fn collect(
        &self,
        id: TraceId,
        max: usize,
        cache: &BlockCache,
        out: &mut Vec<Piece>,
    ) -> Result<(), Fault> {
        let mut cursor = RowCursor::new(self);
        for ordinal in self.ordinals_of(id)? {
            let row = cursor.row(ordinal)?;
            if row.id != id {
                continue;
            }
            let mut pieces = self.chunk(&row, cache)?;
            pieces.truncate(max.saturating_sub(out.len()));
            out.append(&mut pieces);
            if out.len() >= max {
                break;
            }
        }
        Ok(())
    }

    /// Offers every trace with a span that matches.
    pub(crate) fn search(
        &self,
        plan: &Plan<'_>,
        cache: &BlockCache,
        newest: &mut Newest,
    ) -> Result<(), Fault> {
        let candidates: Box<dyn Iterator<Item = u32>> = match self.candidates(&plan.required)? {
            None => Box::new((0..self.rows()).rev()),
            Some(rows) => Box::new(rows.into_iter().rev()),
        };
        let mut cursor = RowCursor::new(self);
        let mut verifier = Verifier::new(plan);
        for ordinal in candidates {
            let row = cursor.row(ordinal)?;
            if !newest.wants(row.max_start) {
                break;
            }
            if plan.misses(row.min_start, row.max_start) || plan.duration_misses(row.shortest, row.longest) {
                continue;
            }
            for piece in self.chunk(&row, cache)? {
                if let Some(start) = verifier.start_if_holds(&piece, newest) {
                    newest.offer(row.id, start);
                }
            }
        }
        Ok(())
    }

    /// Rows that have all the terms, rising; none when there is no term to go by.
    fn candidates(&self, terms: &[Term]) -> Result<Option<Vec<u32>>, Fault> {
        let mut lists = Vec::with_capacity(terms.len());
        for &term in terms {
            match self.postings(term)? {
                Some(list) => lists.push(list),
                None => return Ok(Some(Vec::new())),
            }
        }
        lists.sort_unstable_by_key(Vec::len);
        let mut lists = lists.into_iter();
        let Some(mut common) = lists.next() else { return Ok(None) };
        for list in lists {
            let mut rest = list.as_slice();
            common.retain(|row| {
                let at = rest.partition_point(|other| other < row);
                rest = rest.get(at..).unwrap_or_default();
                rest.first() == Some(row)
            });
        }
        Ok(Some(common))
    }

    fn postings(&self, term: Term) -> Result<Option<Vec<u32>>, Fault> {
        let Some(group) = self.term_fences.partition_point(|fence| fence.0 <= term).checked_sub(1) else {
            return Ok(None);
        };
        let group = self.term_group(group)?;
        Ok(group.lists()?.find(|(other, _)| *other == term).map(|(_, packed)| unpack_rows(packed)))
    }

    /// A run of terms.
    pub(crate) fn term_group(&self, group: usize) -> Result<TermGroup, Fault> {
        let bad = || Fault::Corrupt("a group of terms cannot be read");
        let (_, from) = *self.term_fences.get(group).ok_or_else(bad)?;
        let to = self.term_fences.get(group + 1).map_or(self.sections[format::TERMS].1, |fence| fence.1);
        Ok(TermGroup(self.part(format::TERMS, from, to.checked_sub(from).ok_or_else(bad)?)?))
    }

    pub(crate) fn term_groups(&self) -> usize {
        self.term_fences.len()
    }

    fn ordinals_of(&self, id: TraceId) -> Result<Vec<u32>, Fault> {
        let wanted = format::prefix(id);
        if !self.ids.may_hold(wanted) {
            return Ok(Vec::new());
        }
        // The run of equal prefixes may begin in the page before the first fence that is equal.
        let first = self.id_fences.partition_point(|fence| *fence < wanted).saturating_sub(1);
        let last = self.id_fences.partition_point(|fence| *fence <= wanted);
        let step = (format::ID_ENTRY * format::ID_FENCE_EVERY) as u64;
        let (from, to) = (first as u64 * step, (last as u64 * step).min(self.sections[format::IDS].1));
        if last == 0 {
            return Ok(Vec::new());
        }
        let entries = self.part(format::IDS, from, to - from)?;
        let mine = entries.chunks_exact(format::ID_ENTRY).filter(|entry| u64_at(entry, 0) == wanted);
        Ok(mine.map(|entry| u32_at(entry, 8)).collect())
    }

    /// The items of a chunk; none when its block is damaged, which is said once.
    pub(crate) fn chunk(&self, row: &Row, cache: &BlockCache) -> Result<Vec<Piece>, Fault> {
        let block = match cache.get(self.uid, row.block) {
            Some(block) => block,
            None => match self.block(row.block) {
                Ok(block) => cache.put(self.uid, row.block, block),
                Err(Fault::Corrupt(what)) => {
                    self.say_bad(row.block, what);
                    return Ok(Vec::new());
                }
                Err(fault) => return Err(fault),
            },
        };
        block.chunk(row.offset, row.len)
    }

    fn say_bad(&self, block: u32, what: &str) {
        if self.bad_blocks.lock().unwrap_or_else(PoisonError::into_inner).insert(block) {
            tracing::error!(path = %self.path.display(), block, what, "a block is damaged: its spans are gone, the rest is served");
        }
    }

    /// Blocks found damaged so far.
    pub(crate) fn bad_blocks(&self) -> u64 {
        self.bad_blocks.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    fn block(&self, number: u32) -> Result<Block, Fault> {
        let (row, stored) = self.stored_block(number)?;
        if crc32fast::hash(&stored) != row.crc {
            return Err(Fault::Corrupt("a block's checksum does not hold"));
        }
        let raw =
            decompress(&stored, row.raw as usize).ok_or(Fault::Corrupt("a block does not decompress"))?;
        Block::read(Bytes::from(raw))
    }

    /// A block as it lies in the file, with its checksum, unchecked.
    pub(crate) fn stored_block(&self, number: u32) -> Result<(BlockRow, Vec<u8>), Fault> {
        let at = u64::from(number) * format::BLOCK_ROW as u64;
        let row = BlockRow::get(&self.part(format::BLOCKS, at, format::BLOCK_ROW as u64)?);
        if u64::from(row.stored) > self.index_start || u64::from(row.raw) > MAX_PART {
            return Err(Fault::Corrupt("a block does not fit the file"));
        }
        let mut stored = vec![0; row.stored as usize];
        self.file.read_exact_at(&mut stored, row.offset)?;
        Ok((row, stored))
    }

    fn section(&self, section: usize) -> Result<Vec<u8>, Fault> {
        let (_, len) = self.sections[section];
        self.part(section, 0, len)
    }

    /// Bytes of the index, their pages checked.
    fn part(&self, section: usize, at: u64, len: u64) -> Result<Vec<u8>, Fault> {
        let bad = || Fault::Corrupt("the index points outside itself");
        let (start, whole) = self.sections[section];
        if at.checked_add(len).is_none_or(|end| end > whole)
            || start + whole > self.index_len
            || len > MAX_PART
        {
            return Err(bad());
        }
        let (from, to) = (start + at, start + at + len);
        let first = from / PAGE as u64;
        let end = to.div_ceil(PAGE as u64).saturating_mul(PAGE as u64).min(self.index_len);
        let mut pages = vec![0; (end.max(from) - first * PAGE as u64) as usize];
        self.file.read_exact_at(&mut pages, self.index_start + first * PAGE as u64)?;
        for (page, crc) in pages.chunks(PAGE).zip(self.crcs.iter().skip(first as usize)) {
            if crc32fast::hash(page) != *crc {
                return Err(Fault::Corrupt("a page's checksum does not hold"));
            }
        }
        let skip = (from - first * PAGE as u64) as usize;
        pages.drain(..skip);
        pages.truncate(len as usize);
        Ok(pages)
    }
}

// === impl RowCursor ===

impl<'s> RowCursor<'s> {
    const ROWS: u64 = (PAGE / format::ROW) as u64;

    pub(crate) fn new(segment: &'s Segment) -> Self {
        Self { segment, from: u64::MAX, page: Vec::new() }
    }

    pub(crate) fn row(&mut self, ordinal: u32) -> Result<Row, Fault> {
        let from = u64::from(ordinal) / Self::ROWS * Self::ROWS;
        if from != self.from {
            let size = format::ROW as u64;
            let count = Self::ROWS.min(u64::from(self.segment.rows()).saturating_sub(from));
            self.page = self.segment.part(format::ROWS, from * size, count * size)?;
            self.from = from;
        }
        let at = (u64::from(ordinal) - from) as usize * format::ROW;
        self.page.get(at..at + format::ROW).map(Row::get).ok_or(Fault::Corrupt("a row is missing"))
    }
}

// === impl TermGroup ===

impl TermGroup {
    /// Each term, rising, with its packed rows.
    pub(crate) fn lists(&self) -> Result<impl Iterator<Item = (Term, &[u8])>, Fault> {
        let count = u32_at(&self.0, 0) as usize;
        let split = 4 + count * 12;
        let (Some(entries), Some(lists)) = (self.0.get(4..split), self.0.get(split..)) else {
            return Err(Fault::Corrupt("a group of terms cannot be read"));
        };
        let mut start = 0;
        Ok(entries.chunks_exact(12).map(move |entry| {
            let end = u32_at(entry, 8) as usize;
            let list = lists.get(start..end).unwrap_or_default();
            start = end;
            (u64_at(entry, 0), list)
        }))
    }
}

/// A decompressor is some 150 kB; making one for each block would cost as much as the block.
fn decompress(stored: &[u8], raw: usize) -> Option<Vec<u8>> {
    thread_local! {
        static ZSTD: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
    }
    ZSTD.with_borrow_mut(|zstd| {
        if zstd.is_none() {
            *zstd = zstd::bulk::Decompressor::new().ok();
        }
        zstd.as_mut()?.decompress(stored, raw).ok()
    })
}

fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    zstd::stream::decode_all(packed).ok()
}

/// Rows as the index packs them: varints, each the distance from the one before.
pub(crate) fn unpack_rows(mut packed: &[u8]) -> Vec<u32> {
    let mut rows = Vec::new();
    let mut last = 0_u32;
    while let Some(step) = take_varint(&mut packed) {
        last = last.wrapping_add(step as u32);
        rows.push(last);
    }
    rows
}

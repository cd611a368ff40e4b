//! Writing a segment file: blocks as they come, then the index in one pass.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::super::batch::Name;
use super::super::calls::Calls;
use super::super::terms::Term;
use super::super::wal::sync_dir;
use super::super::wire::put_varint;
use super::format::{self, BlockRow, Facts, Footer, PAGE, Row, SECTIONS};

/// zstd level of blocks: level 3 costs twice the time for a tenth of the space.
const LEVEL: i32 = 1;
/// Bytes at which a group of terms is closed.
const GROUP: usize = PAGE;

/// A segment being written, under a temporary name.
pub(crate) struct Output {
    file: BufWriter<File>,
    path: PathBuf,
    at: u64,
    blocks: Vec<BlockRow>,
    raw_bytes: u64,
    zstd: zstd::bulk::Compressor<'static>,
    done: bool,
}

/// Takes terms in rising order, each with the rows that have it.
pub(crate) struct TermSink<'o> {
    index: &'o mut Index,
    out: &'o mut BufWriter<File>,
    group: Vec<(Term, u32)>,
    postings: Vec<u8>,
    fences: Vec<u8>,
    start: u64,
}

/// The index region: it counts, and checksums every page.
struct Index {
    len: u64,
    page: crc32fast::Hasher,
    crcs: Vec<u8>,
}

// === impl Output ===

impl Output {
    /// Starts a file that will be `path`.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = File::create(path.with_extension("tmp"))?;
        let mut file = BufWriter::with_capacity(256 << 10, file);
        file.write_all(format::MAGIC)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            at: format::MAGIC.len() as u64,
            blocks: Vec::new(),
            raw_bytes: 0,
            zstd: zstd::bulk::Compressor::new(LEVEL)?,
            done: false,
        })
    }

    /// Number of blocks so far, which is the number of the next one.
    pub(crate) fn next_block(&self) -> u32 {
        self.blocks.len() as u32
    }

    /// Compresses and writes a block.
    pub(crate) fn block(&mut self, raw: &[u8]) -> io::Result<()> {
        let stored = self.zstd.compress(raw)?;
        self.stored_block(&stored, raw.len() as u32, crc32fast::hash(&stored))
    }

    /// Writes a block that is compressed already.
    pub(crate) fn stored_block(&mut self, stored: &[u8], raw: u32, crc: u32) -> io::Result<()> {
        self.file.write_all(stored)?;
        self.blocks.push(BlockRow { offset: self.at, stored: stored.len() as u32, raw, crc });
        self.at += stored.len() as u64;
        self.raw_bytes += u64::from(raw);
        Ok(())
    }

    /// Writes the index, makes the file durable and gives it its name.
    pub(crate) fn finish(
        mut self,
        mut facts: Facts,
        rows: &[Row],
        names: &[std::sync::Arc<Name>],
        calls: &Calls,
        terms: impl FnOnce(&mut TermSink<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut index = Index { len: 0, page: crc32fast::Hasher::new(), crcs: Vec::new() };
        let mut sections = [(0, 0); SECTIONS];
        facts.raw_bytes = self.raw_bytes;
        let mut sink = TermSink::new(&mut index, &mut self.file);
        terms(&mut sink)?;
        let fences = sink.finish()?;
        sections[format::TERMS] = (0, index.len);
        let tables = [
            (format::TERM_FENCES, fences),
            (format::BLOCKS, encode(&self.blocks, BlockRow::put)),
            (format::ROWS, encode(rows, Row::put)),
            (format::IDS, ids(rows)),
            (format::NAMES, zstd::bulk::compress(&super::super::names::encode(names), LEVEL)?),
            (format::CALLS, zstd::bulk::compress(&calls.encode(), LEVEL)?),
        ];
        for (section, bytes) in tables {
            sections[section] = (index.len, bytes.len() as u64);
            index.write(&mut self.file, &bytes)?;
        }
        index.close_page();
        let footer = Footer {
            facts,
            index_start: self.at,
            index_len: index.len,
            sections,
            crcs_crc: crc32fast::hash(&index.crcs),
        };
        self.file.write_all(&index.crcs)?;
        self.file.write_all(&footer.encode())?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        fs::rename(self.path.with_extension("tmp"), &self.path)?;
        self.done = true;
        sync_dir(self.path.parent().unwrap_or(Path::new(".")))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.done {
            // What is left of a failed attempt only takes space.
            let _ = fs::remove_file(self.path.with_extension("tmp"));
        }
    }
}

// === impl TermSink ===

impl<'o> TermSink<'o> {
    fn new(index: &'o mut Index, out: &'o mut BufWriter<File>) -> Self {
        Self { index, out, group: Vec::new(), postings: Vec::new(), fences: Vec::new(), start: 0 }
    }

    /// A term and the rows that have it, rising.
    pub(crate) fn term(&mut self, term: Term, rows: impl IntoIterator<Item = u32>) -> io::Result<()> {
        let mut last = 0;
        for row in rows {
            put_varint(&mut self.postings, u64::from(row - last));
            last = row;
        }
        self.group.push((term, self.postings.len() as u32));
        if self.group.len() * 12 + self.postings.len() >= GROUP { self.close_group() } else { Ok(()) }
    }

    fn close_group(&mut self) -> io::Result<()> {
        let Some(&(first, _)) = self.group.first() else { return Ok(()) };
        self.fences.extend(first.to_le_bytes());
        self.fences.extend(self.start.to_le_bytes());
        let mut head = (self.group.len() as u32).to_le_bytes().to_vec();
        for (term, end) in self.group.drain(..) {
            head.extend(term.to_le_bytes());
            head.extend(end.to_le_bytes());
        }
        self.index.write(self.out, &head)?;
        self.index.write(self.out, &self.postings)?;
        self.postings.clear();
        self.start = self.index.len;
        Ok(())
    }

    fn finish(mut self) -> io::Result<Vec<u8>> {
        self.close_group()?;
        Ok(self.fences)
    }
}

// === impl Index ===

impl Index {
    fn write(&mut self, out: &mut BufWriter<File>, mut bytes: &[u8]) -> io::Result<()> {
        out.write_all(bytes)?;
        while !bytes.is_empty() {
            let room = PAGE - (self.len % PAGE as u64) as usize;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.page.update(now);
            self.len += now.len() as u64;
            if now.len() == room {
                self.push_crc();
            }
            bytes = later;
        }
        Ok(())
    }

    fn close_page(&mut self) {
        if !self.len.is_multiple_of(PAGE as u64) {
            self.push_crc();
        }
    }

    fn push_crc(&mut self) {
        let crc = std::mem::take(&mut self.page).finalize();
        self.crcs.extend(crc.to_le_bytes());
    }
}

fn encode<T>(rows: &[T], put: impl Fn(&T, &mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    for row in rows {
        put(row, &mut out);
    }
    out
}

fn ids(rows: &[Row]) -> Vec<u8> {
    let mut ids: Vec<(u64, u32)> =
        rows.iter().zip(0..).map(|(row, ordinal)| (format::prefix(row.id), ordinal)).collect();
    ids.sort_unstable();
    let mut out = Vec::with_capacity(ids.len() * format::ID_ENTRY);
    for (prefix, ordinal) in ids {
        out.extend(prefix.to_le_bytes());
        out.extend(ordinal.to_le_bytes());
    }
    out
}

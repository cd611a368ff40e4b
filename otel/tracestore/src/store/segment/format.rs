//! Fixed-size parts of a segment file, all little-endian.

use std::io;

use super::super::options::StoreError;
use crate::model::TraceId;

pub(super) const MAGIC: &[u8; 8] = b"WBSEG1\0\0";
/// The index is checksummed by the page, so that a look-up reads and checks one.
pub(super) const PAGE: usize = 4096;
pub(super) const SECTIONS: usize = 7;
pub(super) const BLOCKS: usize = 0;
pub(super) const ROWS: usize = 1;
pub(super) const IDS: usize = 2;
pub(super) const TERMS: usize = 3;
pub(super) const TERM_FENCES: usize = 4;
pub(super) const NAMES: usize = 5;
pub(super) const CALLS: usize = 6;

pub(super) const BLOCK_ROW: usize = 20;
pub(super) const ROW: usize = 64;
pub(super) const ID_ENTRY: usize = 12;
pub(super) const FENCE: usize = 16;
/// Id entries between two that are kept in memory.
pub(super) const ID_FENCE_EVERY: usize = 256;
pub(super) const FOOTER: usize = 8 * (10 + 2 * SECTIONS) + 8 + 8;

/// Why a segment cannot answer.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Its bytes are not what was written.
    Corrupt(&'static str),
    /// It cannot be read or written.
    Io(io::Error),
}

/// Where a block lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockRow {
    pub(crate) offset: u64,
    pub(crate) stored: u32,
    pub(crate) raw: u32,
    pub(crate) crc: u32,
}

/// One chunk: spans of one trace that lie together. Rows are sorted by `max_start`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) id: TraceId,
    pub(crate) block: u32,
    pub(crate) offset: u32,
    pub(crate) len: u32,
    pub(crate) items: u32,
    pub(crate) min_start: u64,
    pub(crate) max_start: u64,
    pub(crate) shortest: u64,
    pub(crate) longest: u64,
}

/// What is known of a segment without looking into it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Facts {
    /// Numbers of the heads it was made of.
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) items: u64,
    /// Bytes in its blocks, uncompressed.
    pub(crate) raw_bytes: u64,
    pub(crate) min_start: u64,
    pub(crate) max_start: u64,
    pub(crate) min_arrived: u64,
    pub(crate) max_arrived: u64,
}

/// The end of the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Footer {
    pub(super) facts: Facts,
    pub(super) index_start: u64,
    pub(super) index_len: u64,
    /// Offset in the index and length of each section.
    pub(super) sections: [(u64, u64); SECTIONS],
    pub(super) crcs_crc: u32,
}

// === impl Fault ===

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::Corrupt("the file is too short")
        } else {
            Self::Io(error)
        }
    }
}

impl Fault {
    pub(crate) fn into_error(self, action: &'static str, path: &std::path::Path) -> StoreError {
        match self {
            Self::Corrupt(what) => {
                StoreError::io(action, path)(io::Error::new(io::ErrorKind::InvalidData, what))
            }
            Self::Io(error) => StoreError::io(action, path)(error),
        }
    }
}

// === impl BlockRow ===

impl BlockRow {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.offset.to_le_bytes());
        out.extend(self.stored.to_le_bytes());
        out.extend(self.raw.to_le_bytes());
        out.extend(self.crc.to_le_bytes());
    }

    pub(super) fn get(bytes: &[u8]) -> Self {
        Self {
            offset: u64_at(bytes, 0),
            stored: u32_at(bytes, 8),
            raw: u32_at(bytes, 12),
            crc: u32_at(bytes, 16),
        }
    }
}

// === impl Row ===

impl Row {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.id.0);
        for word in [self.block, self.offset, self.len, self.items] {
            out.extend(word.to_le_bytes());
        }
        for word in [self.min_start, self.max_start, self.shortest, self.longest] {
            out.extend(word.to_le_bytes());
        }
    }

    pub(super) fn get(bytes: &[u8]) -> Self {
        let mut id = [0; 16];
        id.copy_from_slice(bytes.get(..16).unwrap_or(&[0; 16]));
        Self {
            id: TraceId(id),
            block: u32_at(bytes, 16),
            offset: u32_at(bytes, 20),
            len: u32_at(bytes, 24),
            items: u32_at(bytes, 28),
            min_start: u64_at(bytes, 32),
            max_start: u64_at(bytes, 40),
            shortest: u64_at(bytes, 48),
            longest: u64_at(bytes, 56),
        }
    }
}

// === impl Footer ===

impl Footer {
    pub(super) fn encode(&self) -> Vec<u8> {
        let f = &self.facts;
        let mut out = Vec::with_capacity(FOOTER);
        let head =
            [f.first, f.last, f.items, f.raw_bytes, f.min_start, f.max_start, f.min_arrived, f.max_arrived];
        for word in head.into_iter().chain([self.index_start, self.index_len]) {
            out.extend(word.to_le_bytes());
        }
        for (offset, len) in self.sections {
            out.extend(offset.to_le_bytes());
            out.extend(len.to_le_bytes());
        }
        out.extend(self.crcs_crc.to_le_bytes());
        let check = crc32fast::hash(&out);
        out.extend(check.to_le_bytes());
        out.extend(MAGIC);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let body = bytes.get(..FOOTER - 12).ok_or(Fault::Corrupt("the file is too short"))?;
        if !bytes.ends_with(MAGIC) || crc32fast::hash(body) != u32_at(bytes, FOOTER - 12) {
            return Err(Fault::Corrupt("the footer's checksum does not hold"));
        }
        let word = |i: usize| u64_at(bytes, i * 8);
        Ok(Self {
            facts: Facts {
                first: word(0),
                last: word(1),
                items: word(2),
                raw_bytes: word(3),
                min_start: word(4),
                max_start: word(5),
                min_arrived: word(6),
                max_arrived: word(7),
            },
            index_start: word(8),
            index_len: word(9),
            sections: std::array::from_fn(|i| (word(10 + 2 * i), word(11 + 2 * i))),
            crcs_crc: u32_at(bytes, FOOTER - 16),
        })
    }
}

/// The first half of an id, for sorting and searching.
pub(super) fn prefix(id: TraceId) -> u64 {
    let mut half = [0; 8];
    half.copy_from_slice(&id.0[..8]);
    u64::from_be_bytes(half) ^ id.0.iter().skip(8).fold(0, |sum, &b| (sum << 8) | u64::from(b))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

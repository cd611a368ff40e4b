//! Immutable files: traces in compressed blocks, a table of them, and what finds them by id and by term.
//!
//! Layout: magic · blocks · index (sections, checksummed by the 4 KiB page) · page checksums · footer. A file appears
//! under its name only when it is whole and durable, and never changes after.

mod block;
mod filter;
mod format;
mod reader;
mod writer;

pub(crate) use block::{Block, BlockBuilder};
pub(crate) use format::{Facts, Fault, Row};
pub(crate) use reader::{RowCursor, Segment, unpack_rows};
pub(crate) use writer::{Output, TermSink};

use std::path::{Path, PathBuf};

/// The file of heads `first` to `last`.
pub(crate) fn path_of(dir: &Path, first: u64, last: u64) -> PathBuf {
    dir.join(format!("seg-{first:012}-{last:012}.seg"))
}

/// The head numbers in a file's name.
pub(crate) fn numbers_in(name: &str) -> Option<(u64, u64)> {
    let (first, last) = name.strip_prefix("seg-")?.strip_suffix(".seg")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

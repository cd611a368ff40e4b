//! Opening a signal's folder: what an earlier process left is read back, damage is set aside.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::batch::{Batch, Signal};
use super::head::{Head, Names};
use super::options::StoreError;
use super::segment::{self, Fault, Segment};
use super::wal::{self, Wal};

/// What a folder held.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// Oldest first.
    pub(crate) segments: Vec<Arc<Segment>>,
    /// Heads from the logs, oldest first; the last one is active and its log goes on.
    pub(crate) heads: Vec<Arc<Head>>,
    pub(crate) wal: Wal,
    /// Files or records set aside.
    pub(crate) set_aside: u64,
}

/// Reads a folder back.
pub(crate) fn recover(signal: Signal, dir: &Path, names: &Names) -> Result<Recovered, StoreError> {
    fs::create_dir_all(dir).map_err(StoreError::io("make the folder", dir))?;
    let mut set_aside = 0;
    for (_, leftover) in numbered(dir, |name| name.ends_with(".tmp").then_some(()))? {
        fs::remove_file(&leftover).map_err(StoreError::io("remove", &leftover))?;
    }
    let segments = open_segments(dir, names, &mut set_aside)?;
    let mut logs = numbered(dir, Wal::number_in)?;
    logs.sort_unstable();
    let mut highest = segments.last().map_or(0, |segment| segment.facts.last);
    let mut heads = Vec::new();
    let mut last = None;
    for (number, path) in logs {
        highest = highest.max(number);
        if segments.iter().any(|s| (s.facts.first..=s.facts.last).contains(&number)) {
            // The segment was complete when the process ended; only the log's removal was missing.
            fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
            continue;
        }
        if Wal::is_stillborn(&path).map_err(StoreError::io("read", &path))? {
            fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
            continue;
        }
        let head = Arc::new(Head::new(number));
        if let Some(good) = replay_into(signal, &path, &head, names, &mut set_aside)? {
            last = Some((path, good));
            heads.push(head);
        }
    }
    // Only the newest log goes on, and only if no segment has come after it.
    let wal = match last.filter(|_| heads.last().is_some_and(|head| head.number == highest)) {
        Some((path, good)) => Wal::resume(&path, good).map_err(StoreError::io("go on with", path))?,
        None => {
            heads.push(Arc::new(Head::new(highest + 1)));
            Wal::create(dir, highest + 1).map_err(StoreError::io("make a write-ahead log in", dir))?
        }
    };
    Ok(Recovered { segments, heads, wal, set_aside })
}

/// Opens all segments, oldest first. Damaged ones are set aside; those that a merge has replaced are removed.
fn open_segments(dir: &Path, names: &Names, set_aside: &mut u64) -> Result<Vec<Arc<Segment>>, StoreError> {
    let mut found = Vec::new();
    for ((first, last), path) in numbered(dir, segment::numbers_in)? {
        match Segment::open(&path, names) {
            Ok(open) if (open.facts.first, open.facts.last) == (first, last) => found.push(Arc::new(open)),
            Ok(_) | Err(Fault::Corrupt(_)) => {
                put_aside(&path)?;
                *set_aside += 1;
            }
            Err(fault) => return Err(fault.into_error("open", &path)),
        }
    }
    found.sort_unstable_by_key(|s| (s.facts.first, std::cmp::Reverse(s.facts.last)));
    let mut kept: Vec<Arc<Segment>> = Vec::new();
    for segment in found {
        if kept.last().is_some_and(|whole| segment.facts.last <= whole.facts.last) {
            fs::remove_file(&segment.path).map_err(StoreError::io("remove", &segment.path))?;
        } else {
            kept.push(segment);
        }
    }
    Ok(kept)
}

/// Fills a head from its log; none when the file was no log and was set aside.
fn replay_into(
    signal: Signal,
    path: &Path,
    head: &Head,
    names: &Names,
    set_aside: &mut u64,
) -> Result<Option<u64>, StoreError> {
    let found = wal::replay(path, |request, arrived| match Batch::read(signal, request, arrived) {
        Ok(batch) => head.publish(batch, names),
        Err(bad) => {
            tracing::error!(path = %path.display(), reason = bad.0, "a logged request cannot be read and is left out")
        }
    });
    let found = match found {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            put_aside(path)?;
            *set_aside += 1;
            return Ok(None);
        }
        Err(error) => return Err(StoreError::io("read", path)(error)),
    };
    if found.corrupt > 0 {
        let copy = path.with_extension("log.corrupt");
        tracing::error!(path = %path.display(), bytes = found.corrupt, copy = %copy.display(),
            "the write-ahead log is damaged: those bytes are skipped, the rest is kept, a copy is set aside");
        fs::copy(path, &copy).map_err(StoreError::io("copy", path))?;
        *set_aside += 1;
    }
    if found.torn > 0 {
        tracing::warn!(path = %path.display(), bytes = found.torn,
            "the write-ahead log ends in the middle of a record that was never acknowledged: cut");
    }
    Ok(Some(found.good))
}

/// Renames a file out of the way, so that it is neither served nor lost.
pub(crate) fn put_aside(path: &Path) -> Result<(), StoreError> {
    let mut to = path.as_os_str().to_owned();
    to.push(".corrupt");
    tracing::error!(path = %path.display(), "the file is damaged and set aside, with .corrupt at the end of its name");
    fs::rename(path, PathBuf::from(to)).map_err(StoreError::io("set aside", path))
}

/// Files of a folder whose names carry a number, by that number.
pub(crate) fn numbered<N>(
    dir: &Path,
    number_in: impl Fn(&str) -> Option<N>,
) -> Result<Vec<(N, PathBuf)>, StoreError> {
    let entries = fs::read_dir(dir).map_err(StoreError::io("list", dir))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(StoreError::io("list", dir))?;
        if let Some(number) = entry.file_name().to_str().and_then(&number_in) {
            found.push((number, entry.path()));
        }
    }
    Ok(found)
}

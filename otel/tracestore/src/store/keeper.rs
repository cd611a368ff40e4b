//! The background thread: full heads become segments, segments are merged, old ones go.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use super::head::Head;
use super::merge::Merge;
use super::now_ns;
use super::options::{Options, StoreError};
use super::seal::seal;
use super::segment::{self, Fault, Segment};
use super::shelf::Shelf;
use super::wal::{self, Wal};
use super::writer::Job;

/// Time between two looks when nothing happens.
const PAUSE: Duration = Duration::from_secs(1);
/// And at least this.
const BREATH: Duration = Duration::from_millis(5);
/// Time between two attempts after a failure.
const RETRY: Duration = Duration::from_millis(500);

/// Keeps both signals' shelves.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) options: Options,
    pub(crate) shelves: Vec<(Arc<Shelf>, Sender<Job>)>,
}

// === impl Keeper ===

impl Keeper {
    /// Runs until the store is closed. What is not sealed then is in the logs.
    pub(crate) fn run(self) {
        let mut last_merge_failure: Option<Instant> = None;
        while !self.stopping() {
            let tickets: Vec<u64> = self.shelves.iter().map(|(shelf, _)| shelf.turn.ticket()).collect();
            let mut worked = false;
            for (shelf, jobs) in &self.shelves {
                worked |= seal_oldest(shelf);
                rotate_old(shelf, jobs);
            }
            self.retain();
            if !worked && last_merge_failure.is_none_or(|at| at.elapsed() > Duration::from_secs(60)) {
                for (shelf, _) in &self.shelves {
                    match merge_one(shelf) {
                        Ok(merged) => worked |= merged,
                        Err(()) => last_merge_failure = Some(Instant::now()),
                    }
                }
            }
            if let (false, Some((shelf, _)), Some(ticket)) = (worked, self.shelves.first(), tickets.first()) {
                shelf.turn.wait(*ticket, self.options.head_age.clamp(BREATH, PAUSE));
            }
        }
    }

    fn stopping(&self) -> bool {
        self.shelves.iter().any(|(shelf, _)| shelf.stopping.load(Ordering::SeqCst))
    }

    /// Removes what is too old, then the oldest while all is too large.
    fn retain(&self) {
        let age = u64::try_from(self.options.retention_age.as_nanos()).unwrap_or(u64::MAX);
        let limit = now_ns().saturating_sub(age);
        for (shelf, _) in &self.shelves {
            for old in shelf.view().segments.iter().filter(|segment| segment.facts.max_arrived < limit) {
                remove(shelf, old, "older than the retention time");
            }
        }
        loop {
            let all = self.shelves.iter().flat_map(|(shelf, _)| {
                shelf.view().segments.into_iter().map(move |segment| (shelf, segment))
            });
            let all: Vec<_> = all.collect();
            if all.iter().map(|(_, segment)| segment.bytes).sum::<u64>() <= self.options.retention_bytes {
                return;
            }
            let Some((shelf, oldest)) = all.iter().min_by_key(|(_, segment)| segment.facts.max_arrived)
            else {
                return;
            };
            remove(shelf, oldest, "more bytes than may be kept");
        }
    }
}

fn remove(shelf: &Shelf, segment: &Arc<Segment>, why: &str) {
    shelf.change(|view| view.segments.retain(|other| !Arc::ptr_eq(other, segment)));
    tracing::info!(path = %segment.path.display(), why, "segment removed");
    if let Err(error) = fs::remove_file(&segment.path) {
        tracing::warn!(%error, path = %segment.path.display(), "cannot remove a segment, it comes back on the next start");
    }
}

/// Has the writer start a new head when the present one has been open for long.
fn rotate_old(shelf: &Shelf, jobs: &Sender<Job>) {
    let age = u64::try_from(shelf.options.head_age.as_nanos()).unwrap_or(u64::MAX);
    let old = |head: &Head| head.first_arrival().is_some_and(|at| now_ns().saturating_sub(at) > age);
    if old(&shelf.active()) {
        // The writer being gone means that the store is closing.
        let _ = jobs.send(Job::Rotate);
    }
}

fn seal_oldest(shelf: &Shelf) -> bool {
    let Some(head) = shelf.view().sealing.first().cloned() else { return false };
    match try_seal(shelf, &head) {
        Ok(segment) => {
            shelf.seal_failure(None);
            shelf.change(|view| {
                view.sealing.retain(|other| !Arc::ptr_eq(other, &head));
                view.segments.extend(segment.map(Arc::new));
            });
            let log = Wal::path_of(&shelf.dir, head.number);
            if let Err(error) = fs::remove_file(&log) {
                tracing::warn!(%error, path = %log.display(), "cannot remove a log whose segment is complete");
            }
            true
        }
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot write a segment, trying again; nothing is lost"
            );
            shelf.seal_failure(Some(error));
            shelf.turn.wait(shelf.turn.ticket(), RETRY);
            false
        }
    }
}

fn try_seal(shelf: &Shelf, head: &Head) -> Result<Option<Segment>, StoreError> {
    if head.items() == 0 {
        return Ok(None);
    }
    let path = segment::path_of(&shelf.dir, head.number, head.number);
    seal(shelf.signal, head, head.number, head.number, &path).map_err(StoreError::io("write", &shelf.dir))?;
    // Read back before the log goes: a segment that cannot be opened must not replace it.
    let open = Segment::open(&path, &shelf.names).map_err(|fault| fault.into_error("read back", &path))?;
    Ok(Some(open))
}

/// Merges one run of segments; whether there was one.
fn merge_one(shelf: &Shelf) -> Result<bool, ()> {
    let Some(merge) = Merge::find(&shelf.view().segments, &shelf.options) else { return Ok(false) };
    let (first, last) = merge.range();
    let path = segment::path_of(&shelf.dir, first, last);
    let written = merge
        .write(shelf.signal, &shelf.names, &path)
        .and_then(|()| Segment::open(&path, &shelf.names).map_err(|fault| (None, fault)));
    match written {
        Ok(merged) => {
            let merged = Arc::new(merged);
            let gone = |segment: &Arc<Segment>| merge.inputs.iter().any(|input| Arc::ptr_eq(input, segment));
            shelf.change(|view| {
                let at = view.segments.iter().position(gone).unwrap_or(view.segments.len());
                view.segments.retain(|segment| !gone(segment));
                view.segments.insert(at, merged);
            });
            for input in &merge.inputs {
                // Of a damaged one not everything was merged.
                let gone = if input.bad_blocks() > 0 {
                    super::recover::put_aside(&input.path).map_err(|_| std::io::ErrorKind::Other.into())
                } else {
                    fs::remove_file(&input.path)
                };
                if let Err(error) = gone {
                    tracing::warn!(%error, path = %input.path.display(), "cannot remove a merged segment");
                }
            }
            if let Err(error) = wal::sync_dir(&shelf.dir) {
                tracing::warn!(%error, "cannot sync the folder after a merge");
            }
            Ok(true)
        }
        Err((Some(index), Fault::Corrupt(what))) => {
            if let Some(damaged) = merge.inputs.get(index) {
                shelf.put_aside(damaged, what);
            }
            Ok(true)
        }
        Err((_, fault)) => {
            let error = fault.into_error("merge segments into", &path);
            tracing::warn!(error = &error as &dyn std::error::Error, "a merge failed, trying again later");
            Err(())
        }
    }
}

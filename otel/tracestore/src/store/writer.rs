//! The one thread that writes a signal's log: it takes all requests that wait, writes and syncs them together, makes them
//! visible, then lets their callers go.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::batch::Batch;
use super::head::Head;
use super::options::{StoreError, SyncMode};
use super::shelf::Shelf;
use super::wal::Wal;

/// Requests written with one sync, in bytes.
const GROUP_BYTES: usize = 8 << 20;

/// Full heads that may wait for the keeper.
const MAX_SEALING: usize = 2;

/// A request on its way to the log.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) batch: Batch,
    pub(crate) record: Vec<u8>,
    pub(crate) reply: oneshot::Sender<Result<(), StoreError>>,
    /// Its share of [`super::Options::inflight_bytes`], given back when it is done.
    pub(crate) _share: OwnedSemaphorePermit,
}

/// What the writer is asked to do.
#[derive(Debug)]
pub(crate) enum Job {
    Append(Box<Append>),
    /// Start a new head if the present one holds anything.
    Rotate,
    /// Write what came before, sync, and end.
    Stop,
}

/// The writer's own state.
#[derive(Debug)]
pub(crate) struct Writer {
    shelf: Arc<Shelf>,
    wal: Wal,
    jobs: Receiver<Job>,
    unsynced_since: Option<Instant>,
}

// === impl Writer ===

impl Writer {
    pub(crate) fn new(shelf: Arc<Shelf>, wal: Wal, jobs: Receiver<Job>) -> Self {
        Self { shelf, wal, jobs, unsynced_since: None }
    }

    /// Runs until told to stop, or until nobody can ask any more.
    pub(crate) fn run(mut self) {
        loop {
            let first = match self.wait() {
                Ok(Job::Append(first)) => first,
                Ok(Job::Rotate) => {
                    self.rotate_if_possible();
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => continue,
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            };
            let mut bytes = first.record.len();
            let mut group = vec![*first];
            let mut stop = false;
            while bytes < GROUP_BYTES {
                match self.jobs.try_recv() {
                    Ok(Job::Append(next)) => {
                        bytes += next.record.len();
                        group.push(*next);
                    }
                    // The keeper asks again.
                    Ok(Job::Rotate) => {}
                    Ok(Job::Stop) => {
                        stop = true;
                        break;
                    }
                    Err(_) => break,
                }
            }
            self.write(group);
            if stop {
                break;
            }
        }
        self.sync();
    }

    fn wait(&mut self) -> Result<Job, RecvTimeoutError> {
        let (Some(since), SyncMode::Every(every)) = (self.unsynced_since, self.shelf.options.sync) else {
            return self.jobs.recv().map_err(|_| RecvTimeoutError::Disconnected);
        };
        let left = every.saturating_sub(since.elapsed());
        if left == Duration::ZERO {
            self.sync();
            return Err(RecvTimeoutError::Timeout);
        }
        self.jobs.recv_timeout(left)
    }

    fn sync(&mut self) {
        if self.unsynced_since.take().is_some()
            && let Err(error) = self.wal.sync()
        {
            tracing::error!(%error, path = %self.wal.path().display(), "cannot sync the write-ahead log");
        }
    }

    fn write(&mut self, mut group: Vec<Append>) {
        if let Err(error) = self.make_room() {
            self.refuse(group, &error);
            return;
        }
        let records: Vec<Vec<u8>> =
            group.iter_mut().map(|append| std::mem::take(&mut append.record)).collect();
        let sync = self.shelf.options.sync == SyncMode::Always;
        match self.wal.append(&records, sync) {
            Ok(()) => {
                if !sync {
                    self.unsynced_since.get_or_insert_with(Instant::now);
                }
                let head = self.shelf.active();
                for append in group {
                    head.publish(append.batch, &self.shelf.names);
                    // Nobody listens when the caller went away; what it sent is kept all the same.
                    let _ = append.reply.send(Ok(()));
                }
            }
            Err(error) => self.refuse(group, &StoreError::io("write", &self.shelf.dir)(error)),
        }
    }

    /// Sees to it that the active head can take more: a full one is handed to the keeper, at most two wait there.
    fn make_room(&mut self) -> Result<(), StoreError> {
        let full = |shelf: &Shelf| shelf.active().memory() >= shelf.options.head_bytes;
        if !full(&self.shelf) {
            return Ok(());
        }
        let until = Instant::now() + self.shelf.options.patience;
        loop {
            let ticket = self.shelf.turn.ticket();
            if self.shelf.waiting() < MAX_SEALING {
                return self.rotate();
            }
            let left = until.saturating_duration_since(Instant::now());
            if left == Duration::ZERO || self.shelf.stopping.load(Ordering::SeqCst) {
                return Err(self.shelf.why_no_room());
            }
            self.shelf.turn.wait(ticket, left);
        }
    }

    fn rotate(&mut self) -> Result<(), StoreError> {
        self.sync();
        let number = self.shelf.active().number + 1;
        self.wal = Wal::create(&self.shelf.dir, number).map_err(StoreError::io("write", &self.shelf.dir))?;
        let fresh = Arc::new(Head::new(number));
        self.shelf.change(|view| {
            let full = std::mem::replace(&mut view.active, fresh);
            view.sealing.push(full);
        });
        Ok(())
    }

    fn rotate_if_possible(&mut self) {
        if self.shelf.active().items() > 0
            && self.shelf.waiting() < MAX_SEALING
            && let Err(error) = self.rotate()
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot start a new log, going on with the old one"
            );
        }
    }

    fn refuse(&self, group: Vec<Append>, error: &StoreError) {
        tracing::warn!(error = error as &dyn std::error::Error, path = %self.wal.path().display(),
            requests = group.len(), "requests refused");
        self.shelf.refused.fetch_add(group.len() as u64, Ordering::Relaxed);
        for append in group {
            let _ = append.reply.send(Err(error.clone()));
        }
    }
}

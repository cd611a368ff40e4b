//! The store: what it acknowledges is in a write-ahead log, what it searches is in memory or in immutable segments.
//!
//! A request is checked and walked, written to the log, made visible, then acknowledged. A full head becomes a segment in
//! the background; only when the segment is durable does its log go. Spans and logs are kept alike, side by side.

mod assemble;
mod batch;
mod cache;
mod calls;
mod dependencies;
mod head;
mod keeper;
mod lock;
#[doc(hidden)]
pub mod measure;
mod merge;
mod names;
mod options;
mod plan;
mod record;
mod recover;
mod seal;
mod segment;
mod shelf;
mod span;
mod terms;
mod value;
mod wal;
mod wire;
mod writer;

pub use options::{Appended, Options, Stats, StoreError, SyncMode};

use bytes::Bytes;
use opentelemetry_proto::tonic::logs::v1::ResourceLogs;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Semaphore, oneshot};

use crate::model::{Dependency, Operation, Query, Trace, TraceId};
use batch::{Batch, Name, Signal};
use cache::BlockCache;
use head::{Head, Names};
use keeper::Keeper;
use lock::DirLock;
use plan::Plan;
use shelf::{Shelf, Turn, View};
use writer::{Append, Job, Writer};

/// Requests larger than this are walked off the async threads.
const WALK_INLINE: usize = 256 << 10;

/// Durable spans and logs. Cheap to clone; the last clone's drop ends the background threads.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: Options,
    spans: Desk,
    logs: Desk,
    keeper: Mutex<Option<JoinHandle<()>>>,
    _lock: DirLock,
}

/// What both signals share.
#[derive(Debug)]
struct Shared {
    names: Arc<Names>,
    cache: Arc<BlockCache>,
    turn: Arc<Turn>,
}

/// A shelf and the way to its writer.
#[derive(Debug)]
struct Desk {
    shelf: Arc<Shelf>,
    jobs: Sender<Job>,
    room: Arc<Semaphore>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

// === impl Store ===

impl Store {
    /// Opens a folder, made when missing. Blocking: it reads the logs of an earlier process back.
    ///
    /// # Errors
    /// When another process has it open, or the folder cannot be read or written.
    pub fn open(options: Options) -> Result<Self, StoreError> {
        let lock = DirLock::take(&options.dir)?;
        let shared = Shared {
            names: Arc::default(),
            cache: Arc::new(BlockCache::new(options.cache_bytes)),
            turn: Arc::default(),
        };
        let spans = Desk::open(Signal::Spans, &options, &shared)?;
        let logs = Desk::open(Signal::Logs, &options, &shared)?;
        let shelves = [&spans, &logs].map(|desk| (Arc::clone(&desk.shelf), desk.jobs.clone())).to_vec();
        let keeper = Keeper { options: options.clone(), shelves };
        let keeper = spawn("store-keeper", &spans.shelf, move || keeper.run())?;
        Ok(Self(Arc::new(Inner { options, spans, logs, keeper: Mutex::new(Some(keeper)), _lock: lock })))
    }

    /// Keeps the spans of an `ExportTraceServiceRequest`; returns once they are in the log and can be found.
    /// Spans whose ids OTLP does not allow are left out and counted.
    ///
    /// # Errors
    /// [`StoreError::Malformed`], [`StoreError::TooLarge`]: do not send it again. [`StoreError::Busy`],
    /// [`StoreError::Full`]: nothing of it is kept, send it again. [`StoreError::Closed`], [`StoreError::Io`].
    pub async fn append_spans(&self, request: Bytes) -> Result<Appended, StoreError> {
        self.0.append(&self.0.spans, request).await
    }

    /// Keeps the records of an `ExportLogsServiceRequest`, as [`Store::append_spans`] does spans.
    ///
    /// # Errors
    /// As [`Store::append_spans`].
    pub async fn append_logs(&self, request: Bytes) -> Result<Appended, StoreError> {
        self.0.append(&self.0.logs, request).await
    }

    /// All that is held of a trace. Blocking.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn trace(&self, id: TraceId) -> Result<Option<Trace>, StoreError> {
        Ok(self.0.trace(id, self.0.options.answer_spans)?.map(|(trace, _)| trace))
    }

    /// The traces with a span that satisfies the query, those with the latest such span first. Blocking.
    /// The answer ends early at [`Options::find_limit`] traces or [`Options::answer_spans`] spans.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn find(&self, query: &Query) -> Result<Vec<Trace>, StoreError> {
        let plan = Plan::new(query);
        if plan.impossible() {
            return Ok(Vec::new());
        }
        let ids = self.0.spans.shelf.search(&plan, query.limit.min(self.0.options.find_limit))?;
        let mut left = self.0.options.answer_spans;
        let mut found = Vec::new();
        for id in ids {
            // A trace that retention removed since is simply not there.
            let Some((trace, pieces)) = self.0.trace(id, left)? else {
                continue;
            };
            found.push(trace);
            left = left.saturating_sub(pieces);
            if left == 0 {
                break;
            }
        }
        Ok(found)
    }

    /// Services that have spans, sorted.
    #[must_use]
    pub fn services(&self) -> Vec<String> {
        let services: BTreeSet<String> = self.0.names().map(|name| name.service.to_string()).collect();
        services.into_iter().collect()
    }

    /// Span names of a service, sorted; the same name once for each kind it was seen with.
    #[must_use]
    pub fn operations(&self, service: &str) -> Vec<Operation> {
        let mine = self.0.names().filter(|name| &*name.service == service);
        let operations: BTreeSet<Operation> = mine.map(|name| name.operation.clone()).collect();
        operations.into_iter().collect()
    }

    /// Calls between services by spans that start within the range (both ends inclusive, Unix nanoseconds). Blocking.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn dependencies(&self, from_ns: u64, to_ns: u64) -> Result<Vec<Dependency>, StoreError> {
        dependencies::between(&self.0.spans.shelf, from_ns, to_ns)
    }

    /// Log records of a trace, at most `limit`, oldest arrival first. Blocking.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn logs(&self, id: TraceId, limit: usize) -> Result<Vec<ResourceLogs>, StoreError> {
        let max = limit.min(self.0.options.answer_spans);
        let mut pieces = assemble::distinct(self.0.logs.shelf.collect(id, self.0.options.answer_spans)?);
        pieces.truncate(max);
        Ok(assemble::logs(pieces))
    }

    /// What is held.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        for desk in [&self.0.spans, &self.0.logs] {
            desk.shelf.add_stats(&mut stats);
        }
        stats
    }

    /// Largest request that is taken, uncompressed.
    #[must_use]
    pub fn request_limit(&self) -> usize {
        self.0.options.request_bytes
    }

    /// Ends it: what was taken is written and synced, later calls hear [`StoreError::Closed`]. Blocking.
    pub fn close(self) {
        self.0.close();
    }
}

// === impl Inner ===

impl Inner {
    async fn append(&self, desk: &Desk, request: Bytes) -> Result<Appended, StoreError> {
        let limit = self.options.request_bytes;
        if request.len() > limit {
            return Err(StoreError::TooLarge { bytes: request.len(), limit });
        }
        let share = desk.share(request.len(), &self.options).await?;
        let signal = desk.shelf.signal;
        let work = move || prepare(signal, request);
        // Walking half a megabyte takes about a millisecond; more than that would hold up everyone else.
        let (batch, record) = if share.num_permits() > WALK_INLINE {
            tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)??
        } else {
            work()?
        };
        let mut appended = Appended { accepted: batch.items.len(), rejected: batch.rejected, reason: None };
        if batch.rejected > 0 {
            appended.reason = Some(unusable(signal).to_owned());
        }
        if batch.items.is_empty() {
            return Ok(appended);
        }
        let (reply, done) = oneshot::channel();
        let append = Box::new(Append { batch, record, reply, _share: share });
        desk.jobs.send(Job::Append(append)).map_err(|_| StoreError::Closed)?;
        done.await.map_err(|_| StoreError::Closed)??;
        Ok(appended)
    }

    fn trace(&self, id: TraceId, max: usize) -> Result<Option<(Trace, usize)>, StoreError> {
        let pieces = self.spans.shelf.collect(id, max)?;
        if pieces.is_empty() {
            return Ok(None);
        }
        if pieces.len() >= max {
            tracing::warn!(trace_id = %hex::encode(id.0), spans = max, "the trace is cut at the limit for one answer");
        }
        let count = pieces.len();
        Ok(Some((Trace { id, resource_spans: assemble::spans(pieces) }, count)))
    }

    fn close(&self) {
        self.spans.close();
        self.logs.close();
        join(&self.keeper);
    }

    fn names(&self) -> impl Iterator<Item = Arc<Name>> {
        self.spans.shelf.names()
    }
}

fn prepare(signal: Signal, request: Bytes) -> Result<(Batch, Vec<u8>), StoreError> {
    let arrived = now_ns();
    let batch =
        Batch::read(signal, request, arrived).map_err(|bad| StoreError::Malformed(bad.0.to_owned()))?;
    if batch.items.is_empty() {
        return if batch.rejected > 0 {
            Err(StoreError::Malformed(unusable(signal).to_owned()))
        } else {
            Ok((batch, Vec::new()))
        };
    }
    let record = wal::record(&batch.raw, arrived);
    Ok((batch, record))
}

fn unusable(signal: Signal) -> &'static str {
    match signal {
        Signal::Spans => {
            "spans with a trace id that is not 16 bytes, or a span id that is not 8, or one that is all zero"
        }
        Signal::Logs => "log records with a trace id that is not 16 bytes or a span id that is not 8",
    }
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

// === impl Desk ===

impl Desk {
    fn open(signal: Signal, options: &Options, shared: &Shared) -> Result<Self, StoreError> {
        let dir = options.dir.join(match signal {
            Signal::Spans => "spans",
            Signal::Logs => "logs",
        });
        let mut recovered = recover::recover(signal, &dir, &shared.names)?;
        let active = recovered.heads.pop().unwrap_or_else(|| Arc::new(Head::new(1)));
        let view = View { segments: recovered.segments, sealing: recovered.heads, active };
        let shelf = Arc::new(Shelf::new(signal, dir, options.clone(), shared, view));
        shelf.set_aside.store(recovered.set_aside, Ordering::Relaxed);
        let (jobs, queue) = mpsc::channel();
        let writer = Writer::new(Arc::clone(&shelf), recovered.wal, queue);
        let writer = Mutex::new(Some(spawn("store-writer", &shelf, move || writer.run())?));
        let room = Arc::new(Semaphore::new(options.inflight_bytes.min(Semaphore::MAX_PERMITS)));
        Ok(Self { shelf, jobs, room, writer })
    }

    /// Waits for room among the requests under way.
    async fn share(
        &self,
        bytes: usize,
        options: &Options,
    ) -> Result<tokio::sync::OwnedSemaphorePermit, StoreError> {
        // A request larger than all the room takes all of it.
        let wanted = u32::try_from(bytes.clamp(1, options.inflight_bytes.max(1))).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(wanted);
        match tokio::time::timeout(options.patience, room).await {
            Ok(share) => share.map_err(|_| StoreError::Closed),
            Err(_) => {
                self.shelf.refused.fetch_add(1, Ordering::Relaxed);
                Err(StoreError::Busy)
            }
        }
    }

    fn close(&self) {
        self.room.close();
        let _ = self.jobs.send(Job::Stop);
        self.shelf.stop();
        join(&self.writer);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

fn join(thread: &Mutex<Option<JoinHandle<()>>>) {
    let thread = thread.lock().unwrap_or_else(PoisonError::into_inner).take();
    if thread.is_some_and(|thread| thread.join().is_err()) {
        tracing::error!("a store thread panicked");
    }
}

fn spawn(
    name: &str,
    shelf: &Shelf,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, StoreError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(StoreError::io("start a thread for", &shelf.dir))
}

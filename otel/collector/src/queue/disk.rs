//! The durable side of a queue: one thread writes all requests that wait for it as one group, then answers them.
//!
//! A request is acknowledged after `write(2)`: it survives the process's death, `kill -9` included. With `fsync: true` (a
//! key of `file_storage`, off by default as upstream) the group is also forced onto the disk before it is acknowledged.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::segment::{self, Found, Segment};
use super::{Entry, Shared};
use crate::Error;
use crate::pipeline::Refusal;

/// A segment is closed at this size.
const SEGMENT_BYTES: u64 = 8 << 20;
/// One whose requests are all settled is replaced at this size already.
const WORN_BYTES: u64 = 1 << 20;
/// Requests written as one group at most.
const GROUP: usize = 256;

/// A handle of a queue's files.
#[derive(Clone)]
pub(crate) struct Store(Arc<Inner>);

struct Inner {
    commands: mpsc::Sender<Command>,
    writer: Mutex<Option<JoinHandle<()>>>,
    recovered: Mutex<Vec<(u32, Location)>>,
}

/// Where a request is.
#[derive(Clone)]
pub(crate) struct Location {
    segment: u64,
    record: u32,
    offset: u64,
    pub(crate) length: u32,
    file: Arc<File>,
}

enum Command {
    Append { entry: Entry, shared: Arc<Shared>, written: oneshot::Sender<Result<(), Refusal>> },
    Settle { segment: u64, record: u32 },
    Stop,
}

/// What the writer's thread owns.
struct Writer {
    folder: PathBuf,
    fsync: bool,
    /// Segments with open requests; the last one is appended to.
    segments: BTreeMap<u64, Segment>,
    active: Option<(u64, Arc<File>)>,
    next: u64,
    /// The last write failed: said once, and segments are given back as soon as they can be.
    failing: bool,
    /// Held while the folder is in use, so that two collectors cannot share it.
    _lock: File,
}

// === impl Store ===

impl Store {
    /// Opens the queue in `folder`, creating it if need be.
    ///
    /// # Errors
    /// [`Error::Storage`] when the folder cannot be used, or another process uses it.
    pub(crate) fn open(folder: &Path, fsync: bool) -> Result<Self, Error> {
        let fail = |source| Error::Storage { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(fail)?;
        let lock = File::create(folder.join("lock")).map_err(fail)?;
        lock.try_lock()
            .map_err(|_| fail(io::Error::new(io::ErrorKind::ResourceBusy, "another collector uses it")))?;
        let mut writer = Writer {
            folder: folder.to_owned(),
            fsync,
            segments: BTreeMap::new(),
            active: None,
            next: 0,
            failing: false,
            _lock: lock,
        };
        let recovered = writer.recover().map_err(fail)?;
        let (commands, inbox) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("queue-writer".into())
            .spawn(move || writer.run(&inbox))
            .map_err(fail)?;
        if !recovered.is_empty() {
            tracing::info!(folder = %folder.display(), requests = recovered.len(), "requests from before are in the queue");
        }
        Ok(Self(Arc::new(Inner {
            commands,
            writer: Mutex::new(Some(thread)),
            recovered: Mutex::new(recovered),
        })))
    }

    /// What was in the queue when it was opened, oldest first; given once.
    pub(crate) fn recovered(&self) -> Vec<(u32, Location)> {
        std::mem::take(&mut self.0.recovered.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes `entry`, then adds it to `shared`. The entry gets there even when the caller goes away meanwhile.
    pub(crate) async fn append(&self, entry: Entry, shared: Arc<Shared>) -> Result<(), Refusal> {
        let (written, done) = oneshot::channel();
        let gone = || Refusal::busy("the sending queue's storage is closed");
        self.0.commands.send(Command::Append { entry, shared, written }).map_err(|_| gone())?;
        done.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Reads a request back.
    pub(crate) fn read(&self, location: &Location) -> io::Result<Bytes> {
        segment::read(&location.file, location.offset, location.length)
    }

    /// Notes that a request need not be sent again.
    pub(crate) fn settle(&self, location: &Location) {
        // Without its writer the note is lost and the request is sent once more after the next start.
        let _ = self.0.commands.send(Command::Settle { segment: location.segment, record: location.record });
    }

    /// Writes what is under way and ends the thread.
    pub(crate) fn stop(&self) {
        let _ = self.0.commands.send(Command::Stop);
        let thread = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the queue's writer panicked");
        }
    }
}

// === impl Location ===

impl Location {
    fn new(segment: u64, found: Found, file: &Arc<File>) -> Self {
        Self { segment, record: found.record, offset: found.offset, length: found.length, file: file.clone() }
    }
}

// === impl Writer ===

impl Writer {
    /// Opens all segments; returns their open requests in order.
    fn recover(&mut self) -> io::Result<Vec<(u32, Location)>> {
        let mut numbers = Vec::new();
        for file in fs::read_dir(&self.folder)? {
            let path = file?.path();
            let number = path.file_stem().and_then(|stem| u64::from_str_radix(stem.to_str()?, 16).ok());
            match (number, path.extension().and_then(|extension| extension.to_str())) {
                (Some(number), Some("segment")) => numbers.push((number, path)),
                (Some(_), Some("settled")) if !path.with_extension("segment").exists() => {
                    fs::remove_file(path)?
                }
                _ => {}
            }
        }
        numbers.sort();
        let mut recovered = Vec::new();
        for (number, path) in numbers {
            self.next = self.next.max(number + 1);
            match Segment::open(&path) {
                Ok((segment, _)) if segment.open == 0 => segment.delete()?,
                Ok((segment, found)) => {
                    let file = Arc::new(segment.reader()?);
                    recovered.extend(
                        found.into_iter().map(|found| (found.items, Location::new(number, found, &file))),
                    );
                    self.segments.insert(number, segment);
                }
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
                {
                    let aside = path.with_extension("damaged");
                    tracing::error!(file = %path.display(), aside = %aside.display(), "a queue file is damaged and was set aside");
                    fs::rename(&path, aside)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(recovered)
    }

    fn run(mut self, inbox: &mpsc::Receiver<Command>) {
        while let Ok(first) = inbox.recv() {
            let mut written = Vec::new();
            let mut settled: HashMap<u64, Vec<u32>> = HashMap::new();
            let mut stop = false;
            for command in std::iter::once(first).chain(inbox.try_iter()).take(GROUP) {
                match command {
                    Command::Append { entry, shared, written: reply } => match self.append(&entry) {
                        Ok((location, found)) => written.push((entry, location, found, shared, reply)),
                        Err(error) => refuse(&error, reply),
                    },
                    Command::Settle { segment, record } => settled.entry(segment).or_default().push(record),
                    Command::Stop => stop = true,
                }
            }
            let synced = if self.fsync && !written.is_empty() { self.sync() } else { Ok(()) };
            match synced {
                Ok(()) => {
                    for (mut entry, location, _, shared, reply) in written {
                        entry.location = Some(location);
                        shared.push(entry);
                        let _ = reply.send(Ok(()));
                    }
                }
                Err(error) => {
                    for (_, location, found, _, reply) in written.into_iter().rev() {
                        self.take_back(location.segment, &found);
                        refuse(&error, reply);
                    }
                }
            }
            self.settle(settled);
            if stop {
                return;
            }
        }
    }

    /// Appends an entry; where there is no room, a segment without open requests makes some.
    fn append(&mut self, entry: &Entry) -> io::Result<(Location, Found)> {
        let first = self.try_append(entry);
        let worn = self.active_segment().is_some_and(|segment| segment.open == 0);
        let outcome = match first {
            Err(_) if worn => {
                self.retire_active();
                self.try_append(entry)
            }
            outcome => outcome,
        };
        match &outcome {
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::error!(%error, folder = %self.folder.display(), "the sending queue cannot be written, refusing data");
            }
            Ok(_) if self.failing => {
                self.failing = false;
                tracing::info!(folder = %self.folder.display(), "the sending queue can be written again");
            }
            _ => {}
        }
        outcome
    }

    fn try_append(&mut self, entry: &Entry) -> io::Result<(Location, Found)> {
        if self.active_segment().is_none_or(|segment| segment.end >= SEGMENT_BYTES) {
            // What was waiting in the closed segment is on disk by the time its successor's requests are acknowledged.
            if self.fsync {
                self.sync()?;
            }
            let segment = Segment::create(&self.folder, self.next)?;
            let file = Arc::new(segment.reader()?);
            if self.fsync {
                File::open(&self.folder)?.sync_all()?;
            }
            self.active = Some((self.next, file));
            self.segments.insert(self.next, segment);
            self.next += 1;
        }
        let missing = || io::Error::other("no active segment");
        let (number, file) = self.active.as_ref().ok_or_else(missing)?;
        let segment = self.segments.get_mut(number).ok_or_else(missing)?;
        let items = u32::try_from(entry.items).unwrap_or(u32::MAX);
        let found = segment.append(items, &entry.parts)?;
        Ok((Location::new(*number, found, file), found))
    }

    fn active_segment(&self) -> Option<&Segment> {
        self.active.as_ref().and_then(|(number, _)| self.segments.get(number))
    }

    fn retire_active(&mut self) {
        if let Some((number, _)) = self.active.take() {
            self.delete(number);
        }
    }

    fn delete(&mut self, number: u64) {
        if let Some(segment) = self.segments.remove(&number)
            && let Err(error) = segment.delete()
        {
            tracing::warn!(%error, folder = %self.folder.display(), "a finished queue file could not be deleted");
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.active_segment().map_or(Ok(()), Segment::sync)
    }

    fn take_back(&mut self, segment: u64, found: &Found) {
        if let Some(segment) = self.segments.get_mut(&segment) {
            segment.undo(found);
        }
    }

    fn settle(&mut self, settled: HashMap<u64, Vec<u32>>) {
        for (number, records) in settled {
            let Some(segment) = self.segments.get_mut(&number) else { continue };
            if let Err(error) = segment.settle(&records) {
                // The request is sent once more after a restart: a duplicate, not a loss.
                tracing::warn!(%error, folder = %self.folder.display(), "a settled request could not be noted");
            }
            let active = self.active.as_ref().is_some_and(|(active, _)| *active == number);
            if segment.open > 0 || (active && segment.end < WORN_BYTES) {
                continue;
            }
            if active {
                self.active = None;
            }
            self.delete(number);
        }
    }
}

fn refuse(error: &io::Error, reply: oneshot::Sender<Result<(), Refusal>>) {
    let _ = reply.send(Err(Refusal::busy(format!("the sending queue cannot be written: {}", error.kind()))));
}

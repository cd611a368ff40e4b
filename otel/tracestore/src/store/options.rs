//! How a store is opened, and what can go wrong with it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// When what was written is forced to the disk. A killed process loses nothing in any mode; this is about power cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// Before every acknowledgement; requests that arrive together share one.
    Always,
    /// This long after a write at the latest; a power cut can lose so much.
    Every(Duration),
}

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its folder; made when missing, used by one process at a time.
    pub dir: PathBuf,
    /// Segments whose newest item arrived longer ago are removed. Default 7 days.
    pub retention_age: Duration,
    /// While all segments (spans and logs together) are larger, the oldest is removed. Default 10 GiB.
    pub retention_bytes: u64,
    /// Memory that a head may take before it becomes a segment. Two exist at most per signal. Default 32 MiB.
    pub head_bytes: usize,
    /// Age at which a head becomes a segment though it is small. Default 5 min.
    pub head_age: Duration,
    /// Requests taken and not yet written, in bytes; beyond it callers wait, then hear [`StoreError::Busy`]. Default 32 MiB.
    pub inflight_bytes: usize,
    /// How long a caller waits for its turn. Default 2 s.
    pub patience: Duration,
    /// Largest request, uncompressed. Default 64 MiB.
    pub request_bytes: usize,
    /// Forcing to disk. Default [`SyncMode::Always`].
    pub sync: SyncMode,
    /// Uncompressed blocks kept for readers. Default 4 MiB.
    pub cache_bytes: usize,
    /// Most traces that a search answers with, whatever it asks for. Default 1,500.
    pub find_limit: usize,
    /// Most spans of one trace, and of one search in all, that an answer holds. Default 200,000.
    pub answer_spans: usize,
}

impl Options {
    /// The defaults, in this folder.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), ..Self::default() }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("data/tracestore"),
            retention_age: Duration::from_secs(7 * 24 * 3600),
            retention_bytes: 10 << 30,
            head_bytes: 32 << 20,
            head_age: Duration::from_secs(300),
            inflight_bytes: 32 << 20,
            patience: Duration::from_secs(2),
            request_bytes: 64 << 20,
            sync: SyncMode::Always,
            cache_bytes: 4 << 20,
            find_limit: 1_500,
            answer_spans: 200_000,
        }
    }
}

/// What a store cannot do, and why.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The request is not the protobuf message it should be, or nothing in it is usable. Sending it again is useless.
    #[error("the request is not usable: {0}")]
    Malformed(String),
    /// The request is larger than [`Options::request_bytes`].
    #[error("the request has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Its size, uncompressed.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// More arrives than can be written; try again.
    #[error("the store is busy, try again")]
    Busy,
    /// No space is left; it goes on by itself when there is.
    #[error("no space left in {}", dir.display())]
    Full {
        /// The store's folder.
        dir: PathBuf,
    },
    /// Another process has the folder open.
    #[error("{} is in use by another process; stop it or choose another folder", dir.display())]
    Locked {
        /// The store's folder.
        dir: PathBuf,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The operating system refused something.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: Arc<io::Error>,
    },
}

impl StoreError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::Full { dir: path }
            }
            _ => Self::Io { action, path, source: Arc::new(source) },
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Appended {
    /// Spans or log records kept.
    pub accepted: usize,
    /// Spans or log records left out.
    pub rejected: usize,
    /// Why, when some were.
    pub reason: Option<String>,
}

/// What a store holds and has done since it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Spans held.
    pub spans: u64,
    /// Log records held.
    pub logs: u64,
    /// Segment files.
    pub segments: usize,
    /// Bytes in segment files.
    pub segment_bytes: u64,
    /// Bytes of memory that heads take.
    pub head_bytes: usize,
    /// Requests refused because the store was busy or full.
    pub refused: u64,
    /// Files or records set aside because they were damaged.
    pub set_aside: u64,
}

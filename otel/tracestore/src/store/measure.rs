//! Steps of the store by themselves, for `benches/`. No part of the public face.

use bytes::Bytes;
use std::io;
use std::path::Path;

use super::batch::{Batch, Signal};
use super::head::{Head, Names};
use super::{seal, wal};

/// Checks and walks an `ExportTraceServiceRequest`; the number of its spans.
#[must_use]
pub fn walk(request: Bytes) -> usize {
    Batch::read(Signal::Spans, request, 1).map_or(0, |batch| batch.items.len())
}

/// Encodes a request as a record of the log; its size.
#[must_use]
pub fn record(request: &[u8]) -> usize {
    wal::record(request, 1).len()
}

/// A full head, ready to become a segment.
#[derive(Debug)]
pub struct FullHead(Head);

// === impl FullHead ===

impl FullHead {
    /// A head of these requests.
    #[must_use]
    pub fn of(requests: &[Bytes]) -> Self {
        let (head, names) = (Head::new(1), Names::default());
        for request in requests {
            if let Ok(batch) = Batch::read(Signal::Spans, request.clone(), 1) {
                head.publish(batch, &names);
            }
        }
        Self(head)
    }

    /// Writes it as a segment.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn seal(&self, path: &Path) -> io::Result<()> {
        seal::seal(Signal::Spans, &self.0, 1, 1, path)
    }
}

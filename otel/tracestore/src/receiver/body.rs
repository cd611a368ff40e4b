//! Receiving a body within limits: its size, the bytes held by all requests together, and how slowly it may come.

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::fault::Fault;

/// Longest pause between two pieces of a body.
const PAUSE: Duration = Duration::from_secs(15);
/// Room made for a body before it comes, whatever length is announced.
const FIRST: usize = 1 << 20;

/// Bytes that all requests together may hold.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    used: Arc<AtomicUsize>,
    most: usize,
}

/// A request's share of the budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Budget,
    bytes: usize,
}

// === impl Budget ===

impl Budget {
    pub(super) fn new(most: usize) -> Self {
        Self { used: Arc::default(), most }
    }

    pub(super) fn share(&self) -> Share {
        Share { budget: self.clone(), bytes: 0 }
    }
}

// === impl Share ===

impl Share {
    /// Takes more. A request that is alone may take whatever its own limit allows.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Fault> {
        let used = self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        if used + bytes <= self.budget.most || used + bytes == self.bytes {
            return Ok(());
        }
        Err(Fault::busy("too much is being received at once, try again"))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Reads a whole body of at most `most` bytes. `length` tells from its first bytes how long it will be, if that can be told.
pub(super) async fn collect<B>(
    body: B,
    length: impl Fn(&[u8]) -> Option<usize>,
    most: usize,
    share: &mut Share,
) -> Result<Bytes, Fault>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let mut body = body;
    let mut whole: Option<BytesMut> = None;
    let mut first = Bytes::new();
    let mut received = 0;
    loop {
        let frame = tokio::time::timeout(PAUSE, body.frame()).await.map_err(|_| Fault::slow())?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| Fault::malformed(format!("the body breaks off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        received += data.remaining();
        if received > most {
            return Err(Fault::too_large(most));
        }
        share.grow(data.len())?;
        match &mut whole {
            Some(whole) => whole.extend_from_slice(&data),
            None if first.is_empty() => {
                first = data;
                if length(&first).is_some_and(|length| length > most) {
                    return Err(Fault::too_large(most));
                }
            }
            None => {
                // Announcing much must not by itself take much.
                let room = length(&first).unwrap_or(0).min(FIRST).max(received);
                let mut start = BytesMut::with_capacity(room);
                start.extend_from_slice(&first);
                start.extend_from_slice(&data);
                whole = Some(start);
            }
        }
    }
    Ok(whole.map_or(first, BytesMut::freeze))
}

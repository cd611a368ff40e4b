//! Guards a request's body while it arrives: a deadline for all of it, and a budget that all requests share, so that
//! neither a trickle nor a flood of half-sent requests holds memory.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::HeaderMap;
use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes that requests may hold together while they are being read.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Semaphore>);

/// What went wrong with a body.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the request's body did not arrive in time")]
    TooSlow,
    #[error("too much data is being received at once, try again")]
    Overloaded,
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the request broke off")]
    Broken(#[source] hyper::Error),
}

/// A body under guard. What it took from the budget is given back when it is dropped, which is after the handler has
/// passed the request on.
pub(crate) struct Guarded {
    inner: Incoming,
    deadline: Pin<Box<Sleep>>,
    budget: Budget,
    held: Option<OwnedSemaphorePermit>,
}

// === impl Budget ===

impl Budget {
    /// A budget of `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// Takes `bytes`, or nothing when they are not there.
    pub(crate) fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, BodyError> {
        let bytes = u32::try_from(bytes).map_err(|_| BodyError::Overloaded)?;
        self.0.clone().try_acquire_many_owned(bytes).map_err(|_| BodyError::Overloaded)
    }
}

// === impl Guarded ===

impl Guarded {
    pub(crate) fn new(inner: Incoming, timeout: Duration, budget: Budget) -> Self {
        // A zero time-out means none, as upstream; a day is as good as none and keeps one code path.
        let timeout = if timeout.is_zero() { Duration::from_secs(86_400) } else { timeout };
        Self { inner, deadline: Box::pin(sleep_until(Instant::now() + timeout)), budget, held: None }
    }

    /// Reads the whole body, at most `limit` bytes. The permits come with it.
    pub(crate) async fn collect(
        mut self,
        limit: usize,
    ) -> Result<(Bytes, Option<OwnedSemaphorePermit>), BodyError> {
        if self.size_hint().lower() > limit as u64 {
            return Err(BodyError::TooLarge(limit));
        }
        let mut pieces: Vec<Bytes> = Vec::new();
        let mut total = 0;
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut self).poll_frame(cx)).await {
            let Ok(data) = frame?.into_data() else { continue };
            total += data.remaining();
            if total > limit {
                return Err(BodyError::TooLarge(limit));
            }
            pieces.push(data);
        }
        let bytes = match pieces.len() {
            0 => Bytes::new(),
            1 => pieces.remove(0),
            _ => pieces.concat().into(),
        };
        Ok((bytes, self.held.take()))
    }
}

impl Body for Guarded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref()
                    && !data.is_empty()
                {
                    let more = self.budget.take(data.len())?;
                    match &mut self.held {
                        Some(held) => held.merge(more),
                        none => *none = Some(more),
                    }
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(BodyError::Broken(error)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => match self.deadline.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Some(Err(BodyError::TooSlow))),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The value of a header, where it is text.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

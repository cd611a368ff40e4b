//! The sending queue in front of an exporter: bounded, and either in memory or on disk. What it took it hands out until
//! it is settled; what is not settled stays on disk for the next start.

pub(crate) mod disk;
mod segment;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use crate::config::{QueueConfig, Sizer};
use crate::pipeline::{Batch, Refusal, Signal};
use disk::{Location, Store};

/// Payloads of a durable queue that are also kept in memory, so that a queue which keeps up never reads its files.
const CACHED_BYTES: u64 = 8 << 20;

/// A bounded queue of requests.
pub(crate) struct Queue {
    signal: Signal,
    capacity: u64,
    sizer: Sizer,
    block: bool,
    wait: bool,
    shared: Arc<Shared>,
    store: Option<Store>,
}

/// What the queue, its tickets and its writer share.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Units in use: waiting or being sent.
    used: AtomicU64,
    arrived: Notify,
    freed: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Entry>,
    cached: u64,
    closed: bool,
}

/// A request in the queue.
pub(crate) struct Entry {
    items: u64,
    parts: Vec<Bytes>,
    location: Option<Location>,
    reserved: Reserved,
    result: Option<oneshot::Sender<Result<(), Refusal>>>,
}

/// Room taken in the queue; given back when dropped.
pub(crate) struct Reserved {
    shared: Arc<Shared>,
    units: u64,
}

/// A request handed out. Dropped without [`Handed::settle`], it stays in the store for the next start.
pub(crate) struct Handed {
    /// The request.
    pub(crate) batch: Batch,
    location: Option<Location>,
    store: Option<Store>,
    result: Option<oneshot::Sender<Result<(), Refusal>>>,
    _reserved: Reserved,
}

// === impl Queue ===

impl Queue {
    /// A queue as configured; `store` makes it durable and may already hold requests from before.
    pub(crate) fn new(signal: Signal, config: &QueueConfig, store: Option<Store>) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            used: AtomicU64::new(0),
            arrived: Notify::new(),
            freed: Notify::new(),
        });
        let queue = Self {
            signal,
            capacity: config.size,
            sizer: config.sizer,
            block: config.block_on_overflow,
            wait: config.wait_for_result,
            shared,
            store,
        };
        if let Some(store) = &queue.store {
            for (items, location) in store.recovered() {
                let units = queue.units(u64::from(items), u64::from(location.length));
                queue.shared.used.fetch_add(units, Ordering::AcqRel);
                let reserved = Reserved { shared: queue.shared.clone(), units };
                let entry = Entry {
                    items: items.into(),
                    parts: Vec::new(),
                    location: Some(location),
                    reserved,
                    result: None,
                };
                queue.shared.push(entry);
            }
        }
        queue
    }

    /// Units in use.
    pub(crate) fn size(&self) -> u64 {
        self.shared.used.load(Ordering::Acquire)
    }

    /// Takes `batch`. A durable queue has written it to its file when this returns.
    ///
    /// # Errors
    /// Busy when the queue is full or closed, or its file cannot be written; the export's result when callers wait for it.
    pub(crate) async fn push(&self, batch: Batch) -> Result<(), Refusal> {
        let units = self.units(batch.items, batch.bytes());
        let reserved = self.reserve(units).await?;
        let (result, outcome) = if self.wait { Some(oneshot::channel()).unzip() } else { (None, None) };
        let entry = Entry { items: batch.items, parts: batch.parts, location: None, reserved, result };
        match &self.store {
            Some(store) => store.append(entry, self.shared.clone()).await?,
            None => self.shared.push(entry),
        }
        match outcome {
            Some(outcome) => {
                outcome.await.unwrap_or_else(|_| Err(Refusal::busy("the collector is shutting down")))
            }
            None => Ok(()),
        }
    }

    /// The next request; `None` once the queue is closed and empty.
    pub(crate) async fn pop(&self) -> Option<Handed> {
        loop {
            let arrived = self.shared.arrived.notified();
            if let Some(entry) = self.shared.take() {
                if let Some(handed) = self.hand_out(entry) {
                    return Some(handed);
                }
                continue;
            }
            if self.shared.lock().closed {
                return None;
            }
            arrived.await;
        }
    }

    /// Takes no more; [`Queue::pop`] ends when all is handed out.
    pub(crate) fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.arrived.notify_waiters();
        self.shared.arrived.notify_one();
        self.shared.freed.notify_waiters();
    }

    /// Ends the store's writer and frees its directory; returns what is left in a queue that is not durable.
    pub(crate) fn finish(&self) -> u64 {
        if let Some(store) = &self.store {
            store.stop();
            return 0;
        }
        self.shared.lock().waiting.iter().map(|entry| entry.items).sum()
    }

    fn units(&self, items: u64, bytes: u64) -> u64 {
        match self.sizer {
            Sizer::Requests => 1,
            Sizer::Items => items,
            Sizer::Bytes => bytes,
        }
    }

    async fn reserve(&self, units: u64) -> Result<Reserved, Refusal> {
        loop {
            let freed = self.shared.freed.notified();
            if self.shared.lock().closed {
                return Err(Refusal::busy("the collector is shutting down"));
            }
            let fit = |used: u64| used.checked_add(units).filter(|sum| *sum <= self.capacity);
            if self.shared.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fit).is_ok() {
                return Ok(Reserved { shared: self.shared.clone(), units });
            }
            if !self.block || units > self.capacity {
                return Err(Refusal::busy("sending queue is full"));
            }
            freed.await;
        }
    }

    fn hand_out(&self, entry: Entry) -> Option<Handed> {
        let Entry { items, mut parts, location, reserved, result } = entry;
        if parts.is_empty()
            && let (Some(location), Some(store)) = (&location, &self.store)
        {
            match store.read(location) {
                Ok(bytes) => parts = vec![bytes],
                Err(error) => {
                    tracing::error!(items, %error, "a queued request could not be read back and is lost");
                    store.settle(location);
                    return None;
                }
            }
        }
        let batch = Batch { signal: self.signal, items, parts };
        Some(Handed { batch, location, store: self.store.clone(), result, _reserved: reserved })
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an entry; a durable one may leave its payload on disk.
    pub(crate) fn push(&self, mut entry: Entry) {
        let mut state = self.lock();
        if entry.location.is_some() {
            let bytes = entry.bytes();
            if state.cached + bytes > CACHED_BYTES {
                entry.parts = Vec::new();
            } else {
                state.cached += bytes;
            }
        }
        state.waiting.push_back(entry);
        drop(state);
        self.arrived.notify_one();
    }

    fn take(&self) -> Option<Entry> {
        let mut state = self.lock();
        let entry = state.waiting.pop_front()?;
        if entry.location.is_some() {
            state.cached = state.cached.saturating_sub(entry.bytes());
        }
        Some(entry)
    }
}

// === impl Entry ===

impl Entry {
    fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.len() as u64).sum()
    }
}

// === impl Handed ===

impl Handed {
    /// Ends the request's stay: it was delivered, or given up for good.
    pub(crate) fn settle(mut self, outcome: Result<(), Refusal>) {
        if let (Some(store), Some(location)) = (&self.store, &self.location) {
            store.settle(location);
        }
        if let Some(result) = self.result.take() {
            let _ = result.send(outcome);
        }
    }
}

// === impl Reserved ===

impl Drop for Reserved {
    fn drop(&mut self) {
        self.shared.used.fetch_sub(self.units, Ordering::AcqRel);
        self.shared.freed.notify_waiters();
    }
}

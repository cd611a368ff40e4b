//! The bounded queue between the threads that end spans and the one that sends them.

use crate::stats::{Counters, Drop};
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;

/// Items in batches as they will be sent. `capacity` counts everything that was not acknowledged or given up yet, so
/// that a receiver that is away cannot make the process grow.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    capacity: usize,
    batch: usize,
    pub(super) counters: &'static Counters,
    /// Wakes the worker when a batch is full.
    pub(super) full: Notify,
}

#[derive(Debug)]
struct State<T> {
    /// Full batches, oldest first, then the one that is being filled.
    batches: VecDeque<Batch<T>>,
    /// Items in `batches` and under way.
    held: usize,
    closed: bool,
}

/// What is sent at once.
#[derive(Debug)]
pub(super) struct Batch<T> {
    pub(super) items: Vec<T>,
    /// When its first item came.
    pub(super) born: Instant,
}

// === impl Queue ===

impl<T> Queue<T> {
    pub(crate) fn new(capacity: usize, batch: usize, counters: &'static Counters) -> Self {
        let state = State { batches: VecDeque::new(), held: 0, closed: false };
        Self { state: Mutex::new(state), capacity, batch, counters, full: Notify::new() }
    }

    /// Takes an item, or drops it and counts that. Never blocks for longer than a push takes.
    pub(crate) fn push(&self, item: T) {
        let mut state = self.lock();
        if state.closed {
            self.counters.drop(Drop::Shutdown, 1);
            return;
        }
        if state.held >= self.capacity {
            drop(state);
            self.counters.drop(Drop::QueueFull, 1);
            return;
        }
        state.held += 1;
        let complete = match state.batches.back_mut() {
            Some(open) if open.items.len() < self.batch => {
                open.items.push(item);
                open.items.len() == self.batch
            }
            _ => {
                let mut items = Vec::with_capacity(self.batch.min(512));
                items.push(item);
                state.batches.push_back(Batch { items, born: Instant::now() });
                self.batch == 1
            }
        };
        drop(state);
        self.counters.queued.fetch_add(1, Ordering::Relaxed);
        if complete {
            self.full.notify_one();
        }
    }

    /// The oldest batch; unless `partial` only a full one.
    pub(super) fn pop(&self, partial: bool) -> Option<Batch<T>> {
        let mut state = self.lock();
        let ready = state.batches.front().is_some_and(|batch| partial || batch.items.len() >= self.batch);
        if ready { state.batches.pop_front() } else { None }
    }

    /// When the oldest item came.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.lock().batches.front().map(|batch| batch.born)
    }

    /// A batch that was popped is dealt with.
    pub(super) fn release(&self, items: usize) {
        self.lock().held -= items;
        self.counters.queued.fetch_sub(items as u64, Ordering::Relaxed);
    }

    /// Takes nothing more; what comes from now on is counted as dropped.
    pub(super) fn close(&self) {
        self.lock().closed = true;
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static COUNTERS: std::sync::LazyLock<&'static Counters> = std::sync::LazyLock::new(crate::stats::logs);

    #[test]
    fn what_is_under_way_counts_against_the_bound_until_it_is_released() {
        let queue = Queue::new(3, 2, *COUNTERS);
        (0..5).for_each(|i| queue.push(i));
        let first = queue.pop(false).unwrap();
        assert_eq!(first.items, [0, 1]);
        assert!(queue.pop(false).is_none(), "the second batch is not full");
        queue.push(9);
        assert_eq!(queue.pop(true).unwrap().items, [2], "9 had no room");
        queue.release(3);
        queue.push(10);
        assert_eq!(queue.pop(true).unwrap().items, [10]);
        queue.release(1);
    }
}

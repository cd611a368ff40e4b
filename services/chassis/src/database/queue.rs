//! Transactions of this process that want the same key, one after the other and in order of arrival. The lock that counts is
//! the database's, which other processes ask for too; whoever would wait for that one waits with a connection in hand, and a
//! pool of them is soon empty. Here waiting costs nothing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OwnedMutexGuard;

/// The keys that somebody has or waits for. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue(Arc<Mutex<HashMap<String, Turn>>>);

type Turn = Arc<tokio::sync::Mutex<()>>;

/// The front of the queue for one key; given up when dropped.
#[derive(Debug)]
pub(super) struct Place {
    turn: Option<OwnedMutexGuard<()>>,
    _waiting: Waiting,
}

/// Removes the key when nobody has it or waits for it any more, whether the wait came to an end or was cut.
#[derive(Debug)]
struct Waiting {
    queue: Queue,
    key: String,
    turn: Turn,
}

// === impl Queue ===

impl Queue {
    /// Waits for its turn.
    pub(super) async fn wait(&self, key: &str) -> Place {
        let turn = self.lock().entry(key.to_owned()).or_default().clone();
        let waiting = Waiting { queue: self.clone(), key: key.to_owned(), turn };
        let turn = waiting.turn.clone().lock_owned().await;
        Place { turn: Some(turn), _waiting: waiting }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Turn>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Before the key is forgotten, so that it counts as nobody's.
        self.turn = None;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut keys = self.queue.lock();
        // The table's and this one.
        if Arc::strong_count(&self.turn) == 2 {
            keys.remove(&self.key);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn one_key_is_one_at_a_time_and_is_forgotten_when_nobody_wants_it() {
        let queue = Queue::default();
        let first = queue.wait("a").await;
        let _other = queue.wait("b").await;
        let mut second = Box::pin(queue.wait("a"));
        assert!(second.as_mut().now_or_never().is_none(), "it has to wait");
        // One who gives up waiting leaves the others where they are.
        assert!(queue.wait("a").now_or_never().is_none());
        drop(first);
        let second = second.now_or_never().unwrap();
        assert_eq!(queue.lock().len(), 2);
        drop(second);
        assert_eq!(queue.lock().keys().collect::<Vec<_>>(), ["b"]);
    }
}

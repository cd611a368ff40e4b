//! Work that waits in a table: rows that are due are worked on, many at once, none twice at the same time.

use std::{collections::HashSet, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use tokio::{sync::Notify, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

/// The table is looked at again after this time even if nobody rang.
const SWEEP: Duration = Duration::from_secs(1);

/// One piece of work: a key that is unique while it runs, and the work itself, which writes down how it went.
pub struct Errand {
    /// Such as the order's id.
    pub key: String,
    /// Run to its end, or cut when the service stops for longer than it may.
    pub work: BoxFuture<'static, ()>,
}

/// Runs errands until told to stop. Rows are the truth: what is cut or crashes is found again after the next start.
#[derive(Debug, Clone)]
pub struct Errands {
    name: &'static str,
    at_once: usize,
    drain: Duration,
    bell: Arc<Notify>,
}

// === impl Errands ===

impl Errands {
    /// `at_once` bounds the work under way; `name` says in the log whose it is.
    pub fn new(name: &'static str, at_once: usize) -> Self {
        Self::with_bell(name, at_once, Duration::from_secs(5), Arc::default())
    }

    pub(crate) fn with_bell(name: &'static str, at_once: usize, drain: Duration, bell: Arc<Notify>) -> Self {
        Self { name, at_once, drain, bell }
    }

    /// Something may be due now. Ring after the commit.
    pub fn ring(&self) {
        self.bell.notify_one();
    }

    /// Asks `load` for what is due, given how many rows are worth loading, and works on it until `stop`; then waits a
    /// little for what is under way.
    pub async fn run<L, Fut>(self, stop: CancellationToken, mut load: L)
    where
        L: FnMut(i64) -> Fut,
        Fut: Future<Output = Result<Vec<Errand>, sqlx::Error>>,
    {
        let mut tasks: JoinSet<String> = JoinSet::new();
        let mut busy = HashSet::new();
        while !stop.is_cancelled() {
            // Rows under way are still due: as many again must fit, so that new ones are seen.
            let rows = i64::try_from(busy.len() + self.at_once).unwrap_or(i64::MAX);
            match load(rows).await {
                Ok(due) => {
                    for Errand { key, work } in due {
                        if busy.len() < self.at_once && busy.insert(key.clone()) {
                            let name = self.name;
                            tasks.spawn(async move {
                                if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                                    tracing::error!(worker = name, key, "an errand panicked");
                                }
                                key
                            });
                        }
                    }
                }
                Err(e) => tracing::warn!(worker = self.name, error = %e, "cannot read what is to be done"),
            }
            let done = tokio::select! {
                done = tasks.join_next(), if !tasks.is_empty() => done,
                () = self.bell.notified() => None,
                () = tokio::time::sleep(SWEEP) => None,
                () = stop.cancelled() => None,
            };
            for key in done.into_iter().chain(std::iter::from_fn(|| tasks.try_join_next())).flatten() {
                busy.remove(&key);
            }
        }
        let rest = async { while tasks.join_next().await.is_some() {} };
        if timeout(self.drain, rest).await.is_err() {
            tracing::warn!(
                worker = self.name,
                "work under way was cut; it begins again after the next start"
            );
        }
    }
}

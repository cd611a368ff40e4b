//! Work that waits in a table: rows that are due are worked on, many at once, none twice at the same time, by all processes
//! of a service together.

use std::{collections::HashSet, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use tokio::{sync::Notify, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    Database,
    database::{Claims, limited},
};

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
    claims: Arc<Claims>,
}

// === impl Errands ===

impl Errands {
    /// `at_once` bounds the work under way; `name` says in the log whose it is.
    pub fn new(name: &'static str, at_once: usize, database: &Database) -> Self {
        Self::with_bell(name, at_once, Duration::from_secs(5), Arc::default(), database)
    }

    pub(crate) fn with_bell(
        name: &'static str,
        at_once: usize,
        drain: Duration,
        bell: Arc<Notify>,
        database: &Database,
    ) -> Self {
        Self { name, at_once, drain, bell, claims: database.claims().clone() }
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
            match self.due(&busy, &mut load).await {
                Ok(due) => {
                    for Errand { key, work } in due {
                        busy.insert(key.clone());
                        let name = self.name;
                        tasks.spawn(async move {
                            if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                                tracing::error!(worker = name, key, "an errand panicked");
                            }
                            key
                        });
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
            let mut over = Vec::new();
            for key in done.into_iter().chain(std::iter::from_fn(|| tasks.try_join_next())).flatten() {
                busy.remove(&key);
                over.push(key);
            }
            self.claims.give_back(self.name, over).await;
        }
        let rest = async { while tasks.join_next().await.is_some() {} };
        if timeout(self.drain, rest).await.is_err() {
            tracing::warn!(
                worker = self.name,
                "work under way was cut; it begins again after the next start"
            );
        }
    }

    /// What is due, not under way, and ours.
    async fn due<L, Fut>(&self, busy: &HashSet<String>, load: &mut L) -> Result<Vec<Errand>, sqlx::Error>
    where
        L: FnMut(i64) -> Fut,
        Fut: Future<Output = Result<Vec<Errand>, sqlx::Error>>,
    {
        // Rows under way, here or in another process, are still due: as many again must fit, so that new ones are seen.
        let others = if self.claims.shared() { self.at_once } else { 0 };
        let rows = i64::try_from(busy.len() + self.at_once + others).unwrap_or(i64::MAX);
        let room = self.at_once.saturating_sub(busy.len());
        let mut seen = HashSet::new();
        let mut new = |e: &Errand| !busy.contains(&e.key) && seen.insert(e.key.clone());
        let due = limited(load(rows)).await?.into_iter().filter(&mut new);
        if !self.claims.shared() {
            return Ok(due.take(room).collect());
        }
        let wanted: Vec<_> = due.map(|e| e.key).collect();
        let mut ours = self.claims.take(self.name, wanted, room).await?;
        if ours.is_empty() {
            return Ok(Vec::new());
        }
        // Whoever had it until now may have done it between our look and our claim.
        let due = limited(load(rows)).await.map(|mut due| {
            due.retain(|e| ours.remove(&e.key));
            due
        });
        // All of it where the second look failed: what is claimed and not worked on nobody else would ever take up.
        self.claims.give_back(self.name, ours.into_iter().collect()).await;
        due
    }
}

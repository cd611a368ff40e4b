//! Who works on what, where several processes of a service share a PostgreSQL database: each piece of work is claimed with
//! an advisory lock of one session per process ("Explicit Locking", 13.3.5). A process that dies loses its session and with
//! it all its claims, at once and without any clock. With SQLite there is one process, and everything is its own.
//!
//! A claim keeps work from being done twice at the same time; it is no proof. A process that is cut off may work on while
//! another has taken over. That is the case of a repeated delivery, which every handler must bear anyhow.

use std::{collections::HashSet, time::Duration};

use sqlx::{AnyConnection, Connection, Row};
use tokio::{sync::Mutex, time::timeout};

/// Longest wait for the session to answer. Longer, and the claims are given up: they may be another's by now.
const LIMIT: Duration = Duration::from_secs(5);

/// The claims of this process.
#[derive(Debug)]
pub(crate) struct Claims {
    /// `None`: not shared with anybody.
    url: Option<String>,
    /// Prefix of all keys, since services may share a database in schemas of their own.
    service: String,
    session: Mutex<Session>,
}

#[derive(Debug, Default)]
struct Session {
    connection: Option<AnyConnection>,
    held: HashSet<String>,
}

// === impl Claims ===

impl Claims {
    pub(super) fn new(url: Option<String>, service: &str) -> Self {
        Self { url, service: service.to_owned(), session: Mutex::default() }
    }

    /// Whether other processes may work on the same tables.
    pub(crate) fn shared(&self) -> bool {
        self.url.is_some()
    }

    /// Claims what nobody else has, `most` of it at most; what it returns is ours until it is given back, or the session is
    /// lost.
    pub(crate) async fn take(
        &self,
        worker: &str,
        keys: Vec<String>,
        most: usize,
    ) -> Result<HashSet<String>, sqlx::Error> {
        let Some(url) = &self.url else { return Ok(keys.into_iter().take(most).collect()) };
        if keys.is_empty() || most == 0 {
            return Ok(HashSet::new());
        }
        let mut session = self.session.lock().await;
        let taken = timeout(LIMIT, session.take(url, &self.prefix(worker), keys, most)).await;
        session.settle(taken)
    }

    /// Gives claims back. One that cannot be given back goes with the session.
    pub(crate) async fn give_back(&self, worker: &str, keys: Vec<String>) {
        if !self.shared() || keys.is_empty() {
            return;
        }
        let mut session = self.session.lock().await;
        let given = timeout(LIMIT, session.give_back(&self.prefix(worker), keys)).await;
        if let Err(e) = session.settle(given) {
            tracing::warn!(worker, error = %e, "claims were lost with their session");
        }
    }

    /// Whether this process is the one that does `work`, which only one may do at a time. Ask before each step.
    pub(crate) async fn leads(&self, work: &str) -> Result<bool, sqlx::Error> {
        if !self.shared() {
            return Ok(true);
        }
        let prefix = self.prefix(work);
        let mut session = self.session.lock().await;
        if session.held.contains(&prefix) {
            let alive = timeout(LIMIT, session.ping()).await;
            return session.settle(alive).map(|()| true);
        }
        drop(session);
        Ok(!self.take(work, vec![String::new()], 1).await?.is_empty())
    }

    /// Ends the session, and with it all claims.
    pub(super) async fn close(&self) {
        let connection = self.session.lock().await.connection.take();
        if let Some(connection) = connection {
            drop(timeout(LIMIT, connection.close()).await);
        }
    }

    fn prefix(&self, worker: &str) -> String {
        format!("{}/{worker}/", self.service)
    }
}

// === impl Session ===

impl Session {
    async fn take(
        &mut self,
        url: &str,
        prefix: &str,
        keys: Vec<String>,
        most: usize,
    ) -> Result<HashSet<String>, sqlx::Error> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(AnyConnection::connect(url).await?),
        };
        let wanted: Vec<_> =
            keys.iter().map(|k| format!("{prefix}{k}")).filter(|k| !self.held.contains(k)).collect();
        let got = lock(connection, &wanted, most).await?;
        let taken = keys.into_iter().filter(|k| got.contains(&format!("{prefix}{k}"))).collect();
        self.held.extend(got);
        Ok(taken)
    }

    async fn give_back(&mut self, prefix: &str, keys: Vec<String>) -> Result<(), sqlx::Error> {
        let keys: Vec<_> =
            keys.iter().map(|k| format!("{prefix}{k}")).filter(|k| self.held.remove(k)).collect();
        let Some(connection) = &mut self.connection else { return Ok(()) };
        sqlx::query(
            "SELECT COUNT(*) FROM json_array_elements_text($1::json) AS k \
             WHERE pg_advisory_unlock(hashtextextended(k, 1))",
        )
        .bind(serde_json::to_string(&keys).unwrap_or_default())
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn ping(&mut self) -> Result<(), sqlx::Error> {
        match &mut self.connection {
            Some(connection) => connection.ping().await,
            None => Err(sqlx::Error::WorkerCrashed),
        }
    }

    /// A session that failed or did not answer is gone, and so is what it held.
    fn settle<T>(
        &mut self,
        outcome: Result<Result<T, sqlx::Error>, tokio::time::error::Elapsed>,
    ) -> Result<T, sqlx::Error> {
        let outcome = outcome.unwrap_or_else(|_| Err(super::too_slow()));
        if outcome.is_err() {
            self.connection = None;
            self.held.clear();
        }
        outcome
    }
}

async fn lock(
    connection: &mut AnyConnection,
    keys: &[String],
    most: usize,
) -> Result<HashSet<String>, sqlx::Error> {
    if keys.is_empty() {
        return Ok(HashSet::new());
    }
    // The limit stops the scan, and with it the locking: nothing is locked that is not returned.
    let rows = sqlx::query(
        "SELECT k FROM json_array_elements_text($1::json) AS k \
         WHERE pg_try_advisory_lock(hashtextextended(k, 1)) LIMIT $2",
    )
    .bind(serde_json::to_string(keys).unwrap_or_default())
    .bind(i64::try_from(most).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| row.try_get("k")).collect()
}

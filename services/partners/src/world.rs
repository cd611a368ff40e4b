//! What all third parties share: the file that remembers, the clock, the plan of misbehaviour.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{Error, Options, Schedule};

/// The outside world.
pub(crate) struct World {
    /// One connection: SQLite has one writer, and waiting in our own queue beats its busy errors.
    pub(crate) write: SqlitePool,
    /// For logs and audits.
    pub(crate) read: SqlitePool,
    pub(crate) schedule: Schedule,
    pub(crate) seed: u64,
    pub(crate) ride: Duration,
    pub(crate) log_limit: u32,
    pub(crate) started: Instant,
    /// Ends those who would never answer.
    pub(crate) closing: CancellationToken,
    /// Work goes on when its caller hangs up.
    pub(crate) work: TaskTracker,
}

impl World {
    pub(crate) async fn open(options: Options) -> Result<Self, Error> {
        let path = options.data.join("partners.db");
        let broken = |source| Error::Open { path: path.clone(), source };
        std::fs::create_dir_all(&options.data).map_err(|e| broken(e.into()))?;
        let write = pool(&path, 1).await.map_err(|e| broken(e.into()))?;
        sqlx::migrate!().run(&write).await.map_err(|e| broken(e.into()))?;
        let read = pool(&path, 4).await.map_err(|e| broken(e.into()))?;
        Ok(Self {
            write,
            read,
            schedule: options.schedule,
            seed: options.seed,
            ride: options.ride,
            log_limit: options.log_limit,
            started: Instant::now(),
            closing: CancellationToken::new(),
            work: TaskTracker::new(),
        })
    }

    pub(crate) async fn close(&self) {
        self.work.close();
        self.work.wait().await;
        self.read.close().await;
        self.write.close().await;
    }
}

async fn pool(path: &Path, connections: u32) -> Result<SqlitePool, sqlx::Error> {
    // With a write-ahead log, `normal` survives every kill of the process; only a power cut can cost the last commits.
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(Duration::from_secs(5))
        .foreign_keys(true);
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(30))
        .connect_with(options)
        .await
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> i64 {
    i64::try_from(time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// A new id, such as `ch_5f0c…`.
pub(crate) fn id(prefix: &str) -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{prefix}_{}", &random[..20])
}

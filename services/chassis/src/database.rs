//! The service's database: one writer, several readers, slow and failed statements as spans of the order they serve.
//!
//! SQLite today. The pools are sqlx's `Any` and the SQL uses `$1` placeholders and portable types only, so that PostgreSQL
//! is another URL and not another code path. What differs lives in this file: pragmas, the single writer, `BEGIN IMMEDIATE`.
//!
//! Durability: WAL with `synchronous=FULL`. A commit that returned is in the log on disk, so neither `kill -9` nor a power
//! cut takes back what was acknowledged. `WAYBILL_DATABASE_SYNC=normal` saves the fsync per commit (about a millisecond):
//! still safe against a killed process, no longer against a power cut.

use std::{
    future::Future,
    ops::{Deref, DerefMut},
    path::Path,
    sync::{
        Arc, Once,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::{
    Any, AnyConnection, AnyPool, Executor, Transaction,
    any::{AnyPoolOptions, install_default_drivers},
    migrate::Migrator,
};
use tokio::sync::Notify;

use crate::Settings;

/// Both pools of a service. Clones are cheap and share them.
#[derive(Debug, Clone)]
pub struct Database {
    url: Arc<str>,
    write: AnyPool,
    read: AnyPool,
}

/// A write transaction. Dropped without [`Tx::commit`], it rolls back.
#[derive(Debug)]
pub struct Tx {
    inner: Transaction<'static, Any>,
    wake: Vec<Arc<Notify>>,
    quiet: bool,
}

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder of the file cannot be made.
    #[error("cannot create the folder of DATABASE_URL={url}; choose a writable one")]
    Folder {
        /// The setting.
        url: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// It cannot be opened, or its tables not be brought up to date.
    #[error("cannot prepare the database DATABASE_URL={url}")]
    Migrate {
        /// The setting.
        url: String,
        /// The cause.
        #[source]
        source: sqlx::migrate::MigrateError,
    },
}

/// Gives a statement its span: `sqlx::query(...).execute(&mut *tx).traced("INSERT orders")`.
pub trait Traced<T>: Future<Output = Result<T, sqlx::Error>> + Sized {
    /// `summary` is `db.query.summary`, operation and table (semantic conventions, database spans): the span's name. There
    /// is a span when the statement failed or took at least `WAYBILL_DATABASE_SPANS_FROM`.
    fn traced(self, summary: &'static str) -> impl Future<Output = Result<T, sqlx::Error>> {
        let from = Duration::from_micros(SPANS_FROM_US.load(Ordering::Relaxed));
        let statement = telemetry::database::Statement { system: "sqlite", summary, from };
        telemetry::database::traced(statement, self, |e| (error_type(e), e.to_string()))
    }
}

/// `WAYBILL_DATABASE_SPANS_FROM` in microseconds; one for the process, as telemetry is.
static SPANS_FROM_US: AtomicU64 = AtomicU64::new(20_000);
static CHASSIS: Migrator = sqlx::migrate!("./migrations");
static DRIVERS: Once = Once::new();

// === impl Database ===

impl Database {
    /// Reads `DATABASE_URL` (default `sqlite://data/<service>.db`). Nothing is opened yet.
    pub(crate) fn from_settings(settings: &Settings, service: &str) -> Self {
        DRIVERS.call_once(install_default_drivers);
        let url = settings.text("DATABASE_URL", &format!("sqlite://data/{service}.db"));
        let sync = match settings.text("WAYBILL_DATABASE_SYNC", "full").as_str() {
            "normal" => "PRAGMA synchronous=NORMAL",
            "full" => "PRAGMA synchronous=FULL",
            _ => {
                settings.reject("WAYBILL_DATABASE_SYNC", "must be full or normal");
                "PRAGMA synchronous=FULL"
            }
        };
        let from = settings.duration("WAYBILL_DATABASE_SPANS_FROM", "20ms");
        SPANS_FROM_US.store(u64::try_from(from.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let full = match url.strip_prefix("sqlite://") {
            Some(_) if url.contains('?') => url.clone(),
            Some(_) => format!("{url}?mode=rwc"),
            None => {
                settings.reject("DATABASE_URL", "must begin with sqlite://");
                "sqlite://?mode=memory".to_owned()
            }
        };
        // SQLite has one writer at a time. A pool of one queues writers in order of arrival, where SQLite itself would have
        // them poll with growing sleeps.
        let (write, read) = (pool(&full, 1, sync), pool(&full, 4, sync));
        match (write, read) {
            (Ok(write), Ok(read)) => Self { url: url.into(), write, read },
            (Err(e), _) | (_, Err(e)) => {
                settings.reject("DATABASE_URL", e);
                let memory = pool_of("sqlite://?mode=memory", 1, sync);
                Self { url: url.into(), write: memory.clone(), read: memory }
            }
        }
    }

    /// Creates the file and brings the chassis's and the service's tables up to date.
    ///
    /// # Errors
    /// [`OpenError`] names the setting and the cause.
    pub(crate) async fn prepare(&self, service: Option<&'static Migrator>) -> Result<(), OpenError> {
        let url = self.url.to_string();
        let file = self.url.trim_start_matches("sqlite://").split('?').next().unwrap_or_default();
        if let Some(folder) = Path::new(file).parent().filter(|f| !f.as_os_str().is_empty()) {
            let made = tokio::fs::create_dir_all(folder).await;
            made.map_err(|source| OpenError::Folder { url: url.clone(), source })?;
        }
        // Each set of migrations has its own ledger: a service and the chassis number theirs independently.
        let ours = Migrator {
            migrations: CHASSIS.migrations.clone(),
            table_name: "_chassis_migrations".into(),
            ..Migrator::DEFAULT
        };
        let ours = ours.run(&self.write).await;
        ours.map_err(|source| OpenError::Migrate { url: url.clone(), source })?;
        if let Some(theirs) = service {
            theirs.run(&self.write).await.map_err(|source| OpenError::Migrate { url, source })?;
        }
        Ok(())
    }

    /// Begins a write transaction. The writer's lock is taken at once, so that a transaction that read first cannot fail
    /// when it writes.
    ///
    /// # Errors
    /// Those of sqlx: the writer is busy for longer than the pool waits, or the database is gone.
    pub async fn begin(&self) -> Result<Tx, sqlx::Error> {
        let inner = self.write.begin_with("BEGIN IMMEDIATE").traced("BEGIN").await?;
        Ok(Tx { inner, wake: Vec::new(), quiet: false })
    }

    /// As [`Database::begin`], for bookkeeping that belongs to no order: without spans.
    ///
    /// # Errors
    /// As [`Database::begin`].
    pub async fn begin_quiet(&self) -> Result<Tx, sqlx::Error> {
        let inner = self.write.begin_with("BEGIN IMMEDIATE").await?;
        Ok(Tx { inner, wake: Vec::new(), quiet: true })
    }

    /// Connections for reading outside a transaction.
    pub fn read(&self) -> &AnyPool {
        &self.read
    }

    /// Closes both pools; the last one out folds SQLite's log into the file.
    pub(crate) async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

// === impl Tx ===

impl Tx {
    /// Makes the transaction durable, then wakes whoever waits for what it wrote.
    ///
    /// # Errors
    /// Those of sqlx; nothing was written then.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        if self.quiet {
            self.inner.commit().await?;
        } else {
            self.inner.commit().traced("COMMIT").await?;
        }
        self.wake.iter().for_each(|n| n.notify_one());
        Ok(())
    }

    /// Wakes `who` once the transaction is durable.
    pub(crate) fn wake_on_commit(&mut self, who: Arc<Notify>) {
        self.wake.push(who);
    }
}

impl Deref for Tx {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.inner
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.inner
    }
}

impl<T, F: Future<Output = Result<T, sqlx::Error>>> Traced<T> for F {}

fn pool(url: &str, size: u32, sync: &'static str) -> Result<AnyPool, sqlx::Error> {
    options(size, sync).connect_lazy(url)
}

fn pool_of(url: &str, size: u32, sync: &'static str) -> AnyPool {
    #[expect(clippy::expect_used, reason = "a constant URL that parses")]
    pool(url, size, sync).expect("the in-memory URL parses")
}

fn options(size: u32, sync: &'static str) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(Duration::from_secs(10))
        // A connection is a file handle here: nothing to test before use, nothing to retire.
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                connection.execute("PRAGMA busy_timeout=5000").await?;
                connection.execute("PRAGMA journal_mode=WAL").await?;
                connection.execute(sync).await?;
                Ok(())
            })
        })
}

/// SQLite's or PostgreSQL's own code where there is one, else the kind of failure.
fn error_type(e: &sqlx::Error) -> String {
    match e {
        sqlx::Error::Database(e) => e.code().map_or_else(|| "database".to_owned(), |c| c.into_owned()),
        sqlx::Error::PoolTimedOut => "pool_timeout".to_owned(),
        sqlx::Error::RowNotFound => "row_not_found".to_owned(),
        sqlx::Error::Io(_) => "io".to_owned(),
        _ => "database".to_owned(),
    }
}

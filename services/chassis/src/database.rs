//! The service's database: SQLite or PostgreSQL, slow and failed statements as spans of the order they serve.
//!
//! The pools are sqlx's `Any` and the SQL uses `$1` placeholders and portable types only, so that PostgreSQL is another URL
//! and not another code path. What differs lives here and below:
//!
//! | | SQLite | PostgreSQL |
//! |--|--|--|
//! | writers | one at a time, in order of arrival (`BEGIN IMMEDIATE`) | many; one at a time for each order or other key ([`Database::begin_for`]) |
//! | processes of one service | one | several; work is claimed ([`Claims`]) |
//! | durability | WAL with `synchronous=FULL` | the server's `synchronous_commit` |
//! | away | – | requests get 503, readiness says no, and all goes on once it is back |
//!
//! With SQLite a commit that returned is in the log on disk, so neither `kill -9` nor a power cut takes back what was
//! acknowledged. `WAYBILL_DATABASE_SYNC=normal` saves the fsync per commit (about a millisecond): still safe against a
//! killed process, no longer against a power cut.

use std::{
    future::Future,
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::{Any, AnyConnection, AnyPool, Transaction, migrate::Migrator};
use tokio::sync::Notify;

use crate::Settings;

mod claims;
mod open;
mod queue;

pub(crate) use claims::Claims;
pub use open::OpenError;
use open::Target;
use queue::{Place, Queue};

/// Both pools of a service. Clones are cheap and share them.
#[derive(Debug, Clone)]
pub struct Database {
    target: Arc<Target>,
    write: AnyPool,
    read: AnyPool,
    claims: Arc<Claims>,
    /// Who waits for a key, here where it costs no connection.
    queue: Queue,
}

/// A write transaction. Dropped without [`Tx::commit`], it rolls back.
#[derive(Debug)]
pub struct Tx {
    inner: Transaction<'static, Any>,
    engine: Engine,
    /// Keys that nobody else writes for, until the end of the transaction.
    keys: Vec<String>,
    wake: Vec<Arc<Notify>>,
    quiet: bool,
    /// Given up after the transaction has ended: fields are dropped in this order.
    _place: Option<Place>,
}

/// A service's own tables.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Migrations {
    pub(crate) portable: &'static Migrator,
    /// Where PostgreSQL needs other words.
    pub(crate) postgres: Option<&'static Migrator>,
}

/// What the URL names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    Sqlite,
    Postgres,
}

/// Gives a statement its span: `sqlx::query(...).execute(&mut *tx).traced("INSERT orders")`.
pub trait Traced<T>: Future<Output = Result<T, sqlx::Error>> + Sized {
    /// `summary` is `db.query.summary`, operation and table (semantic conventions, database spans): the span's name. There
    /// is a span when the statement failed or took at least `WAYBILL_DATABASE_SPANS_FROM`.
    fn traced(self, summary: &'static str) -> impl Future<Output = Result<T, sqlx::Error>> {
        let from = Duration::from_micros(SPANS_FROM_US.load(Ordering::Relaxed));
        let system = if POSTGRES.load(Ordering::Relaxed) { "postgresql" } else { "sqlite" };
        let statement = telemetry::database::Statement { system, summary, from };
        telemetry::database::traced(statement, limited(self), |e| (error_type(e), e.to_string()))
    }
}

/// `WAYBILL_DATABASE_SPANS_FROM` in microseconds; one for the process, as telemetry is.
static SPANS_FROM_US: AtomicU64 = AtomicU64::new(20_000);
/// `WAYBILL_DATABASE_TIMEOUT`; for PostgreSQL only.
static LIMIT_MS: AtomicU64 = AtomicU64::new(10_000);
static POSTGRES: AtomicBool = AtomicBool::new(false);
static CHASSIS: Migrator = sqlx::migrate!("./migrations");

// === impl Database ===

impl Database {
    /// Reads `DATABASE_URL` (default `sqlite://data/<service>.db`) or `DATABASE_URL_FILE`. Nothing is opened yet.
    pub(crate) fn from_settings(settings: &Settings, service: &str) -> Self {
        let from = settings.duration("WAYBILL_DATABASE_SPANS_FROM", "20ms");
        SPANS_FROM_US.store(u64::try_from(from.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let target = Target::from_settings(settings, service);
        let (write, read) = target.pools(settings).unwrap_or_else(|e| {
            settings.reject("DATABASE_URL", e);
            open::in_memory()
        });
        let shared = target.engine == Engine::Postgres;
        POSTGRES.store(shared, Ordering::Relaxed);
        let claims = Claims::new(shared.then(|| target.full.clone()), service);
        Self { target: target.into(), write, read, claims: claims.into(), queue: Queue::default() }
    }

    /// Creates SQLite's file or reaches PostgreSQL's server, and brings the chassis's and the service's tables up to date.
    ///
    /// # Errors
    /// [`OpenError`] names the setting, without its password, and the cause.
    pub(crate) async fn prepare(&self, service: Option<Migrations>) -> Result<(), OpenError> {
        self.target.reach().await?;
        // Each set of migrations has its own ledger: a service and the chassis number theirs independently.
        let ours = Migrator {
            migrations: CHASSIS.migrations.clone(),
            table_name: "_chassis_migrations".into(),
            ..Migrator::DEFAULT
        };
        self.target.migrate(&ours, &self.write).await?;
        match service {
            Some(theirs) => self.target.migrate(theirs.of(self.target.engine), &self.write).await,
            None => Ok(()),
        }
    }

    /// Begins a write transaction. With SQLite the writer's lock is taken at once, so that a transaction that read first
    /// cannot fail when it writes. With PostgreSQL others write at the same time: whoever decides by what it has read uses
    /// [`Database::begin_for`].
    ///
    /// # Errors
    /// Those of sqlx: no connection is free for longer than the pool waits, or the database is gone.
    pub async fn begin(&self) -> Result<Tx, sqlx::Error> {
        Ok(self.tx(self.write.begin_with(self.target.engine.begin()).traced("BEGIN").await?, false))
    }

    /// As [`Database::begin`]; until it ends nobody else, in any process, has a transaction for the same `key`: what it
    /// reads about an order stays true until it commits. Others of this process wait for it without a connection, so that
    /// one key that many want leaves connections for everybody else.
    ///
    /// # Errors
    /// As [`Database::begin`].
    pub async fn begin_for(&self, key: &str) -> Result<Tx, sqlx::Error> {
        let place = match self.target.engine {
            // Its only writer is alone already.
            Engine::Sqlite => None,
            Engine::Postgres => {
                let limit = Duration::from_millis(LIMIT_MS.load(Ordering::Relaxed));
                let place = tokio::time::timeout(limit, self.queue.wait(key)).await;
                Some(place.map_err(|_| sqlx::Error::PoolTimedOut)?)
            }
        };
        let mut tx = self.begin().await?;
        tx.alone_for(key).await?;
        tx._place = place;
        Ok(tx)
    }

    /// As [`Database::begin`], for bookkeeping that belongs to no order: without spans.
    ///
    /// # Errors
    /// As [`Database::begin`].
    pub async fn begin_quiet(&self) -> Result<Tx, sqlx::Error> {
        Ok(self.tx(limited(self.write.begin_with(self.target.engine.begin())).await?, true))
    }

    fn tx(&self, inner: Transaction<'static, Any>, quiet: bool) -> Tx {
        Tx { inner, engine: self.target.engine, keys: Vec::new(), wake: Vec::new(), quiet, _place: None }
    }

    /// Whether this process is the one that does `work`, where only one of a service's processes may. Ask before each step:
    /// another takes over when this one has died or lost the database.
    pub async fn leads(&self, work: &'static str) -> bool {
        match self.claims.leads(work).await {
            Ok(leads) => leads,
            Err(e) => {
                tracing::warn!(work, error = %e, "cannot tell who does this; not done for now");
                false
            }
        }
    }

    pub(crate) fn claims(&self) -> &Arc<Claims> {
        &self.claims
    }

    /// Connections for reading outside a transaction.
    pub fn read(&self) -> &AnyPool {
        &self.read
    }

    /// Closes both pools; the last one out folds SQLite's log into the file.
    pub(crate) async fn close(&self) {
        self.claims.close().await;
        self.read.close().await;
        self.write.close().await;
    }
}

// === impl Engine ===

impl Engine {
    fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }
}

// === impl Migrations ===

impl Migrations {
    fn of(self, engine: Engine) -> &'static Migrator {
        match engine {
            Engine::Sqlite => self.portable,
            Engine::Postgres => self.postgres.unwrap_or(self.portable),
        }
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
            limited(self.inner.commit()).await?;
        } else {
            self.inner.commit().traced("COMMIT").await?;
        }
        self.wake.iter().for_each(|n| n.notify_one());
        Ok(())
    }

    /// Waits until nobody else has a transaction for `key`, and keeps others waiting until this one ends. Take more than one
    /// key in the same order everywhere.
    ///
    /// # Errors
    /// Those of sqlx.
    pub async fn alone_for(&mut self, key: &str) -> Result<(), sqlx::Error> {
        // SQLite's only writer is alone already.
        if self.engine == Engine::Sqlite || self.keys.iter().any(|k| k == key) {
            return Ok(());
        }
        sqlx::query("SELECT 1 FROM pg_advisory_xact_lock(hashtextextended($1, 0))")
            .bind(key)
            .execute(&mut *self.inner)
            .traced("LOCK")
            .await?;
        self.keys.push(key.to_owned());
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

/// Runs a statement for as long as it may take: a server behind a partition never answers. SQLite always does.
pub(crate) async fn limited<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    if !POSTGRES.load(Ordering::Relaxed) {
        return work.await;
    }
    let limit = Duration::from_millis(LIMIT_MS.load(Ordering::Relaxed));
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(too_slow()))
}

fn too_slow() -> sqlx::Error {
    let text = "the database did not answer within WAYBILL_DATABASE_TIMEOUT";
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, text))
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

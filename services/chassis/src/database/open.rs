//! Opening the database: what `DATABASE_URL` may say, the pools of each engine, and what is said when it cannot be opened.

use std::{path::Path, time::Duration};

use sqlx::{
    AnyConnection, AnyPool, Connection, Executor,
    any::{AnyPoolOptions, install_default_drivers},
    migrate::Migrator,
};
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use super::Engine;
use crate::Settings;

/// How long a PostgreSQL server that does not answer is waited for at start: the two may be started together.
const PATIENCE: Duration = Duration::from_secs(10);
/// An idle connection that has answered within this time is taken to live.
const TRUSTED: Duration = Duration::from_secs(1);
/// What a session tells the server: a process that vanished behind a partition loses its locks after about 20 seconds.
/// (PostgreSQL, "TCP Settings"; ignored on a local socket.)
const SESSION: [(&str, &str); 5] = [
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "20000"),
    ("idle_in_transaction_session_timeout", "60000"),
];

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
    /// The server cannot be reached, or refuses.
    #[error("cannot use the database DATABASE_URL={url}: {why}")]
    Refused {
        /// The setting, its password masked.
        url: String,
        /// What happened, and what to do about it.
        why: String,
    },
    /// Its tables cannot be brought up to date.
    #[error("cannot prepare the database DATABASE_URL={url}")]
    Migrate {
        /// The setting, its password masked.
        url: String,
        /// The cause.
        #[source]
        source: sqlx::migrate::MigrateError,
    },
}

/// What the setting asks for.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) engine: Engine,
    /// For the driver: with everything that we add.
    pub(super) full: String,
    /// For people: as it was given, its password masked.
    pub(super) shown: String,
}

// === impl Target ===

impl Target {
    /// Reads `DATABASE_URL`, or the file that `DATABASE_URL_FILE` names. What cannot be used is noted in the settings.
    pub(super) fn from_settings(settings: &Settings, service: &str) -> Self {
        install_default_drivers_once();
        let given = settings.secret("DATABASE_URL");
        let given = given.unwrap_or_else(|| format!("sqlite://data/{service}.db"));
        let shown = crate::settings::masked(&given);
        let reject = |why: &str| {
            settings.reject("DATABASE_URL", why);
            Self { engine: Engine::Sqlite, full: "sqlite://?mode=memory".to_owned(), shown: shown.clone() }
        };
        if given.starts_with("sqlite://") {
            let full = if given.contains('?') { given } else { format!("{given}?mode=rwc") };
            return Self { engine: Engine::Sqlite, full, shown };
        }
        if !given.starts_with("postgres://") && !given.starts_with("postgresql://") {
            return reject("must begin with sqlite:// or postgres://");
        }
        match Url::parse(&given) {
            Err(e) => reject(&format!("{e}; write postgres://user:password@host:5432/database")),
            Ok(url) if url.path().trim_matches('/').is_empty() => {
                reject("names no database; write postgres://user:password@host:5432/database")
            }
            Ok(mut url) => {
                let has = |key: &str| url.query_pairs().any(|(k, _)| k == key);
                let named = has("application_name");
                let missing: Vec<_> =
                    SESSION.into_iter().filter(|(k, _)| !has(&format!("options[{k}]"))).collect();
                let mut query = url.query_pairs_mut();
                if !named {
                    query.append_pair("application_name", &format!("waybill-{service}"));
                }
                for (key, value) in missing {
                    query.append_pair(&format!("options[{key}]"), value);
                }
                drop(query);
                Self { engine: Engine::Postgres, full: url.into(), shown }
            }
        }
    }

    /// The pools for writing and for reading. Nothing is opened yet.
    pub(super) fn pools(&self, settings: &Settings) -> Result<(AnyPool, AnyPool), sqlx::Error> {
        let sync = sync(settings);
        let connections = settings.number("WAYBILL_DATABASE_CONNECTIONS", 8_u32, 1..=1000);
        let timeout = settings.duration("WAYBILL_DATABASE_TIMEOUT", "10s");
        super::LIMIT_MS.store(crate::due::ms(timeout).unsigned_abs(), std::sync::atomic::Ordering::Relaxed);
        match self.engine {
            // SQLite has one writer at a time. A pool of one queues writers in order of arrival, where SQLite itself would
            // have them poll with growing sleeps.
            Engine::Sqlite => {
                Ok((sqlite(1, sync).connect_lazy(&self.full)?, sqlite(4, sync).connect_lazy(&self.full)?))
            }
            Engine::Postgres => {
                let pool = postgres(connections, timeout).connect_lazy(&self.full)?;
                Ok((pool.clone(), pool))
            }
        }
    }

    /// Makes sure that there is a database to speak to: SQLite's folder, PostgreSQL's server.
    pub(super) async fn reach(&self) -> Result<(), OpenError> {
        match self.engine {
            Engine::Sqlite => {
                self.folder().await?;
                self.file().await
            }
            Engine::Postgres => self.server().await,
        }
    }

    async fn folder(&self) -> Result<(), OpenError> {
        let file = self.shown.trim_start_matches("sqlite://").split('?').next().unwrap_or_default();
        if let Some(folder) = Path::new(file).parent().filter(|f| !f.as_os_str().is_empty()) {
            let made = tokio::fs::create_dir_all(folder).await;
            made.map_err(|source| OpenError::Folder { url: self.shown.clone(), source })?;
        }
        Ok(())
    }

    /// As for a server: a pool would try for ten seconds, and say only that it waited.
    async fn file(&self) -> Result<(), OpenError> {
        let opened = async {
            let mut connection = AnyConnection::connect(&self.full).await?;
            connection.execute("PRAGMA journal_mode=WAL").await?;
            connection.close().await
        };
        match opened.await.map_err(|e| unusable(&e)) {
            Err(Some(why)) => Err(OpenError::Refused { url: self.shown.clone(), why }),
            _ => Ok(()),
        }
    }

    /// A pool would only say that it waited in vain; one connection says why.
    async fn server(&self) -> Result<(), OpenError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let tried = timeout(PATIENCE, AnyConnection::connect(&self.full)).await;
            let (why, hopeless) = match tried {
                Ok(Ok(connection)) => {
                    drop(connection.close().await);
                    return Ok(());
                }
                Ok(Err(e)) => refusal(&e),
                Err(_) => ("the server does not answer; check host, port and network".to_owned(), false),
            };
            if hopeless || Instant::now() >= until {
                return Err(OpenError::Refused { url: self.shown.clone(), why });
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// Brings one set of tables up to date.
    pub(super) async fn migrate(&self, migrator: &Migrator, pool: &AnyPool) -> Result<(), OpenError> {
        let done = migrator.run(pool).await;
        done.map_err(|source| OpenError::Migrate { url: self.shown.clone(), source })
    }
}

/// What the server said, with the remedy, and whether waiting is in vain.
fn refusal(e: &sqlx::Error) -> (String, bool) {
    let code = e.as_database_error().and_then(sqlx::error::DatabaseError::code);
    // PostgreSQL, Appendix A: error codes.
    match code.as_deref() {
        Some("28P01" | "28000") => (format!("{e}; check user and password, and pg_hba.conf"), true),
        Some("3D000") => (format!("{e}; create it with createdb, or name another"), true),
        Some("57P03") => ("the server is starting up; try again".to_owned(), false),
        Some("53300") => (
            "the server has no connection left; raise max_connections, or lower WAYBILL_DATABASE_CONNECTIONS"
                .to_owned(),
            false,
        ),
        Some(_) => (e.to_string(), true),
        None => match e {
            sqlx::Error::Io(io) => (format!("{io}; is the server up, and are host and port right?"), false),
            sqlx::Error::Protocol(_) => {
                ("the server hung up; is it PostgreSQL, and is it up?".to_owned(), false)
            }
            sqlx::Error::Tls(tls) => (format!("{tls}; check sslmode and sslrootcert"), true),
            other => (other.to_string(), true),
        },
    }
}

/// What SQLite said of its file, with the remedy; none where waiting may help.
fn unusable(e: &sqlx::Error) -> Option<String> {
    let code = e.as_database_error().and_then(sqlx::error::DatabaseError::code);
    // SQLite, "Result and Error Codes": the low byte is the primary code.
    let remedy = match code.as_deref().and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff) {
        Some(5 | 6) => return None,
        Some(8) => "name a file that may be written",
        Some(10 | 13) => "is its volume full or damaged? free space on it",
        Some(14) => "name a file in a folder that may be written",
        Some(11 | 26) => "name another file, or restore this one from a backup",
        _ => return Some(e.to_string()),
    };
    Some(format!("{e}; {remedy}"))
}

fn sync(settings: &Settings) -> &'static str {
    match settings.text("WAYBILL_DATABASE_SYNC", "full").as_str() {
        "normal" => "PRAGMA synchronous=NORMAL",
        "full" => "PRAGMA synchronous=FULL",
        _ => {
            settings.reject("WAYBILL_DATABASE_SYNC", "must be full or normal");
            "PRAGMA synchronous=FULL"
        }
    }
}

/// For a setting that cannot be used and is only being reported.
pub(super) fn in_memory() -> (AnyPool, AnyPool) {
    install_default_drivers_once();
    #[expect(clippy::expect_used, reason = "a constant URL that parses")]
    let pool = sqlite(1, "PRAGMA synchronous=FULL").connect_lazy("sqlite://?mode=memory").expect("it parses");
    (pool.clone(), pool)
}

fn sqlite(size: u32, sync: &'static str) -> AnyPoolOptions {
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
        .after_release(|connection, _| Box::pin(at_rest(connection)))
}

/// SQLite ends a transaction by itself where its volume is full (its documentation, "Response To Errors Within A
/// Transaction"). The driver's `ROLLBACK` then fails, it counts the transaction as open for ever, and would refuse every later
/// one on this connection: `false`, it is given up, and the next is a new one.
async fn at_rest(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    // The rollback of a transaction that was dropped comes before the answer.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// A connection is asked whether it lives when it comes back and when it has lain idle, and never for longer than a
/// statement may take: one whose server is behind a partition would take its place in the pool along for as long as TCP hopes.
fn postgres(size: u32, limit: Duration) -> AnyPoolOptions {
    let lives = async move |connection: &mut AnyConnection| {
        timeout(limit, connection.ping()).await.unwrap_or_else(|_| Err(super::too_slow()))
    };
    AnyPoolOptions::new()
        .max_connections(size)
        // A server that is away is said so to callers while they still wait.
        .acquire_timeout(limit.min(Duration::from_secs(5)))
        .idle_timeout(Duration::from_secs(300))
        .max_lifetime(Duration::from_secs(1800))
        .test_before_acquire(false)
        .before_acquire(move |connection, about| {
            Box::pin(async move {
                if about.idle_for > TRUSTED {
                    lives(connection).await?;
                }
                Ok(true)
            })
        })
        .after_release(move |connection, _| Box::pin(async move { lives(connection).await.map(|()| true) }))
}

fn install_default_drivers_once() {
    static DRIVERS: std::sync::Once = std::sync::Once::new();
    DRIVERS.call_once(install_default_drivers);
}

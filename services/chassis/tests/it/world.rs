//! The engines that the same tests run on: SQLite or PostgreSQL, messages over HTTP or NATS.

use std::sync::{
    LazyLock, Mutex,
    atomic::{AtomicU32, Ordering},
};

use chassis::Settings;
use tempfile::TempDir;

use crate::engines::{Nats, Postgres};

/// What a test's services run on. Order ids are its own: see [`World::id`].
pub(crate) struct World {
    name: &'static str,
    folder: TempDir,
    postgres: bool,
    nats: Option<Nats>,
}

static SERVER: LazyLock<Mutex<Option<Postgres>>> = LazyLock::new(|| Mutex::new(Postgres::start()));
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// One test for each engine from each function `async fn name(world: &World)`.
macro_rules! on_every_engine {
    ($($name:ident,)*) => {
        $crate::world::tests_on!(sqlite, $($name,)*);
        $crate::world::tests_on!(postgres, $($name,)*);
        $crate::world::tests_on!(nats, $($name,)*);
    };
}
pub(crate) use on_every_engine;

/// As [`on_every_engine`], for what concerns messages over HTTP alone.
macro_rules! on_every_database {
    ($($name:ident,)*) => {
        mod over_http {
            use super::*;
            $crate::world::tests_on!(sqlite, $($name,)*);
            $crate::world::tests_on!(postgres, $($name,)*);
        }
    };
}
pub(crate) use on_every_database;

macro_rules! tests_on {
    ($engine:ident, $($name:ident,)*) => {
        mod $engine {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $name() {
                if let Some(world) = super::World::$engine() { super::$name(&world).await; }
            })*
        }
    };
}
pub(crate) use tests_on;

// === impl World ===

impl World {
    pub(crate) fn sqlite() -> Option<Self> {
        Some(Self { name: "sqlite", folder: tempfile::tempdir().unwrap(), postgres: false, nats: None })
    }

    /// `None` where there is no server.
    pub(crate) fn postgres() -> Option<Self> {
        SERVER.lock().unwrap().as_ref()?;
        Some(Self { name: "postgres", folder: tempfile::tempdir().unwrap(), postgres: true, nats: None })
    }

    /// PostgreSQL, and messages over NATS. `None` where either is missing.
    pub(crate) fn nats() -> Option<Self> {
        let nats = Nats::start()?;
        Some(Self { name: "nats", nats: Some(nats), ..Self::postgres()? })
    }

    /// Whether a broker carries the messages, so that the receiver need not be there for the sender to be rid of them.
    pub(crate) fn has_broker(&self) -> bool {
        self.nats.is_some()
    }

    /// The broker itself, to be killed and started again.
    pub(crate) fn broker(&mut self) -> &mut Nats {
        self.nats.as_mut().unwrap()
    }

    /// The broker's URL.
    pub(crate) fn nats_url(&self) -> String {
        self.nats.as_ref().map(Nats::url).unwrap_or_default()
    }

    /// An order's id that no other engine's test has.
    pub(crate) fn id(&self, order: &str) -> String {
        format!("{}-{order}", self.name)
    }

    /// Settings for a service on a free port, with the database `name`: the same one for the same name.
    pub(crate) fn settings(&self, name: &str, more: &[(&str, &str)]) -> Settings {
        let (database, nats) = (self.database(name), self.nats_url());
        let base = [
            ("WAYBILL_LISTEN", "127.0.0.1:0"),
            ("DATABASE_URL", &database),
            ("NATS_URL", &nats),
            ("WAYBILL_NATS_ACK_WAIT", "2s"),
        ];
        Settings::from_pairs(base.into_iter().chain(more.iter().copied()))
    }

    /// URL of the database `name`.
    pub(crate) fn database(&self, name: &str) -> String {
        let note = self.folder.path().join(format!("{name}.db"));
        if !self.postgres {
            return format!("sqlite://{}", note.display());
        }
        if let Ok(url) = std::fs::read_to_string(&note) {
            return url;
        }
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let url = SERVER.lock().unwrap().as_ref().unwrap().create(&format!("test{number}"));
        std::fs::write(note, &url).unwrap();
        url
    }
}

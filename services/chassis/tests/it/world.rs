//! The engines that the same tests run on: SQLite or PostgreSQL, messages over HTTP or NATS.

use std::sync::{
    LazyLock, Mutex,
    atomic::{AtomicU32, Ordering},
};

use chassis::Settings;
use tempfile::TempDir;

use crate::engines::Postgres;

/// What a test's services run on. Order ids are its own: see [`World::id`].
pub(crate) struct World {
    name: &'static str,
    folder: TempDir,
    postgres: bool,
}

static SERVER: LazyLock<Mutex<Option<Postgres>>> = LazyLock::new(|| Mutex::new(Postgres::start()));
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// One test for each engine from each function `async fn name(world: &World)`.
macro_rules! on_every_engine {
    ($($name:ident,)*) => {
        mod sqlite {
            $(#[tokio::test] async fn $name() { super::$name(&super::World::sqlite()).await; })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $name() {
                if let Some(world) = super::World::postgres() { super::$name(&world).await; }
            })*
        }
    };
}
pub(crate) use on_every_engine;

// === impl World ===

impl World {
    pub(crate) fn sqlite() -> Self {
        Self { name: "sqlite", folder: tempfile::tempdir().unwrap(), postgres: false }
    }

    /// `None` where there is no server.
    pub(crate) fn postgres() -> Option<Self> {
        SERVER.lock().unwrap().as_ref()?;
        Some(Self { name: "postgres", folder: tempfile::tempdir().unwrap(), postgres: true })
    }

    /// An order's id that no other engine's test has.
    pub(crate) fn id(&self, order: &str) -> String {
        format!("{}-{order}", self.name)
    }

    /// Settings for a service on a free port, with the database `name`: the same one for the same name.
    pub(crate) fn settings(&self, name: &str, more: &[(&str, &str)]) -> Settings {
        let base = [("WAYBILL_LISTEN", "127.0.0.1:0"), ("DATABASE_URL", &self.database(name))];
        Settings::from_pairs(base.into_iter().chain(more.iter().copied()))
    }

    fn database(&self, name: &str) -> String {
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

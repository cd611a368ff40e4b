//! What the fleets under test run on. `WAYBILL_TEST_BACKEND=postgres`, `nats` or `postgres,nats` puts every fleet of every
//! test on real servers: one PostgreSQL server with a database for each service, one NATS server for each fleet. Where that
//! is asked for, a server that cannot be had fails the test.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex, MutexGuard},
};

use crate::engines::{Nats, Postgres};

const SERVICES: [&str; 8] = [
    "mobile-app",
    "auth",
    "restaurant-availability",
    "payment-gateway",
    "restaurant-orders",
    "delivery-assignment",
    "tracking",
    "notification",
];

/// The servers of this test process. A fleet that is started again on its folder finds its databases and its streams.
#[derive(Default)]
struct Servers {
    postgres: Option<Postgres>,
    fleets: HashMap<PathBuf, usize>,
    nats: HashMap<PathBuf, Nats>,
}

static SERVERS: LazyLock<Mutex<Servers>> = LazyLock::new(Mutex::default);

/// Whether `engine` was asked for.
pub(crate) fn is(engine: &str) -> bool {
    std::env::var("WAYBILL_TEST_BACKEND").unwrap_or_default().split(',').any(|name| name.trim() == engine)
}

/// For `--env`: the settings of a fleet whose files are in `data`.
pub(crate) fn settings(data: &Path) -> Vec<String> {
    let mut servers = servers();
    let mut settings = Vec::new();
    if is("postgres") {
        let urls = servers.databases(data);
        settings.extend(urls.into_iter().map(|(service, url)| format!("{service}:DATABASE_URL={url}")));
    }
    if is("nats") {
        let url = servers.nats(data).url();
        settings.extend(SERVICES.map(|service| format!("{service}:NATS_URL={url}")));
    }
    settings
}

fn servers() -> MutexGuard<'static, Servers> {
    SERVERS.lock().unwrap()
}

// === impl Servers ===

impl Servers {
    fn databases(&mut self, data: &Path) -> Vec<(&'static str, String)> {
        let server = self.postgres.get_or_insert_with(|| Postgres::start().expect("a PostgreSQL server"));
        let next = self.fleets.len();
        let new = !self.fleets.contains_key(data);
        let number = *self.fleets.entry(data.to_owned()).or_insert(next);
        let url = |service: &'static str| {
            let name = format!("f{number}_{}", service.replace('-', "_"));
            (service, if new { server.create(&name) } else { server.url(&name) })
        };
        SERVICES.map(url).into()
    }

    fn nats(&mut self, data: &Path) -> &mut Nats {
        let new = || Nats::start().expect("a NATS server");
        self.nats.entry(data.to_owned()).or_insert_with(new)
    }
}

//! What the fleets under test run on. `WAYBILL_TEST_BACKEND=postgres`, `nats` or `postgres,nats` puts every fleet of every
//! test on real servers: one PostgreSQL server with a database for each service, one NATS server for each fleet. Where that
//! is asked for, a server that cannot be had fails the test. Between a fleet and its servers is a line that can be cut.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex, MutexGuard},
    time::Duration,
};

use crate::{
    engines::{Nats, Postgres},
    proxy::Proxy,
};

pub(crate) const SERVICES: [&str; 8] = [
    "mobile-app",
    "auth",
    "restaurant-availability",
    "payment-gateway",
    "restaurant-orders",
    "delivery-assignment",
    "tracking",
    "notification",
];

/// How long a server is dead.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the lines are cut.
const PARTITION: Duration = Duration::from_secs(12);

/// The servers of this test process. A fleet that is started again on its folder finds its databases and its streams.
#[derive(Default)]
struct Servers {
    postgres: Option<(Postgres, Proxy)>,
    fleets: HashMap<PathBuf, usize>,
    nats: HashMap<PathBuf, (Nats, Proxy)>,
    /// Fleets that use those of another, by their folders.
    guests: HashMap<PathBuf, PathBuf>,
}

static SERVERS: LazyLock<Mutex<Servers>> = LazyLock::new(Mutex::default);

/// Whether `engine` was asked for.
pub(crate) fn is(engine: &str) -> bool {
    std::env::var("WAYBILL_TEST_BACKEND").unwrap_or_default().split(',').any(|name| name.trim() == engine)
}

/// For `--env`: the settings of a fleet whose files are in `data`.
pub(crate) fn settings(data: &Path) -> Vec<String> {
    let mut servers = servers();
    let data = &servers.guests.get(data).cloned().unwrap_or_else(|| data.to_owned());
    let mut settings = Vec::new();
    if is("postgres") {
        let urls = servers.databases(data);
        settings.extend(urls.into_iter().map(|(service, url)| format!("{service}:DATABASE_URL={url}")));
    }
    if is("nats") {
        let url = format!("nats://{}", servers.nats(data).1.address);
        settings.extend(SERVICES.map(|service| format!("{service}:WAYBILL_NATS_ACK_WAIT=5s")));
        settings.extend(SERVICES.map(|service| format!("{service}:NATS_URL={url}")));
    }
    settings
}

/// The fleet whose files are in `guest` will use the servers, databases and streams of the one in `host`.
pub(crate) fn share(host: &Path, guest: &Path) {
    servers().guests.insert(guest.to_owned(), host.to_owned());
}

/// What befalls the servers of a fleet in this round of a test that kills: each dies and comes back, or the lines to both are
/// cut for longer than a statement may take. Nothing where the fleet has no servers.
pub(crate) fn trouble(data: &Path, round: usize) {
    let mut servers = servers();
    let Servers { postgres, nats, .. } = &mut *servers;
    let nats = nats.get_mut(data);
    match (round % 4, postgres, nats) {
        (1, Some((server, _)), _) => {
            server.kill();
            std::thread::sleep(PAUSE);
            server.run();
        }
        (2, _, Some((server, _))) => {
            server.kill();
            std::thread::sleep(PAUSE);
            server.run();
        }
        (3, postgres, nats) => {
            let lines = postgres.iter().map(|(_, line)| line).chain(nats.iter().map(|(_, line)| line));
            let lines: Vec<_> = lines.collect();
            lines.iter().for_each(|line| line.cut());
            std::thread::sleep(if lines.is_empty() { Duration::ZERO } else { PARTITION });
            lines.iter().for_each(|line| line.mend());
        }
        _ => {}
    }
}

fn servers() -> MutexGuard<'static, Servers> {
    SERVERS.lock().unwrap()
}

// === impl Servers ===

impl Servers {
    fn databases(&mut self, data: &Path) -> Vec<(&'static str, String)> {
        let start = || {
            let server = Postgres::start().expect("a PostgreSQL server");
            let proxy = Proxy::to(server.address());
            (server, proxy)
        };
        let (server, proxy) = self.postgres.get_or_insert_with(start);
        let next = self.fleets.len();
        let new = !self.fleets.contains_key(data);
        let number = *self.fleets.entry(data.to_owned()).or_insert(next);
        let url = |service: &'static str| {
            let name = format!("f{number}_{}", service.replace('-', "_"));
            let url = if new { server.create(&name) } else { server.url(&name) };
            (service, url.replace(&server.address().to_string(), &proxy.address.to_string()))
        };
        SERVICES.map(url).into()
    }

    fn nats(&mut self, data: &Path) -> &mut (Nats, Proxy) {
        let new = || {
            let server = Nats::start().expect("a NATS server");
            let proxy = Proxy::to(server.address());
            (server, proxy)
        };
        self.nats.entry(data.to_owned()).or_insert_with(new)
    }
}

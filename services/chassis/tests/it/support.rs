//! Services to test with, and patience.

use std::{
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use chassis::{App, Running, Service, Settings, Start};

/// Settings for a service on a free port, with its database in `folder`.
pub(crate) fn settings(folder: &Path, name: &str, more: &[(&str, &str)]) -> Settings {
    let database = format!("sqlite://{}/{name}.db", folder.display());
    let base = [("WAYBILL_LISTEN", "127.0.0.1:0"), ("DATABASE_URL", database.as_str())];
    Settings::from_pairs(base.into_iter().chain(more.iter().copied()))
}

/// A service with the given parts.
/// An address that nobody listens on yet, below the ports that the system gives away by itself.
pub(crate) fn nobody() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id() + NEXT.fetch_add(1, Ordering::Relaxed);
        let address = SocketAddr::from(([127, 0, 0, 1], 10_000 + u16::try_from(number % 6_000).unwrap()));
        if std::net::TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

pub(crate) fn service(name: &'static str, app: fn(&Start) -> App) -> Service {
    Service { name, version: "0.0.0", default_port: 0, app }
}

/// Starts it.
pub(crate) async fn start(service: Service, settings: Settings) -> Running {
    chassis::start(service, settings).await.expect("the service starts")
}

/// Asks again until `check` gives a value, for ten seconds.
pub(crate) async fn eventually<T, Fut: Future<Output = Option<T>>>(
    what: &str,
    mut check: impl FnMut() -> Fut,
) -> T {
    for _ in 0..400 {
        if let Some(value) = check().await {
            return value;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("never happened: {what}");
}

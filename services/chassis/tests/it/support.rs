//! Services to test with, and patience.

use std::{path::Path, time::Duration};

use chassis::{App, Running, Service, Settings, Start};

/// Settings for a service on a free port, with its database in `folder`.
pub(crate) fn settings(folder: &Path, name: &str, more: &[(&str, &str)]) -> Settings {
    let database = format!("sqlite://{}/{name}.db", folder.display());
    let base = [("WAYBILL_LISTEN", "127.0.0.1:0"), ("DATABASE_URL", database.as_str())];
    Settings::from_pairs(base.into_iter().chain(more.iter().copied()))
}

/// A service with the given parts.
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

//! The whole trace store in one call: OTLP in on one port, Jaeger's APIs and UI on the other.

use humantime::parse_duration;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::api::{self, ApiOptions};
use crate::ui::UiError;
use crate::{Store, StoreError, StoreOptions, SyncMode, receiver};

/// Time that open queries have when the process ends.
const DRAIN: Duration = Duration::from_secs(5);

/// Where it listens, where its files are, how it behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// OTLP over gRPC and HTTP. Default 127.0.0.1:14317.
    pub otlp: SocketAddr,
    /// Query API and UI. Default 127.0.0.1:16686.
    pub http: SocketAddr,
    /// The store.
    pub store: StoreOptions,
    /// The query API and the UI.
    pub api: ApiOptions,
}

/// Why it cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Settings that cannot be used, all of them.
    #[error("bad settings: {}", .0.join("; "))]
    Settings(Vec<String>),
    /// A port that cannot be had.
    #[error("cannot listen on {address}; is it in use already?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The store.
    #[error("cannot open the trace store")]
    Store(#[source] StoreError),
    /// The Jaeger UI.
    #[error("cannot set up the Jaeger UI")]
    Ui(#[source] UiError),
    /// A listener failed.
    #[error("cannot go on listening")]
    Serve(#[source] io::Error),
}

/// A trace store that has its ports and its files, and does not serve yet.
#[derive(Debug)]
pub struct Bound {
    otlp: TcpListener,
    http: TcpListener,
    /// Where OTLP is taken.
    pub otlp_address: SocketAddr,
    /// Where queries are answered.
    pub http_address: SocketAddr,
    store: Store,
    router: axum::Router,
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self {
            otlp: SocketAddr::from(([127, 0, 0, 1], 14317)),
            http: SocketAddr::from(([127, 0, 0, 1], 16686)),
            store: StoreOptions::default(),
            api: ApiOptions::default(),
        }
    }
}

impl Options {
    /// Reads `WAYBILL_TRACESTORE_OTLP`, `WAYBILL_TRACESTORE_HTTP` (addresses), `WAYBILL_DATA` (folder for its
    /// files, `data/tracestore` by default), `WAYBILL_TRACESTORE_RETENTION` (`7d`),
    /// `WAYBILL_TRACESTORE_RETENTION_BYTES`, `WAYBILL_TRACESTORE_SYNC` (`always`, or an interval such as `50ms`), and
    /// what [`ApiOptions::read`] does.
    ///
    /// # Errors
    /// [`RunError::Settings`] with every value that cannot be used.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, RunError> {
        let mut options = Self::default();
        let mut bad = Vec::new();
        let mut read = |name: &str, set: &mut dyn FnMut(&str) -> Result<(), String>| {
            if let Some(value) = get(name).filter(|value| !value.is_empty())
                && let Err(why) = set(&value)
            {
                bad.push(format!("{name}={value}: {why}"));
            }
        };
        let said = |error: &dyn std::error::Error| error.to_string();
        read("WAYBILL_TRACESTORE_OTLP", &mut |v| v.parse().map(|a| options.otlp = a).map_err(|e| said(&e)));
        read("WAYBILL_TRACESTORE_HTTP", &mut |v| v.parse().map(|a| options.http = a).map_err(|e| said(&e)));
        let store = &mut options.store;
        read("WAYBILL_DATA", &mut |v| {
            store.dir = PathBuf::from(v);
            Ok(())
        });
        read("WAYBILL_TRACESTORE_RETENTION", &mut |v| {
            parse_duration(v).map(|age| store.retention_age = age).map_err(|e| said(&e))
        });
        read("WAYBILL_TRACESTORE_RETENTION_BYTES", &mut |v| {
            v.parse()
                .map(|bytes| store.retention_bytes = bytes)
                .map_err(|_| "not a number of bytes".to_owned())
        });
        read("WAYBILL_TRACESTORE_SYNC", &mut |v| {
            store.sync = match v {
                "always" => SyncMode::Always,
                interval => SyncMode::Every(parse_duration(interval).map_err(|e| said(&e))?),
            };
            Ok(())
        });
        options.api = ApiOptions::read(get, &mut bad);
        if bad.is_empty() { Ok(options) } else { Err(RunError::Settings(bad)) }
    }
}

// === impl Bound ===

impl Bound {
    /// Takes the ports and opens the store. A port 0 becomes a free one.
    ///
    /// # Errors
    /// When a port is taken, the folder is in use or cannot be written, or the UI cannot be set up.
    pub async fn bind(options: Options) -> Result<Self, RunError> {
        let otlp = listen(options.otlp).await?;
        let http = listen(options.http).await?;
        let store = options.store;
        let opened = tokio::task::spawn_blocking(move || Store::open(store)).await;
        let store = opened.unwrap_or(Err(StoreError::Closed)).map_err(RunError::Store)?;
        let router = api::router(std::sync::Arc::new(store.clone()), options.api).map_err(RunError::Ui)?;
        let address = |listener: &TcpListener, asked| listener.local_addr().unwrap_or(asked);
        let (otlp_address, http_address) = (address(&otlp, options.otlp), address(&http, options.http));
        Ok(Self { otlp, http, otlp_address, http_address, store, router })
    }

    /// Serves until `shutdown`; what was taken by then is durable on return.
    ///
    /// # Errors
    /// When a listener fails for good.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        let (stop, stopped) = watch::channel(());
        let wait = |mut stopped: watch::Receiver<()>| async move {
            // An error means that the sender is gone, which is a stop as well.
            let _ = stopped.changed().await;
        };
        tracing::info!(otlp = %self.otlp_address, http = %self.http_address, "trace store ready");
        let taking = receiver::serve(self.otlp, self.store.clone(), wait(stopped.clone()));
        let answering = axum::serve(self.http, self.router).with_graceful_shutdown(wait(stopped));
        let serving = async { tokio::try_join!(taking, async { answering.await }) };
        tokio::pin!(serving);
        let outcome = tokio::select! {
            outcome = &mut serving => outcome.map(drop),
            () = shutdown => {
                drop(stop);
                match tokio::time::timeout(DRAIN, serving).await {
                    Ok(outcome) => outcome.map(drop),
                    Err(_) => {
                        tracing::warn!("queries were still open when the trace store stopped");
                        Ok(())
                    }
                }
            }
        };
        let store = self.store;
        if tokio::task::spawn_blocking(move || store.close()).await.is_err() {
            tracing::error!("the store did not close in order");
        }
        tracing::info!("trace store stopped");
        outcome.map_err(RunError::Serve)
    }
}

/// Runs a trace store until `shutdown`.
///
/// # Errors
/// As [`Bound::bind`] and [`Bound::serve`].
pub async fn run(options: Options, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
    Bound::bind(options).await?.serve(shutdown).await
}

async fn listen(address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address).await.map_err(|source| RunError::Listen { address, source })
}

//! A service's life: settings, telemetry, tables, port, work, drain, flush.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    App, BadSettings, Database, Service, Settings, Start, book,
    bus::{self, Bus},
    database::OpenError,
    edge::{Edge, Limits},
    error::Error,
    health, observed, server,
};

/// Why a service did not start, or had to stop. Each text names the setting or the part.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Settings that cannot be used, all at once.
    #[error(transparent)]
    Settings(#[from] BadSettings),
    /// `OTEL_*` settings, or telemetry itself.
    #[error("telemetry cannot start")]
    Telemetry(#[from] telemetry::InitError),
    /// The database.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// Seeding or resuming failed.
    #[error("cannot prepare the service: {0:?}")]
    First(Error),
    /// The port.
    #[error("cannot listen on WAYBILL_LISTEN={address}; is another process using it?")]
    Listen {
        /// What was to be bound.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The process cannot hear signals.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    /// A background part ended; the process ends too, so that it is restarted whole.
    #[error("worker {0} ended unexpectedly")]
    Worker(&'static str),
}

/// A service that runs in this process: tests, and whoever wants several in one.
#[derive(Debug)]
pub struct Running {
    /// The bound address.
    pub address: SocketAddr,
    /// `http://<address>`.
    pub url: String,
    stop: CancellationToken,
    body: JoinSet<Result<(), RunError>>,
}

/// Runs a service as this process: environment, telemetry, until SIGTERM or SIGINT.
///
/// # Errors
/// [`RunError`]; what was acknowledged before is safe in the database.
pub async fn run(service: Service) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let told = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    run_until(service, told).await
}

/// As [`run`], until `told` resolves.
///
/// # Errors
/// As [`run`].
pub async fn run_until(service: Service, told: impl Future<Output = ()>) -> Result<(), RunError> {
    let settings = Settings::from_env();
    let guard = telemetry::init(observed(&service))?;
    let flush = settings.duration("WAYBILL_FLUSH_TIMEOUT", "5s");
    let outcome = async {
        let mut running = start(service, settings).await?;
        tracing::info!(address = %running.address, version = service.version, "listening");
        tokio::select! {
            () = told => {}
            ended = running.ended() => return ended,
        }
        tracing::info!("draining");
        running.stop().await
    }
    .await;
    if let Err(e) = &outcome {
        tracing::error!(error = %e, causes = causes(e), "the service stops");
    }
    if !guard.shutdown(flush).await {
        // Telemetry is gone by now: this goes to the console layer only.
        tracing::warn!("not all telemetry left in time");
    }
    outcome
}

/// Lets a service read its settings as [`start`] would, and starts nothing. Needs a tokio runtime.
///
/// # Errors
/// All bad settings at once.
pub fn check(service: &Service, settings: Settings) -> Result<(), BadSettings> {
    prepare(service, settings).settings.check()
}

/// Starts a service in this process, on `WAYBILL_LISTEN` of the given settings (`127.0.0.1:0` picks a free port).
/// Telemetry is whatever the process has set up.
///
/// # Errors
/// [`RunError`], before anything is acknowledged.
pub async fn start(service: Service, settings: Settings) -> Result<Running, RunError> {
    let Prepared { start, limits, address, mut app, settings } = prepare(&service, settings);
    settings.check()?;
    let (database, stop) = (start.database.clone(), start.stopping.clone());

    database.prepare(app.migrations).await?;
    for first in std::mem::take(&mut app.first) {
        first().await.map_err(RunError::First)?;
    }
    let listener = TcpListener::bind(address).await.map_err(|source| RunError::Listen { address, source })?;
    let address = listener.local_addr().map_err(|source| RunError::Listen { address, source })?;
    let mut body = JoinSet::new();
    body.spawn(live(service.name, app, start, listener, limits));
    Ok(Running { address, url: format!("http://{address}"), stop, body })
}

/// A service that has read its settings and opened nothing.
struct Prepared {
    start: Start,
    limits: Limits,
    address: SocketAddr,
    app: App,
    settings: Settings,
}

fn prepare(service: &Service, settings: Settings) -> Prepared {
    let database = Database::from_settings(&settings, service.name);
    let bus = Bus::new(&settings, service.name, database.clone());
    let start = Start { settings: settings.clone(), database, bus, stopping: CancellationToken::new() };
    let limits = Limits::from_settings(&settings);
    let address = start.listen(service);
    let app = (service.app)(&start);
    Prepared { start, limits, address, app, settings }
}

// === impl Running ===

impl Running {
    /// Drains: requests and messages in flight end within `WAYBILL_DRAIN_TIMEOUT`, then all stops.
    ///
    /// # Errors
    /// Those of a worker that ended before.
    pub async fn stop(mut self) -> Result<(), RunError> {
        self.stop.cancel();
        self.ended().await
    }

    /// Cuts everything at once, as a killed process would be; what was committed stays.
    pub async fn kill(mut self) {
        self.body.abort_all();
        while self.body.join_next().await.is_some() {}
    }

    /// Waits for the service to end by itself.
    ///
    /// # Errors
    /// Why it ended.
    pub async fn ended(&mut self) -> Result<(), RunError> {
        match self.body.join_next().await {
            Some(Ok(outcome)) => outcome,
            Some(Err(e)) if e.is_panic() => Err(RunError::Worker("listener")),
            _ => Ok(()),
        }
    }
}

/// Everything that runs while the service lives. Dropped, it takes all of it along.
async fn live(
    name: &'static str,
    app: App,
    start: Start,
    listener: TcpListener,
    limits: Limits,
) -> Result<(), RunError> {
    let Start { database, bus, stopping: stop, .. } = start;
    let mut workers = JoinSet::new();
    let mut names = std::collections::HashMap::new();
    for (name, work) in app.workers {
        names.insert(workers.spawn(work(stop.clone())).id(), name);
    }
    // The relay outlives the requests: what they committed while draining should still leave.
    let requests_done = CancellationToken::new();
    let consumers = Arc::new(app.consumers);
    names.insert(workers.spawn(bus::relay(bus.clone(), requests_done.clone(), limits.drain)).id(), "outbox");
    names.insert(
        workers.spawn(bus::work(bus.clone(), consumers.clone(), stop.clone(), limits.drain)).id(),
        "inbox",
    );

    let book = book::routes(name, app.book, database.clone(), bus.clone());
    let routes = app.http.merge(bus::routes(bus.clone(), consumers));
    let grpc = app
        .grpc
        .map_or_else(|| tonic::service::Routes::default().into_axum_router(), |r| r.into_axum_router());
    let meta = match app.grpc_names.as_slice() {
        [] => Router::new(),
        names => health::grpc(names, &app.descriptors).await,
    };
    let health =
        health::routes(database.clone(), bus, stop.clone()).merge(book).merge(observed::routes(name));
    let edge = Edge::new(routes, grpc, meta, health, app.layer, limits);

    let serve = server::serve(listener, edge, limits, stop.clone());
    tokio::pin!(serve);
    loop {
        let ended = tokio::select! {
            () = &mut serve => break,
            Some(ended) = workers.join_next_with_id() => ended,
        };
        // Those that heard the stop may go; anyone else takes the service along.
        if !stop.is_cancelled() || ended.is_err() {
            let id = ended.map_or_else(|e| e.id(), |(id, ())| id);
            return Err(RunError::Worker(names.get(&id).copied().unwrap_or("unknown")));
        }
    }
    requests_done.cancel();
    let rest = async { while workers.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain + Duration::from_secs(1), rest).await.is_err() {
        tracing::warn!("background work was cut: it did not end in time");
    }
    database.close().await;
    Ok(())
}

/// The service as telemetry sees it.
fn observed(service: &Service) -> telemetry::Service {
    const BAGGAGE: &[(&str, &str)] = &[
        (contracts::keys::ORDER_ID, contracts::keys::ORDER_ID),
        (contracts::keys::SYNTHETIC, "user_agent.synthetic.type"),
    ];
    telemetry::Service::new(service.name, service.version).namespace("waybill").baggage(BAGGAGE)
}

fn causes(e: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = e.source();
    while let Some(e) = next {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&e.to_string());
        next = e.source();
    }
    text
}

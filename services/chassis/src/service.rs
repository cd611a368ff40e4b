//! What a service is ([`Service`]), what it is given ([`Start`]) and what it consists of ([`App`]).

use std::{convert::Infallible, future::Future, net::SocketAddr, pin::Pin, sync::Arc};

use axum::Router;
use serde::de::DeserializeOwned;
use sqlx::migrate::Migrator;
use tokio_util::sync::CancellationToken;
use tonic::{body::Body as GrpcBody, server::NamedService, service::Routes};
use tower::Service as TowerService;

use crate::{
    Book, Database, Settings,
    bus::{Bus, Consumer, Message},
    channel::{self, Channel},
    client::{self, Http},
    database::Migrations,
    error::Error,
};

/// A service of the route, as a constant of its crate.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// `service.name`, such as `auth`.
    pub name: &'static str,
    /// `service.version`.
    pub version: &'static str,
    /// Port on 127.0.0.1 where `WAYBILL_LISTEN` says nothing.
    pub default_port: u16,
    /// Builds the service. It reads its settings here and opens nothing.
    pub app: fn(&Start) -> App,
}

/// What a service is built from.
#[derive(Debug, Clone)]
pub struct Start {
    /// The environment.
    pub settings: Settings,
    /// The service's own database, not yet open.
    pub database: Database,
    /// The way to send messages.
    pub bus: Bus,
    /// Cancelled when the service begins to drain: streams that would never end by themselves end on it.
    pub stopping: CancellationToken,
}

type Work = Box<dyn FnOnce(CancellationToken) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;
type First = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send>> + Send>;

/// A service's parts.
#[derive(Default)]
pub struct App {
    pub(crate) http: Router,
    pub(crate) layer: telemetry::http::ServerLayer,
    pub(crate) grpc: Option<Routes>,
    pub(crate) grpc_names: Vec<&'static str>,
    pub(crate) descriptors: Vec<&'static [u8]>,
    pub(crate) migrations: Option<Migrations>,
    pub(crate) first: Vec<First>,
    pub(crate) workers: Vec<(&'static str, Work)>,
    pub(crate) consumers: Vec<Arc<dyn Consumer>>,
    pub(crate) book: Option<Book>,
}

// === impl Start ===

impl Start {
    /// `WAYBILL_RESILIENCE`: `off` is the naive pipeline of the tale.
    pub fn resilient(&self) -> bool {
        self.settings.switch("WAYBILL_RESILIENCE", true)
    }

    /// Base URL of a part of ours, such as `payment-gateway`, from `PAYMENT_GATEWAY_URL`.
    pub fn url_of(&self, peer: &str) -> String {
        let (variable, port) = client::address_of(peer);
        self.settings.url(&variable, &format!("http://127.0.0.1:{port}"))
    }

    /// gRPC to a part of ours. Connects when first used, and again when the connection is lost.
    pub fn grpc(&self, peer: &'static str) -> Channel {
        channel::grpc(peer, &self.url_of(peer), &self.settings)
    }

    /// HTTP to a part of ours: trace context, baggage and remaining time travel along.
    pub fn http(&self, peer: &'static str) -> Http {
        Http::ours(peer, self.url_of(peer), &self.settings)
    }

    /// HTTP to a third party, such as `card-network`, from `CARD_NETWORK_URL`: `traceparent` travels, baggage never does.
    pub fn partner(&self, peer: &'static str) -> Http {
        let variable = format!("{}_URL", peer.to_ascii_uppercase().replace('-', "_"));
        let url = self.settings.url(&variable, &format!("http://127.0.0.1:8090/{peer}"));
        Http::partner(peer, url, &self.settings)
    }

    pub(crate) fn listen(&self, service: &Service) -> SocketAddr {
        let default = SocketAddr::from(([127, 0, 0, 1], service.default_port));
        self.settings.address("WAYBILL_LISTEN", default)
    }
}

// === impl App ===

impl App {
    /// A service without parts.
    pub fn new() -> Self {
        Self::default()
    }

    /// HTTP routes. Telemetry, limits, errors and health are added around them.
    #[must_use]
    pub fn http(mut self, routes: Router) -> Self {
        self.http = self.http.merge(routes);
        self
    }

    /// The telemetry layer around the HTTP routes, where the default, which trusts its callers' context, does not fit:
    /// the front door's.
    #[must_use]
    pub fn http_layer(mut self, layer: telemetry::http::ServerLayer) -> Self {
        self.layer = layer;
        self
    }

    /// A gRPC service on the same port. Health and reflection are added.
    #[must_use]
    pub fn grpc<S>(mut self, service: S) -> Self
    where
        S: TowerService<http::Request<GrpcBody>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.grpc_names.push(S::NAME);
        self.grpc = Some(match self.grpc.take() {
            Some(routes) => routes.add_service(service),
            None => Routes::new(service),
        });
        self
    }

    /// The encoded `FileDescriptorSet` that gRPC reflection serves.
    #[must_use]
    pub fn descriptors(mut self, set: &'static [u8]) -> Self {
        self.descriptors.push(set);
        self
    }

    /// The service's own tables: `sqlx::migrate!()`, run at start.
    #[must_use]
    pub fn migrations(mut self, migrator: &'static Migrator) -> Self {
        self.migrations = Some(Migrations { portable: migrator, postgres: None });
        self
    }

    /// As [`App::migrations`], where PostgreSQL needs other words: `sqlx::migrate!("./migrations/postgres")`.
    #[must_use]
    pub fn migrations_by_engine(mut self, sqlite: &'static Migrator, postgres: &'static Migrator) -> Self {
        self.migrations = Some(Migrations { portable: sqlite, postgres: Some(postgres) });
        self
    }

    /// What the service has on record of each order, served at `GET /book`.
    #[must_use]
    pub fn book(mut self, book: Book) -> Self {
        self.book = Some(book);
        self
    }

    /// Runs once after the migrations and before the port is opened: seeding, resuming.
    #[must_use]
    pub fn first<F, Fut>(mut self, work: F) -> Self
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), Error>> + Send + 'static,
    {
        self.first.push(Box::new(move || Box::pin(work())));
        self
    }

    /// Runs in the background until its token is cancelled; it must return then. One that returns or panics before that
    /// brings the service down, so that its supervisor restarts it whole.
    #[must_use]
    pub fn worker<F, Fut>(mut self, name: &'static str, work: F) -> Self
    where
        F: FnOnce(CancellationToken) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.workers.push((name, Box::new(move |stop| Box::pin(work(stop)))));
        self
    }

    /// Handles messages of one type: at least once, in order per order, each run inside its `process` span. `Err` with a
    /// kind that [`is_transient`](crate::Kind::is_transient) is tried again with growing pauses, any other is set aside.
    #[must_use]
    pub fn on<T, F, Fut>(mut self, event_type: &'static str, handler: F) -> Self
    where
        T: DeserializeOwned + Send + 'static,
        F: Fn(Message<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Error>> + Send + 'static,
    {
        self.consumers.push(crate::bus::consumer(event_type, handler));
        self
    }
}

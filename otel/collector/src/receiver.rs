//! The `otlp` receiver: OTLP over gRPC and over HTTP, to the letter of the OTLP specification 1.11.

mod body;
mod codec;
mod decompress;
mod grpc;
mod http;
mod status;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::Error;
use crate::config::{GrpcServer, HttpServer, Section};
use crate::otlp::walk::{self, Malformed};
use crate::pipeline::{Batch, Consumer, Refusal, Signal};
use crate::serve::{self, Limits, Server};
use crate::telemetry::{Counter, Registry};
pub(crate) use body::Budget;
pub(crate) use codec::RawCodec;
pub(crate) use status::Fault;

/// `receivers::otlp`.
#[derive(Debug, Clone)]
pub(crate) struct OtlpReceiver {
    pub(crate) grpc: Option<GrpcServer>,
    pub(crate) http: Option<HttpServer>,
}

/// Where an accepted request goes, by signal, and how it is counted.
pub(crate) struct Intake {
    next: [Option<Arc<dyn Consumer>>; 3],
    accepted: [Counter; 3],
    refused: [Counter; 3],
}

/// Why a request was not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IntakeError {
    #[error("{0}")]
    Malformed(#[from] Malformed),
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("no pipeline takes {0}")]
    NoPipeline(&'static str),
}

// === impl OtlpReceiver ===

impl OtlpReceiver {
    pub(crate) fn read(mut section: crate::config::Section) -> Option<Self> {
        if !section.has("protocols") {
            section.fault("protocols", "is required, with grpc, http or both");
        }
        let mut protocols = section.section_or_empty("protocols");
        section.finish();
        let (wants_grpc, wants_http) = (protocols.has("grpc"), protocols.has("http"));
        let grpc = protocols.section("grpc").and_then(GrpcServer::read);
        let http = protocols.section("http").and_then(HttpServer::read);
        if !wants_grpc && !wants_http {
            protocols.report().fault(protocols.path(), "needs grpc, http or both");
        }
        Section::finish(protocols);
        Some(Self { grpc, http })
    }

    /// Binds and serves; returns the servers with the names that the addresses go by.
    pub(crate) async fn start(
        &self,
        id: &str,
        next: [Option<Arc<dyn Consumer>>; 3],
        registry: &Registry,
        budget: &Budget,
    ) -> Result<Vec<(String, Server)>, Error> {
        let mut servers = Vec::new();
        if let Some(settings) = &self.grpc {
            let path = format!("receivers::{id}::protocols::grpc");
            let listener = bind(&path, settings.endpoint).await?;
            let intake = Arc::new(Intake::new(id, "grpc", next.clone(), registry));
            let limits = Limits {
                header_timeout: std::time::Duration::from_secs(20),
                max_streams: settings.max_streams,
                keepalive: settings.keepalive,
                keepalive_timeout: settings.keepalive_timeout,
            };
            let service = grpc::service(settings, intake, budget.clone());
            servers.push((
                format!("{id}/grpc"),
                serve::start_tls(listener, settings.tls.clone(), service, limits),
            ));
        }
        if let Some(settings) = &self.http {
            let path = format!("receivers::{id}::protocols::http");
            let listener = bind(&path, settings.endpoint).await?;
            let intake = Arc::new(Intake::new(id, "http", next, registry));
            let limits = Limits { header_timeout: settings.header_timeout, ..Limits::default() };
            let service = http::service(settings, intake, budget.clone());
            servers.push((
                format!("{id}/http"),
                serve::start_tls(listener, settings.tls.clone(), service, limits),
            ));
        }
        Ok(servers)
    }
}

// === impl Intake ===

impl Intake {
    fn new(id: &str, transport: &str, next: [Option<Arc<dyn Consumer>>; 3], registry: &Registry) -> Self {
        let labels = [("receiver", id), ("transport", transport)];
        let counters = |word: &str, help| {
            Signal::ALL
                .map(|signal| registry.counter(&format!("receiver_{word}_{}", signal.items()), help, &labels))
        };
        // Upstream counts what it did not take as refused, unless a feature gate tells the two apart: so do we, and the
        // other series is there for those who ask for it.
        counters(
            "failed",
            "Number of items that failed to be processed by the receiver due to internal errors",
        );
        Self {
            next,
            accepted: counters("accepted", "Number of items successfully pushed into the pipeline"),
            refused: counters("refused", "Number of items that could not be pushed into the pipeline"),
        }
    }

    /// Checks a request and passes it on. An empty one is a success that reaches nobody.
    pub(crate) async fn accept(&self, signal: Signal, bytes: bytes::Bytes) -> Result<(), IntakeError> {
        let Some(next) = &self.next[signal as usize] else {
            return Err(IntakeError::NoPipeline(signal.word()));
        };
        let items = walk::check(signal, &bytes)?;
        if items == 0 {
            return Ok(());
        }
        let outcome = next.consume(Batch { signal, items, parts: vec![bytes] }).await;
        let counters = if outcome.is_ok() { &self.accepted } else { &self.refused };
        counters[signal as usize].add(items);
        Ok(outcome?)
    }

    /// Whether a pipeline takes `signal`.
    pub(crate) fn takes(&self, signal: Signal) -> bool {
        self.next[signal as usize].is_some()
    }
}

/// Binds `address` for `component`.
pub(crate) async fn bind(component: &str, address: SocketAddr) -> Result<TcpListener, Error> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| Error::Bind { component: component.to_owned(), address, source })
}

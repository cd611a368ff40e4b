//! Exporters: where telemetry leaves the collector. Each kind is one file and one row of [`KINDS`].

mod debug;
mod otlp_grpc;
mod otlp_http;
mod prometheus;
mod retry;
mod sender;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::Error;
use crate::config::{Id, Section};
use crate::pipeline::{Batch, Consumer, Signal};
use crate::serve::Server;
use crate::start::Context;

/// The settings of one exporter, checked.
#[async_trait]
pub(crate) trait ExporterConfig: Debug + Send + Sync {
    /// The signals that it takes.
    fn signals(&self) -> &'static [Signal];

    /// The `file_storage` extension that its queue is kept in.
    fn storage(&self) -> Option<&Id>;

    /// Builds it for one signal.
    async fn build(&self, id: &Id, signal: Signal, context: &Context) -> Result<Built, Error>;
}

/// An exporter that runs.
pub(crate) struct Built {
    pub(crate) consumer: Arc<dyn Consumer>,
    /// What it listens on, where it does.
    pub(crate) server: Option<Server>,
}

/// Sends one batch once.
#[async_trait]
pub(crate) trait Transport: Send + Sync {
    /// One attempt.
    async fn send(&self, batch: &Batch) -> Result<(), SendError>;
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// It may succeed later.
    #[error("{message}")]
    Retryable {
        /// The wait that the backend asked for.
        after: Option<Duration>,
        message: String,
    },
    /// It never will.
    #[error("{0}")]
    Permanent(String),
}

type Configure = fn(Section) -> Option<Box<dyn ExporterConfig>>;

/// Every kind of exporter, by the names it goes by; the first is the official one.
const KINDS: &[(&[&str], Configure)] = &[
    (&["otlp_grpc", "otlp"], otlp_grpc::configure),
    (&["otlp_http", "otlphttp"], otlp_http::configure),
    (&["debug"], debug::configure),
    (&["prometheus"], prometheus::configure),
];

/// Reads the settings of the exporter `id`.
pub(crate) fn configure(id: &Id, section: Section) -> Option<Box<dyn ExporterConfig>> {
    let names: Vec<&str> = KINDS.iter().flat_map(|(names, _)| names.iter().copied()).collect();
    crate::config::known(id, "exporters", &names, &section)?;
    let (_, configure) = KINDS.iter().find(|(names, _)| names.contains(&id.kind()))?;
    configure(section)
}

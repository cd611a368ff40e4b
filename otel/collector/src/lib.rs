//! An OpenTelemetry collector: OTLP in, processors, OTLP out, driven by the official collector's configuration file.
//!
//! Telemetry is checked and counted on the wire and otherwise stays the bytes that came in: nothing is decoded on its
//! way through. A request is acknowledged when the last exporter's queue has it; with `file_storage` that is after the
//! write to its file.
//!
//! ```no_run
//! # async fn start() -> Result<(), collector::Error> {
//! let config = collector::config::Config::load("collector-config.yaml".as_ref(), &|_| None)?;
//! collector::run(config, async { let _ = tokio::signal::ctrl_c().await; }).await
//! # }
//! ```

#![allow(
    clippy::disallowed_methods,
    reason = "a collector is part of no trace that a spawned task could lose"
)]

pub mod config;
mod error;
mod exporter;
mod extension;
pub mod otlp;
pub mod pipeline;
mod process;
mod processor;
mod promtext;
mod queue;
mod receiver;
mod serve;
mod start;
mod telemetry;

/// The configuration at the top of the repository, for a program that runs elsewhere.
pub const DEFAULT_CONFIG: &str = include_str!("../../../collector-config.yaml");

/// The same with tail sampling, by the rule that only what went well is thinned.
pub const SAMPLING_CONFIG: &str = include_str!("../../../collector-sampling.yaml");

pub use config::Config;
pub use error::Error;
pub use start::{Collector, run};

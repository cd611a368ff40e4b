//! OpenTelemetry for axum, tonic and reqwest services: init from `OTEL_*`, propagation, middleware, logs.
//!
//! ```no_run
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! let telemetry = telemetry::init(telemetry::Service::new("auth", env!("CARGO_PKG_VERSION")))?;
//! let app: axum::Router = axum::Router::new().layer(telemetry::http::ServerLayer::new());
//! // … serve …
//! telemetry.shutdown(std::time::Duration::from_secs(5)).await;
//! # Ok(()) }
//! ```
//!
//! Spans inside a service are ordinary `tracing` spans named `domain.verb`; give numbers as `i64`
//! (`items = i64::from(n)`): other integers become strings on spans.

mod active;
mod body;
mod env;
mod error;
mod export;
mod guard;
mod in_force;
mod init;
mod logs;
mod metrics;
mod operation;
mod peer;
mod propagation;
mod reply;
mod service;
mod settings;
mod stats;

pub mod context;
pub mod database;
pub mod grpc;
pub mod http;
pub mod messaging;

pub use body::TracedBody;
pub use env::Env;
pub use error::{BadSetting, InitError};
pub use guard::Guard;
pub use in_force::{InForce, Oddity, in_force, oddities};
#[doc(hidden)]
pub use init::init_discarding;
pub use init::{check, init, init_with};
pub use peer::Peer;
pub use service::Service;
pub use stats::{SignalStats, Stats, stats};

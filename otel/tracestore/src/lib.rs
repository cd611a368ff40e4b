//! Durable spans and logs behind the Jaeger query API and the real Jaeger UI.
//!
//! `store` keeps them (write-ahead log, immutable segments, retention), `receiver` takes OTLP, `api` answers the Jaeger
//! query APIs, `ui` serves the Jaeger UI. `model` is what passes between them.

#![allow(
    clippy::disallowed_methods,
    reason = "a trace store is part of no trace that a spawned task could lose"
)]

pub mod api;
mod jaeger;
pub mod model;
mod nested;
pub mod receiver;
mod run;
mod store;
pub mod ui;

pub use run::{Bound, Options, RunError, run};
#[doc(hidden)]
pub use store::measure;
pub use store::{Appended, Options as StoreOptions, Stats, Store, StoreError, SyncMode};

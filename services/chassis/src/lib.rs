//! How a service runs: settings, errors, listening, health, draining, the database and the message bus.
//!
//! A service crate is a constant and a function; everything else is here.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use chassis::{App, Service, Start};
//!
//! /// The service.
//! pub const SERVICE: Service = Service { name: "auth", version: env!("CARGO_PKG_VERSION"), default_port: 8081, app };
//!
//! fn app(start: &Start) -> App {
//!     let greeting = start.settings.text("GREETING", "hello");
//!     App::new().http(Router::new().route("/greeting", get(async move || greeting)))
//! }
//! # async fn main_() -> Result<(), chassis::RunError> {
//! chassis::run(SERVICE).await
//! # }
//! ```

pub mod book;
pub mod bus;
mod carried;
pub mod channel;
pub mod client;
pub mod database;
pub mod deadline;
pub mod due;
mod edge;
mod errands;
pub mod error;
mod health;
mod names;
mod observed;
pub mod problem;
mod run;
mod server;
mod service;
mod settings;

pub use book::Book;
pub use bus::{Bus, Message};
pub use carried::Carried;
pub use channel::Channel;
pub use client::{Http, retry};
pub use database::{Database, Traced, Tx};
pub use errands::{Errand, Errands};
pub use error::{Error, Kind, Result};
pub use run::{RunError, Running, check, run, run_until, start};
pub use service::{App, Service, Start};
pub use settings::{BadSettings, Settings};

//! The outside world: card network, restaurant POS, courier fleet and push provider, as a stand-in that behaves, and on
//! order misbehaves, like third parties do.
//!
//! One process, one port, one path prefix per third party: `/card-network`, `/restaurant-pos`, `/courier-fleet`,
//! `/push-provider`. Nothing here is instrumented by us: each third party only keeps its own request log, which
//! `GET /<partner>/logs?trace_id=` and `GET /logs?trace_id=` show. Whatever was asked is done even when the caller has
//! hung up, and what was done is remembered in one SQLite file across kills.
//!
//! Misbehaviour comes by the header `X-Misbehave` of one request, or by a [`Schedule`] given at start.

mod answer;
mod card_network;
mod courier_fleet;
mod desk;
mod journal;
mod misbehaviour;
mod options;
mod partner;
mod push_provider;
mod restaurant_pos;
mod schedule;
mod server;
mod world;

pub use misbehaviour::Misbehaviour;
pub use options::{Options, OptionsError};
pub use partner::Partner;
pub use schedule::{Rule, Schedule, ScheduleError};
pub use server::{Partners, run};

/// Why the stand-in could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data folder or the file in it cannot be used.
    #[error("cannot open {path}: check that WAYBILL_DATA names a folder that can be written to")]
    Open {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: choose another address in WAYBILL_LISTEN")]
    Listen {
        /// The address asked for.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The database failed while serving.
    #[error("the partners' database failed")]
    Database(#[from] sqlx::Error),
    /// The listening socket failed while serving.
    #[error("the partners' listener failed")]
    Serve(#[source] std::io::Error),
}

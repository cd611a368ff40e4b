//! The collector through its public faces: sockets, files, its configuration.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod backends;
mod bad_input;
mod configuration;
mod durability;
mod forward;
mod generated;
mod papers;
mod prometheus;
mod properties;
mod rig;
mod sampling;
mod secure;

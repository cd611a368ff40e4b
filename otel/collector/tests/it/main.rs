//! The collector through its public faces: sockets, files, its configuration.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod bad_input;
mod durability;
mod forward;
mod rig;

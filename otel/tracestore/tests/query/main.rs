//! The HTTP face of the trace store, asked in process.
#![allow(clippy::unwrap_used, reason = "tests")]

mod browser;
mod client;
mod conformance;
mod logs;
mod memory;
mod order;
mod others;
mod search;
mod spans;
mod traces;
mod ui;
mod v3;

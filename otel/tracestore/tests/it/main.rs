//! The trace store through its public face: real files, real processes, real faults.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod durability;
mod requests;
mod search;

//! The trace store through its public face: real files, real processes, real faults.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod crash;
mod durability;
mod full;
mod malformed;
mod receiver;
mod requests;
mod search;
mod whole;

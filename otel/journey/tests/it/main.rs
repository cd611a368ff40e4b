//! The engine through its public face: real traces, made-up ones with witnesses, and what must hold of any.
#![allow(clippy::unwrap_used, reason = "tests")]

mod any;
mod parcel;
mod real;
mod schema;
mod witnesses;

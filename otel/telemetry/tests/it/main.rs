//! What a receiver gets, under every setting and every way to end.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod clients;
mod delivery;
mod exporters;
mod grpc;
mod layers;
mod matrix;
mod probe;
mod receiver;
mod trace;

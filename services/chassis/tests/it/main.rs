//! The chassis through its public face: services in process on free ports.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod book;
mod broker;
mod bus;
mod contention;
mod drain;
mod edge;
mod engines;
mod full;
mod grpc;
mod outage;
mod proxy;
mod replicas;
mod small;
mod support;
mod world;

//! The whole of Waybill as real processes on free ports, asked through its public faces only.
//!
//! One binary for all of it, so that tests that only read can share one running fleet.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod backend;
mod balancer;
mod customer;
#[path = "../../services/chassis/tests/it/engines.rs"]
mod engines;
mod harness;
#[path = "../../services/chassis/tests/it/proxy.rs"]
mod proxy;
#[path = "../../services/chassis/tests/it/small.rs"]
mod small;

mod bad_input;
mod both_collectors;
mod browser;
mod catalogue;
mod dead_letters;
mod demo;
mod doctor;
mod foreign;
mod incident;
mod kills;
mod load;
mod lost;
mod one_order;
mod open_search;
mod replicas;
mod settings;
mod supervisor;
mod telemetrygen;
mod where_is;

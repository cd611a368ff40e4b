//! The chassis through its public face: services in process on free ports.

#![allow(clippy::unwrap_used, reason = "tests")]

mod bus;
mod edge;
mod support;

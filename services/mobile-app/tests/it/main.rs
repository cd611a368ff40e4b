//! The front door with its real neighbours (auth, restaurant-availability, payment-gateway, partners), all in this process
//! on free ports; restaurant-orders is a stand-in that the tests direct.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod bad_input;
mod faults;
mod orders;
mod receiver;
mod street;
mod traces;

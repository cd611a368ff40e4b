//! The whole of Waybill as real processes on free ports, asked through its public faces only.
//!
//! One binary for all of it, so that tests that only read can share one running fleet.

mod harness;

mod supervisor;

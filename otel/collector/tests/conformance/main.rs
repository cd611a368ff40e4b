//! The official collector and ours, side by side: the same file starts both, the same traffic goes through both.
//!
//! `OTELCOL=/path/to/otelcol` names the official one (`make conformance` finds or builds it). Without it each test says
//! that it was skipped. Differences that stay are rows of tables here and in `docs/conformance.md`, tied by the upstream
//! file and line; a row that is no longer true fails its test, and so does one that no test holds.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs, reason = "tests; what is skipped is said")]

#[path = "../it/generated.rs"]
mod generated;
#[path = "../it/papers.rs"]
mod papers;
#[path = "../it/rig.rs"]
#[allow(dead_code, reason = "shared with the other tests, which use the rest")]
mod rig;

mod bad_input;
mod both;
mod flat;
mod listed;
mod logs;
mod pressure;
mod sampling;
mod scrapes;
mod secure;
mod traffic;

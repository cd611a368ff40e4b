//! Traffic: real orders through the front door, at a rate that no slow reply can change.

mod arrivals;
mod report;
mod run;

pub(crate) use arrivals::Arrivals;
pub(crate) use report::Report;
pub(crate) use run::{Plan, customers, run};

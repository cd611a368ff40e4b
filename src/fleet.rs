//! All parts as child processes: planned, checked, started, watched, restarted, stopped in order.

mod child;
mod endpoints;
mod environment;
mod journal;
mod parts;
mod plan;
mod ports;
mod preflight;
mod run;

pub(crate) use environment::{Environment, Override};
pub(crate) use plan::{Options, Plan, PortChoice};
pub(crate) use preflight::check;
pub(crate) use run::Fleet;

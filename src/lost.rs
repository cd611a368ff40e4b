//! `waybill lost`: every order of a stretch of time judged, those that stopped grouped, and the money reconciled between
//! the traces and the services' books.

mod json;
mod order;
mod reconcile;
mod set_aside;
mod survey;
mod sweep;
mod tell;

pub(crate) use json::json;
pub(crate) use survey::{Survey, Wanted};
pub(crate) use sweep::Sweep;
pub(crate) use tell::lines;

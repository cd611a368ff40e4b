//! The tale of the lost pizza, told on real processes.

mod outside;
mod page;
mod tale;

pub(crate) use tale::{OVERRIDES, tell};

//! Grades the engine: its verdicts on recorded traces against what truly happened. Needs nothing running.

mod mark;
mod table;
mod tally;

pub(crate) use mark::{Evidence, Graded, grade};
pub(crate) use table::{markdown, text};
pub(crate) use tally::{Tally, Thresholds};

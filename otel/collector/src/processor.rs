//! Processors: what telemetry passes through on its way. Each kind is one file and one row of [`KINDS`].

mod batch;
mod memory_limiter;

use std::fmt::Debug;
use std::sync::Arc;

use crate::config::{Id, Section};
use crate::pipeline::{Consumer, Signal};
use crate::start::Context;

/// The settings of one processor, checked.
pub(crate) trait ProcessorConfig: Debug + Send + Sync {
    /// Puts it in front of `next`, for one pipeline.
    fn build(&self, id: &Id, signal: Signal, next: Arc<dyn Consumer>, context: &Context)
    -> Arc<dyn Consumer>;
}

type Configure = fn(Section) -> Option<Box<dyn ProcessorConfig>>;

/// Every kind of processor.
const KINDS: &[(&str, Configure)] =
    &[("memory_limiter", memory_limiter::configure), ("batch", batch::configure)];

/// Reads the settings of the processor `id`.
pub(crate) fn configure(id: &Id, section: Section) -> Option<Box<dyn ProcessorConfig>> {
    let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
    crate::config::known(id, "processors", &names, &section)?;
    let (_, configure) = KINDS.iter().find(|(name, _)| *name == id.kind())?;
    configure(section)
}

//! Processors: what telemetry passes through on its way. Each kind is one file and one row of [`KINDS`].

mod batch;
mod memory_limiter;
mod tail_sampling;

use std::fmt::Debug;
use std::sync::Arc;

use crate::Error;
use crate::config::{Id, Section};
use crate::pipeline::{Batch, Consumer, Refusal, Signal};
use crate::start::Context;

/// The settings of one processor, checked.
pub(crate) trait ProcessorConfig: Debug + Send + Sync {
    /// The signals that it takes.
    fn signals(&self) -> &'static [Signal] {
        &Signal::ALL
    }

    /// Puts it in front of `next`.
    fn build(
        &self,
        place: &Place<'_>,
        next: Arc<dyn Consumer>,
        context: &Context,
    ) -> Result<Arc<dyn Consumer>, Error>;
}

/// Where a processor stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) id: &'a Id,
    pub(crate) pipeline: &'a Id,
    pub(crate) signal: Signal,
    /// The `file_storage` extension in which an exporter of the pipeline keeps its queue.
    pub(crate) storage: Option<&'a Id>,
}

type Configure = fn(Section) -> Option<Box<dyn ProcessorConfig>>;

/// Every kind of processor.
const KINDS: &[(&str, Configure)] = &[
    ("memory_limiter", memory_limiter::configure),
    ("batch", batch::configure),
    ("tail_sampling", tail_sampling::configure),
];

/// Reads the settings of the processor `id`.
pub(crate) fn configure(id: &Id, section: Section) -> Option<Box<dyn ProcessorConfig>> {
    let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
    crate::config::known(id, "processors", &names, &section)?;
    let (_, configure) = KINDS.iter().find(|(name, _)| *name == id.kind())?;
    configure(section)
}

/// Hands `batch` on, for a processor whose senders have their answer already: a full queue is waited for rather than lost
/// to, bad data is dropped.
async fn pass_on(processor: &str, next: &Arc<dyn Consumer>, batch: Batch) {
    loop {
        match next.consume(batch.clone()).await {
            Ok(()) => return,
            Err(Refusal::Busy { reason, retry_after }) => {
                tracing::warn!(processor, items = batch.items, %reason, "batch refused, will be tried again");
                tokio::time::sleep(retry_after).await;
            }
            Err(refusal) => {
                tracing::error!(processor, items = batch.items, reason = %refusal, "batch dropped");
                return;
            }
        }
    }
}

// === impl Place ===

impl Place<'_> {
    /// A name for its files: no other processor of the configuration has it.
    fn component(&self) -> String {
        format!("processor_{}_{}", self.id, self.pipeline)
    }
}

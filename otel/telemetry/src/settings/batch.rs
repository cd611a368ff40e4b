//! `OTEL_BSP_*` and `OTEL_BLRP_*`: how spans and log records wait for their export.

use super::reader::Reader;
use std::time::Duration;

/// One batching queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    /// How long what has ended waits for company.
    pub(crate) delay: Duration,
    /// Items that wait, those under way included. More are dropped and counted.
    pub(crate) queue: usize,
    /// Items in one export.
    pub(crate) batch: usize,
    /// One attempt to export.
    pub(crate) timeout: Duration,
}

// === impl Batch ===

impl Batch {
    pub(super) fn read(r: &mut Reader<'_>, prefix: &str, default_delay: u64) -> Self {
        let delay = r.millis(&format!("{prefix}_SCHEDULE_DELAY"), 0);
        let timeout = r.millis(&format!("{prefix}_EXPORT_TIMEOUT"), 1);
        let queue = r.number(&format!("{prefix}_MAX_QUEUE_SIZE"), 1).unwrap_or(2_048);
        let name = format!("{prefix}_MAX_EXPORT_BATCH_SIZE");
        let batch = r.number(&name, 1);
        if batch.is_some_and(|batch| batch > queue) {
            r.complain(&name, format!("is more than {prefix}_MAX_QUEUE_SIZE, which is {queue}"));
        }
        Self {
            delay: delay.unwrap_or(Duration::from_millis(default_delay)),
            queue: usize::try_from(queue).unwrap_or(usize::MAX),
            batch: usize::try_from(batch.unwrap_or(512).min(queue)).unwrap_or(512),
            timeout: timeout.unwrap_or(Duration::from_secs(30)),
        }
    }
}

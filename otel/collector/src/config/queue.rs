//! `sending_queue` with its `batch`, and `retry_on_failure`: what every exporter has in front of its wire
//! (`exporterhelper` upstream, whose defaults these are).

use std::time::Duration;

use super::Id;
use super::section::Section;

/// How a queue or batch is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sizer {
    /// Requests as they came in.
    Requests,
    /// Spans, log records, metric points.
    Items,
    /// Bytes of protobuf.
    Bytes,
}

/// `sending_queue`.
#[derive(Debug, Clone)]
pub(crate) struct QueueConfig {
    /// Sends that may be under way at once.
    pub(crate) consumers: usize,
    /// Capacity in units of `sizer`; what is being sent counts until it has arrived.
    pub(crate) size: u64,
    /// Unit of `size`.
    pub(crate) sizer: Sizer,
    /// A full queue lets its callers wait instead of refusing them.
    pub(crate) block_on_overflow: bool,
    /// The caller's reply waits for the export's result.
    pub(crate) wait_for_result: bool,
    /// How requests are gathered; `None` sends them as they came.
    pub(crate) batch: Option<BatchConfig>,
    /// The `file_storage` extension that keeps the queue over a crash.
    pub(crate) storage: Option<Id>,
}

/// `sending_queue::batch`.
#[derive(Debug, Clone)]
pub(crate) struct BatchConfig {
    /// The longest that a batch waits to be filled.
    pub(crate) flush_timeout: Duration,
    /// A batch of this size leaves at once.
    pub(crate) min_size: u64,
    /// A larger batch is split; 0 means never.
    pub(crate) max_size: u64,
    /// Unit of both.
    pub(crate) sizer: Sizer,
}

/// `retry_on_failure`.
#[derive(Debug, Clone)]
pub(crate) struct RetryConfig {
    /// Whether a failed send is tried again.
    pub(crate) enabled: bool,
    /// Wait before the second attempt.
    pub(crate) initial: Duration,
    /// Longest wait between attempts.
    pub(crate) max: Duration,
    /// Data older than this is given up; zero means never.
    pub(crate) max_elapsed: Duration,
    /// Growth of the wait.
    pub(crate) multiplier: f64,
    /// How far, as a fraction, a wait may stray from its value.
    pub(crate) randomization: f64,
}

// === impl QueueConfig ===

impl QueueConfig {
    /// `None`: the queue is switched off, the caller's reply is the backend's.
    pub(crate) fn read(parent: &mut Section) -> Option<Self> {
        let mut section = parent.section_or_empty("sending_queue");
        let enabled = section.flag("enabled", true);
        let consumers = section.number("num_consumers").unwrap_or(10);
        let size = section.number("queue_size").unwrap_or(1000);
        let sizer = sizer(&mut section, Sizer::Requests);
        let storage = section.text("storage").map(|text| Id::from(text.as_str()));
        let read = Self {
            consumers: usize::try_from(consumers).unwrap_or(usize::MAX).clamp(1, 1024),
            size,
            sizer,
            block_on_overflow: section.flag("block_on_overflow", false),
            wait_for_result: section.flag("wait_for_result", false),
            batch: BatchConfig::read(&mut section, sizer),
            storage,
        };
        for (key, value) in [("num_consumers", consumers), ("queue_size", size)] {
            if enabled && value == 0 {
                section.fault(key, "must be positive");
            }
        }
        if read.wait_for_result && read.storage.is_some() {
            section.fault("wait_for_result", "cannot be combined with storage");
        }
        if let Some(batch) = &read.batch
            && batch.sizer == sizer
            && batch.min_size > size
        {
            section
                .fault("batch::min_size", format_args!("{} is more than queue_size {size}", batch.min_size));
        }
        section.finish();
        enabled.then_some(read)
    }
}

// === impl BatchConfig ===

impl BatchConfig {
    fn read(parent: &mut Section, queue_sizer: Sizer) -> Option<Self> {
        let mut section = parent.section("batch")?;
        // Upstream takes the queue's own unit unless that is requests.
        let default = if queue_sizer == Sizer::Requests { Sizer::Items } else { queue_sizer };
        let enabled = section.flag("enabled", true);
        let unit = sizer(&mut section, default);
        if unit == Sizer::Requests {
            section.fault("sizer", "must be items or bytes");
        }
        let read = Self {
            flush_timeout: section.duration("flush_timeout", Duration::from_millis(200)),
            min_size: section.number("min_size").unwrap_or(8192),
            max_size: section.number("max_size").unwrap_or(0),
            sizer: unit,
        };
        if read.flush_timeout.is_zero() {
            section.fault("flush_timeout", "must be positive");
        }
        if read.max_size != 0 && read.max_size < read.min_size {
            section
                .fault("max_size", format_args!("{} is less than min_size {}", read.max_size, read.min_size));
        }
        section.unsupported(&["partition"]);
        section.finish();
        enabled.then_some(read)
    }
}

// === impl RetryConfig ===

impl RetryConfig {
    pub(crate) fn read(parent: &mut Section) -> Self {
        let mut section = parent.section_or_empty("retry_on_failure");
        let read = Self {
            enabled: section.flag("enabled", true),
            initial: section.duration("initial_interval", Duration::from_secs(5)),
            max: section.duration("max_interval", Duration::from_secs(30)),
            max_elapsed: section.duration("max_elapsed_time", Duration::from_secs(300)),
            multiplier: section.fraction("multiplier", 1.5),
            randomization: section.fraction("randomization_factor", 0.5),
        };
        if read.multiplier < 1.0 {
            section.fault("multiplier", "must be at least 1");
        }
        if !(0.0..=1.0).contains(&read.randomization) {
            section.fault("randomization_factor", "must be between 0 and 1");
        }
        if !read.max_elapsed.is_zero() && read.max_elapsed < read.initial {
            section.fault("max_elapsed_time", "must not be less than initial_interval");
        }
        section.finish();
        read
    }
}

fn sizer(section: &mut Section, default: Sizer) -> Sizer {
    match section.text("sizer").as_deref() {
        None => default,
        Some("requests") => Sizer::Requests,
        Some("items") => Sizer::Items,
        Some("bytes") => Sizer::Bytes,
        Some(other) => {
            section.fault("sizer", format_args!("`{other}` is none of requests, items, bytes"));
            default
        }
    }
}

//! The way out of the process: what has ended waits in a bounded queue and is sent by one thread of its own.
//!
//! The SDK's batch processors drop a batch after less than a second of refusal, ignore their export timeout, and hang or
//! panic on some runtimes. So the processors are ours; encoding and transport are opentelemetry-otlp's.

mod console;
mod limits;
mod metrics;
mod otlp;
mod processor;
mod queue;
mod runtime;
mod transport;
mod worker;

pub(crate) use console::Console;
pub(crate) use limits::Clip;
pub(crate) use metrics::Outlet;
pub(crate) use otlp::{LogSink, SpanSink, metric_exporter};
pub(crate) use processor::{Records, Spans};
pub(crate) use queue::Queue;
pub(crate) use runtime::Runtime;
pub(crate) use worker::Worker;

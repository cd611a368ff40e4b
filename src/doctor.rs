//! `waybill doctor`: is the telemetry itself sound? By traces, by the services' own counters and settings, by the collector's
//! counters.

mod finding;
mod sample;
mod tell;

use journey::Route;

pub(crate) use finding::Finding;
pub(crate) use tell::{json, lines};

use crate::ask::{
    AskError, Backend, Window,
    books::{Books, Counters},
};

/// What was looked at, and what is wrong.
pub(crate) struct Report {
    pub(crate) findings: Vec<Finding>,
    /// Traces that were looked at.
    pub(crate) traces: usize,
    pub(crate) counters: Counters,
}

/// Looks at at most `most` traces of each service, and at everything that counts.
///
/// # Errors
/// When the trace store cannot be asked.
pub(crate) async fn examine(
    backend: &Backend,
    route: &Route,
    books: &Books,
    window: Window,
    most: usize,
) -> Result<Report, AskError> {
    let (sample, counters) = futures::join!(sample::take(backend, route, window, most), books.counters());
    let sample = sample?;
    let mut findings = finding::of_traces(&sample, route);
    findings.extend(finding::of_counters(&counters));
    findings.sort_by(|a, b| (a.kind, &a.service).cmp(&(b.kind, &b.service)));
    Ok(Report { findings, traces: sample.traces.len(), counters })
}

//! The end of telemetry: everything that was recorded leaves the process, within a deadline.

use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// What a guard that is merely dropped allows itself.
const ON_DROP: Duration = Duration::from_secs(5);

/// What counting and joining may take.
const MARGIN: Duration = Duration::from_millis(200);

/// Keeps telemetry running. Shut it down, or drop it, at the very end: both flush, also while a panic unwinds.
///
/// What is recorded afterwards is dropped and counted.
#[derive(Debug)]
#[must_use = "telemetry stops when the guard is dropped"]
pub struct Guard {
    providers: Option<Providers>,
}

/// The signals that are on.
#[derive(Debug, Default)]
pub(crate) struct Providers {
    pub(crate) traces: Option<SdkTracerProvider>,
    pub(crate) logs: Option<SdkLoggerProvider>,
    pub(crate) metrics: Option<SdkMeterProvider>,
}

type Job = Box<dyn FnOnce() -> bool + Send>;

// === impl Guard ===

impl Guard {
    pub(crate) fn new(providers: Providers) -> Self {
        Self { providers: Some(providers) }
    }

    /// Flushes all signals at once and stops them, within `deadline`. `true` when everything has left in time; what has
    /// not is counted in [`stats`](crate::stats). Works on every runtime and blocks none.
    pub async fn shutdown(mut self, deadline: Duration) -> bool {
        let Some(providers) = self.providers.take() else { return true };
        let (done, result) = futures::channel::oneshot::channel();
        let run = move || {
            let _ = done.send(providers.shutdown(deadline));
        };
        match thread::Builder::new().name("telemetry-shutdown".into()).spawn(run) {
            Ok(_) => result.await.unwrap_or(false),
            Err(_) => false,
        }
    }

    /// Sends what there is and goes on, within `deadline`. Blocks the thread.
    #[must_use]
    pub fn flush(&self, deadline: Duration) -> bool {
        self.providers.as_ref().is_none_or(|providers| providers.flush(deadline))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(providers) = self.providers.take() {
            providers.shutdown(ON_DROP);
        }
    }
}

// === impl Providers ===

impl Providers {
    fn shutdown(self, deadline: Duration) -> bool {
        let Self { traces, logs, metrics } = self;
        let until = deadline;
        // The workers stop a little sooner, so that what they must give up is counted when this returns.
        let deadline = deadline - (deadline / 10).min(MARGIN);
        in_parallel(
            until,
            [
                traces.map(|p| -> Job { Box::new(move || p.shutdown_with_timeout(deadline).is_ok()) }),
                logs.map(|p| -> Job { Box::new(move || p.shutdown_with_timeout(deadline).is_ok()) }),
                metrics.map(|p| -> Job { Box::new(move || p.shutdown_with_timeout(deadline).is_ok()) }),
            ],
        )
    }

    fn flush(&self, deadline: Duration) -> bool {
        in_parallel(
            deadline,
            [
                self.traces.clone().map(|p| -> Job { Box::new(move || p.force_flush().is_ok()) }),
                self.logs.clone().map(|p| -> Job { Box::new(move || p.force_flush().is_ok()) }),
                self.metrics.clone().map(|p| -> Job { Box::new(move || p.force_flush().is_ok()) }),
            ],
        )
    }
}

/// One thread each, so that three hung signals cost one deadline and not three.
fn in_parallel(deadline: Duration, jobs: [Option<Job>; 3]) -> bool {
    let until = Instant::now() + deadline;
    let (done, results) = mpsc::channel();
    let mut running = 0;
    for job in jobs.into_iter().flatten() {
        let done = done.clone();
        let run = move || {
            // The receiver may have stopped waiting.
            let _ = done.send(job());
        };
        if thread::Builder::new().name("telemetry-shutdown".into()).spawn(run).is_ok() {
            running += 1;
        }
    }
    let wait = || results.recv_timeout(until.saturating_duration_since(Instant::now())).unwrap_or(false);
    // Every one is waited for, also after one that failed.
    (0..running).filter(|_| !wait()).count() == 0
}

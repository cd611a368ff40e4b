//! The end of telemetry: everything that was recorded leaves the process, within a deadline.

use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// What a guard that is merely dropped allows itself.
const ON_DROP: Duration = Duration::from_secs(5);

/// Keeps telemetry running. Shut it down, or drop it, at the very end: both flush, also while a panic unwinds.
#[derive(Debug, Default)]
#[must_use = "telemetry stops when the guard is dropped"]
pub struct Guard {
    providers: Option<Providers>,
}

#[derive(Debug)]
struct Providers {
    traces: SdkTracerProvider,
    logs: SdkLoggerProvider,
    metrics: SdkMeterProvider,
}

// === impl Guard ===

impl Guard {
    pub(crate) fn new(traces: SdkTracerProvider, logs: SdkLoggerProvider, metrics: SdkMeterProvider) -> Self {
        Self { providers: Some(Providers { traces, logs, metrics }) }
    }

    /// Flushes all signals at once and stops them, within `deadline`. `true` when everything has left in time.
    pub async fn shutdown(mut self, deadline: Duration) -> bool {
        let Some(providers) = self.providers.take() else {
            return true;
        };
        tokio::task::spawn_blocking(move || providers.shutdown(deadline)).await.unwrap_or(false)
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
    /// Three threads, so that three hung signals cost one deadline and not three.
    fn shutdown(self, deadline: Duration) -> bool {
        let until = Instant::now() + deadline;
        let (done, results) = mpsc::channel();
        let Self { traces, logs, metrics } = self;
        let jobs: [Box<dyn FnOnce() -> bool + Send>; 3] = [
            Box::new(move || traces.shutdown_with_timeout(deadline).is_ok()),
            Box::new(move || logs.shutdown_with_timeout(deadline).is_ok()),
            Box::new(move || metrics.shutdown_with_timeout(deadline).is_ok()),
        ];
        for job in jobs {
            let done = done.clone();
            let run = move || {
                // The receiver may have stopped waiting.
                let _ = done.send(job());
            };
            drop(thread::Builder::new().name("telemetry-shutdown".into()).spawn(run));
        }
        drop(done);
        (0..3).all(|_| results.recv_timeout(until.saturating_duration_since(Instant::now())).unwrap_or(false))
    }
}

//! What can go wrong at start. After that telemetry never fails its host: it counts.

use std::fmt;

/// Why telemetry could not be started. Nothing runs when this is returned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// Settings that the specification does not allow, all of them at once.
    #[error("{}", Listed(.0))]
    Settings(Vec<BadSetting>),
    /// [`init`](crate::init) was called before in this process.
    #[error("telemetry is already initialised in this process")]
    Already,
    /// Something else has installed a global `tracing` subscriber.
    #[error("another tracing subscriber is already installed; telemetry::init must come first")]
    Subscriber,
    /// A worker thread or an exporter could not be set up.
    #[error("cannot set up the {what}")]
    Setup {
        /// What was being set up, such as `traces exporter`.
        what: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// One environment variable whose value cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadSetting {
    /// Name of the variable, such as `OTEL_TRACES_SAMPLER`.
    pub variable: String,
    /// What is wrong with it and what would be right.
    pub problem: String,
}

struct Listed<'a>(&'a [BadSetting]);

// === impl Listed ===

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, bad) in self.0.iter().enumerate() {
            let lead = if i == 0 { "" } else { "; " };
            write!(f, "{lead}{}: {}", bad.variable, bad.problem)?;
        }
        Ok(())
    }
}

//! The one thread on which everything is sent. Its own runtime makes export independent of the host's: single-threaded,
//! multi-threaded, ended already, or none at all.

use crate::error::InitError;
use opentelemetry::Context;
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{self, Poll};
use std::thread;
use tokio::runtime::{Builder, Handle};

/// A running export thread. It lives as long as the process: what is sent last must find it.
#[derive(Debug, Clone)]
pub(crate) struct Runtime(Handle);

// === impl Runtime ===

impl Runtime {
    pub(crate) fn start() -> Result<Self, InitError> {
        let failed =
            |source: std::io::Error| InitError::Setup { what: "export thread", source: Box::new(source) };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let handle = runtime.handle().clone();
        let run = move || {
            // Telemetry about telemetry would never end.
            let _quiet = Context::enter_telemetry_suppressed_scope();
            runtime.block_on(std::future::pending::<()>());
        };
        thread::Builder::new().name("telemetry-export".into()).spawn(run).map_err(failed)?;
        Ok(Self(handle))
    }

    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        drop(self.0.spawn(future));
    }

    /// For what must be built inside a runtime.
    pub(crate) fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.0.enter()
    }

    /// `future` with this runtime under it, wherever it is polled: its timers and sockets are driven by the export
    /// thread.
    pub(crate) fn under<F: Future>(&self, future: F) -> Under<F> {
        Under { handle: self.0.clone(), future }
    }
}

pin_project! {
    /// See [`Runtime::under`].
    pub(crate) struct Under<F> {
        handle: Handle,
        #[pin]
        future: F,
    }
}

// === impl Under ===

impl<F: Future> Future for Under<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _runtime = this.handle.enter();
        this.future.poll(task)
    }
}

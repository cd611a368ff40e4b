//! Runs store calls off the async threads: a bounded number at once, each with a deadline.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::backend::{Backend, BackendError};

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueryError {
    /// All places were taken for as long as the deadline allowed.
    #[error("too many queries are running; try again later")]
    Busy,
    /// The store did not answer in time.
    #[error("the query took longer than {} s; narrow it down", .0.as_secs_f32())]
    Slow(Duration),
    /// The store failed; the reason is in the log.
    #[error("the trace store failed; its log says why")]
    Failed(#[source] BackendError),
}

/// A store behind its gate.
#[derive(Clone)]
pub(crate) struct Engine {
    backend: Arc<dyn Backend>,
    places: Arc<Semaphore>,
    deadline: Duration,
}

impl Engine {
    pub(crate) fn new(backend: Arc<dyn Backend>, places: usize, deadline: Duration) -> Self {
        Self { backend, places: Arc::new(Semaphore::new(places)), deadline }
    }

    /// The store itself, for calls that only read memory.
    pub(crate) fn backend(&self) -> &dyn Backend {
        self.backend.as_ref()
    }

    /// Runs `work` on a blocking thread. Its place is free again when the work ends, not when the caller gives up.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Backend) -> Result<T, BackendError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let deadline = Instant::now() + self.deadline;
        let place = self.place(deadline).await?;
        let backend = Arc::clone(&self.backend);
        let task = tokio::task::spawn_blocking(move || {
            let _place = place;
            work(backend.as_ref())
        });
        match timeout_at(deadline, task).await {
            Err(_) => Err(QueryError::Slow(self.deadline)),
            Ok(Err(panic)) => Err(failed(Box::new(panic))),
            Ok(Ok(Err(error))) => Err(failed(error)),
            Ok(Ok(Ok(answer))) => Ok(answer),
        }
    }

    async fn place(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, QueryError> {
        let place = timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await;
        place.ok().and_then(Result::ok).ok_or(QueryError::Busy)
    }
}

fn failed(error: BackendError) -> QueryError {
    tracing::error!(error = %error, "query failed");
    QueryError::Failed(error)
}

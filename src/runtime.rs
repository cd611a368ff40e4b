//! The async runtime of a process, kept small: twelve of them share a laptop.

use std::{future::Future, io};

use tokio::runtime::Builder;

/// Threads that run tasks in each process.
const WORKERS: usize = 2;
/// Threads for blocking work (password hashing, files) in each process.
const BLOCKING: usize = 8;

/// Runs `work` to its end on a runtime of its own.
pub(crate) fn run<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = build()?;
    let result = runtime.block_on(work);
    // A blocking task that hangs (a stuck disk) must not keep the process from ending.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result
}

fn build() -> io::Result<tokio::runtime::Runtime> {
    Builder::new_multi_thread().worker_threads(WORKERS).max_blocking_threads(BLOCKING).enable_all().build()
}

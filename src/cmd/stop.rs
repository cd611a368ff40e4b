//! When a process shall stop: Ctrl-C, SIGTERM, or the end of the parent that started it.

use std::{io::Read, thread};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

/// The flag of commands that `waybill up` starts as its children.
#[derive(Debug, clap::Args)]
pub(crate) struct StopArgs {
    /// Stop when stdin is closed: how a child of `waybill up` notices that its parent is gone.
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
}

/// The two signals that ask a process to stop.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

// === impl StopArgs ===

impl StopArgs {
    /// Resolves when the process shall stop. Listens from the moment of the call, not of the first poll.
    ///
    /// # Errors
    /// When the signal handlers cannot be set.
    pub(crate) fn requested(&self) -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
        let mut signals = Signals::new()?;
        let orphaned = self.until_stdin_closes.then(stdin_closed);
        Ok(async move {
            match orphaned {
                None => signals.next().await,
                Some(orphaned) => tokio::select! {
                    () = signals.next() => {}
                    _ = orphaned => {}
                },
            }
        })
    }
}

// === impl Signals ===

impl Signals {
    /// Takes over SIGINT and SIGTERM.
    ///
    /// # Errors
    /// When the handlers cannot be set.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The next of them.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// A thread of its own: a blocking read on the runtime's pool would keep the process from ending.
fn stdin_closed() -> oneshot::Receiver<()> {
    let (closed, receiver) = oneshot::channel();
    thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut sink = [0; 64];
        while matches!(stdin.read(&mut sink), Ok(n) if n > 0) {}
        let _ = closed.send(());
    });
    receiver
}

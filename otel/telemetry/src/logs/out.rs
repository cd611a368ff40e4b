//! Standard output as a log's destination: a reader that went away must not take the service with it.

use std::io::{self, Write};

/// Writes to standard output and takes every failure for success; `tracing` would complain on standard error, line by line.
#[derive(Debug, Default)]
pub(super) struct Stdout;

// === impl Stdout ===

impl Write for Stdout {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // A line at a time under the lock, so that lines of different threads do not mix.
        let _ = io::stdout().lock().write_all(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = io::stdout().lock().flush();
        Ok(())
    }
}

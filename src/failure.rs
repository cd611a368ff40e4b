//! How a command ends: 0 it worked, 1 it did not, 2 it was asked for wrongly. A reader that went away is no failure.

use std::{error::Error, fmt, io, process::ExitCode};

/// A wrong request: bad flag value, unknown part name, bad setting. Ends the process with status 2.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

/// Status of a command that ran and did not succeed.
pub(crate) const FAILED: u8 = 1;
/// Status of a command that was asked for wrongly.
pub(crate) const USAGE: u8 = 2;

// === impl Usage ===

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Usage {}

/// Says what went wrong on stderr, one line per cause, and gives the exit status.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if error.chain().any(is_broken_pipe) {
        return ExitCode::SUCCESS;
    }
    crate::term::complain(&format!("{error:#}"));
    ExitCode::from(if error.chain().any(|e| e.is::<Usage>()) { USAGE } else { FAILED })
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_went_away_is_found_under_any_context() {
        let error = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("writing");
        assert!(error.chain().any(is_broken_pipe));
        assert!(!anyhow::anyhow!("else").chain().any(is_broken_pipe));
    }
}

//! How a command ends: 0 it worked, 1 it did not, 2 it was asked for wrongly, 4 the trace
//! store cannot be asked. A reader that went away is no failure.

use std::{error::Error, fmt, io, process::ExitCode};

use crate::ask::AskError;

/// A wrong request: bad flag value, unknown part name, bad setting. Ends the process with status 2.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

/// Status of a command that ran and did not succeed.
pub(crate) const FAILED: u8 = 1;
/// Status of a command that was asked for wrongly.
pub(crate) const USAGE: u8 = 2;
/// Status of a command that asks a trace store, which could not be asked.
pub(crate) const UNREACHABLE: u8 = 4;

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
    ExitCode::from(status(error))
}

fn status(error: &anyhow::Error) -> u8 {
    let ask = error.chain().find_map(|e| e.downcast_ref::<AskError>());
    match ask {
        Some(AskError::Settings(_)) => USAGE,
        Some(_) => UNREACHABLE,
        None if error.chain().any(|e| e.is::<Usage>()) => USAGE,
        None => FAILED,
    }
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

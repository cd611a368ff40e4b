//! What can be wrong with what this crate reads.

/// A route file or an answer of a trace store that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The route file is wrong at a place that can be named.
    #[error("route, line {line}, column {column}: {message}")]
    Route {
        /// Line, from 1; 0 when unknown.
        line: u64,
        /// Column, from 1; 0 when unknown.
        column: u64,
        /// What is wrong there.
        message: String,
    },
    /// The answer is not the JSON that it should be.
    #[error("the answer of the trace store is not {format}: {message}")]
    Answer {
        /// What was expected.
        format: &'static str,
        /// What is wrong with it.
        message: String,
    },
}

//! Everything that can keep the collector from starting, in one enum.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a collector could not be configured or started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration file could not be read.
    #[error("cannot read the collector configuration {}", path.display())]
    Read {
        /// The file that was asked for.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// The configuration has faults; all of them are listed, one a line.
    #[error("the collector configuration has {} fault(s):\n  {}", .0.len(), .0.join("\n  "))]
    Config(Vec<String>),
    /// An address could not be bound.
    #[error("{component} cannot listen on {address}")]
    Bind {
        /// The component's path in the configuration.
        component: String,
        /// The address it was told to use.
        address: SocketAddr,
        /// What the kernel said, such as "address in use".
        source: std::io::Error,
    },
    /// A queue's directory or file could not be prepared.
    #[error("the storage at {} cannot be used", path.display())]
    Storage {
        /// The directory or file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
}

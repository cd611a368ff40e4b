//! Asks a trace store: whatever Jaeger there is, for `where`, `lost`, `doctor` and the demo.
//!
//! ```text
//! let backend = Backend::connect(&options).await?;            // finds out what the server speaks
//! backend.trace(id)                                           // one trace
//! backend.find(&services, key, value, window, limit)          // whole traces in which a span bears key = value
//! backend.scan(service, Some(operation), window)              // all of a service's traces, as a stream
//! backend.heard(&services, window)                            // when each service was last heard of
//! ```

#[allow(dead_code, reason = "what `lost` and `doctor` ask with")]
mod backend;
mod error;
mod http;
#[allow(dead_code, reason = "as backend")]
mod legacy;
mod options;
mod scan;
#[allow(dead_code, reason = "as backend")]
mod v3;
mod window;

pub(crate) use backend::Backend;
pub(crate) use error::AskError;
pub(crate) use options::BackendArgs;
pub(crate) use window::{Window, now_ns};

//! Asks a trace store: whatever Jaeger there is, for `where`, `lost`, `doctor` and the demo.
//!
//! ```text
//! let backend = Backend::connect(&options).await?;            // finds out what the server speaks
//! backend.trace(id)                                           // one trace
//! backend.find(&services, key, value, window, limit)          // whole traces in which a span bears key = value
//! backend.scan(service, Some(operation), window)              // all of a service's traces, as a stream
//! backend.heard(&services, window)                            // when each service was last heard of
//! options.places()?.url("auth")                               // where a service's own book may be asked for
//! Books::new(places).witnesses(case)                          // what services, third parties, counters say of an order
//! NatsLetters::read(dead_letter_box, window)                 // messages that were set aside, of which NATS tells
//! ids::readings(text); lookup::Finder::look_up(&readings)     // from whatever id to all of one order
//! ```

#[allow(dead_code, reason = "what `lost` and `doctor` ask with")]
mod backend;
pub(crate) mod books;
mod error;
mod http;
pub(crate) mod ids;
mod legacy;
mod letters;
pub(crate) mod lookup;
mod options;
mod places;
mod scan;
mod v3;
mod window;

pub(crate) use backend::Backend;
pub(crate) use books::{Books, Records, Standing, standing};
pub(crate) use error::AskError;
pub(crate) use letters::{NatsArgs, NatsLetters, SetAside};
pub(crate) use options::BackendArgs;
pub(crate) use places::Places;
pub(crate) use window::{Window, now_ns};

//! A trace and its expected route in, the order's stamps out.
//!
//! The engine is pure: no network, no clock of its own, and it knows no pizza. What is expected stands in a route file
//! ([`Route`]); what happened is a [`Trace`], read from any Jaeger by one of the [`adapters`]; [`stamps`] lays the one
//! beside the other and gives each step a [`State`].
//!
//! ```
//! let route = journey::Route::parse("
//! version: 1
//! name: parcel
//! subject: parcel.id
//! steps:
//!   - name: depot
//!     deadline: 1h
//!     done: [{ service: depot, span: scan }]
//! ").unwrap();
//! let journey = journey::stamps(&journey::Trace::default(), &route, 0);
//! assert_eq!(journey.stamps[0].state, journey::State::Never);
//! ```

pub mod adapters;
mod case;
mod error;
mod health;
mod judge;
mod look;
mod path;
mod route;
mod sentence;
mod spans;
mod stamps;
mod trace;
mod trust;
mod value;
mod verdict;
mod weigh;
mod witness;

pub use case::{Case, Heard};
pub use error::Error;
pub use health::{Ailment, Symptom, health};
pub use judge::judge;
pub use route::{Alternative, AnyOf, End, Mark, Route, Step, ValueMarks, ValueWords};
pub use sentence::sentence;
pub use stamps::{Journey, Stamp, State, stamps};
pub use trace::{Kind, Link, Span, Trace};
pub use value::money;
pub use verdict::{Finding, Outcome, Phase, Stop, Value, Verdict, Way, Weight};
pub use witness::{Says, Witness};

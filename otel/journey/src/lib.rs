//! Where did it stop? What traces tell of a travelling thing and its expected route in, a verdict out.
//!
//! The engine is pure: no network, no clock of its own, and it knows no pizza. What is expected stands in a route file
//! ([`Route`], form in `route.schema.json`); what happened is a [`Case`], the spans of all traces that tell of one thing,
//! read from any Jaeger by one of the [`adapters`]; what others say is a [`Witness`]. [`judge`] lays them beside each
//! other and gives each step a [`State`], the whole an [`Outcome`], and the evidence for it; [`sentence`] says it in plain
//! words. [`health`] looks at the telemetry itself.
//!
//! How it thinks:
//! - A lost thing is a missing child: the first step in the route's order that is owed, by causality and never by
//!   comparing two services' clocks.
//! - What comes later shows what was before: a step without spans of which a later one is there was done, and its
//!   telemetry is missing.
//! - An absence counts only as far as the telemetry that would have shown it can be trusted ([`Heard`], proofs of missing
//!   spans, [`Says::SpansLost`]); where it cannot, and no witness decides, the verdict is [`Outcome::Undecided`].
//!
//! ```
//! let route = journey::Route::parse("
//! version: 1
//! name: parcel
//! noun: Parcel
//! subject: parcel.id
//! steps:
//!   - name: depot
//!     deadline: 1h
//!     done: [{ service: depot, span: scan }]
//!   - name: door
//!     deadline: 8h
//!     done: [{ service: van, span: ring }]
//! ").unwrap();
//! let answer = r#"{"data":[{"traceID":"ab","processes":{"p1":{"serviceName":"depot"}},"spans":[
//!   {"traceID":"ab","spanID":"1","operationName":"scan","startTime":1,"duration":2,"processID":"p1",
//!    "tags":[{"key":"parcel.id","value":"P7"}]}]}]}"#;
//! let traces = journey::adapters::jaeger::parse(answer.as_bytes()).unwrap();
//! let case = journey::Case::split(traces, &route).remove(0);
//! let day = 86_400_000_000_000;
//! let verdict = journey::judge(&case, &route, &[], day);
//! assert_eq!(verdict.outcome, journey::Outcome::Stopped);
//! assert_eq!(
//!     journey::sentence(&verdict, &route, "Parcel P7"),
//!     "Parcel P7 stopped at door: nothing shows that it got there within 8 h."
//! );
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

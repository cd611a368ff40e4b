//! What passes between the store and whoever asks it: ids, queries and answers.

use opentelemetry_proto::tonic::trace::v1::ResourceSpans;

/// A trace id, 16 bytes, never all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(pub [u8; 16]);

/// All spans of one trace that the store holds, as they were received; identical copies (a client that sent again) once.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// The id all of `resource_spans` share.
    pub id: TraceId,
    /// OTLP form: resource → scope → spans.
    pub resource_spans: Vec<ResourceSpans>,
}

/// A trace matches when ONE of its spans satisfies everything here; the whole trace is then the answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Query {
    /// Exact `service.name`; none for any.
    pub service: Option<String>,
    /// Exact span name; none for any.
    pub operation: Option<String>,
    /// Each must be in the span's, its resource's, its scope's or one of its events' or links' attributes, compared as text.
    /// The keys `error`, `span.status`, `span.kind`, `scope.name`, `scope.version` and `resource.X` are special as in Jaeger.
    pub tags: Vec<(String, String)>,
    /// Earliest start of the matching span, Unix nanoseconds, inclusive.
    pub start_min_ns: u64,
    /// Latest start of the matching span, Unix nanoseconds, inclusive.
    pub start_max_ns: u64,
    /// Shortest duration in nanoseconds, inclusive; 0 for no bound.
    pub duration_min_ns: u64,
    /// Longest duration in nanoseconds, inclusive; 0 for no bound.
    pub duration_max_ns: u64,
    /// Most traces to answer with, newest first.
    pub limit: usize,
}

/// A span name that a service was seen to use, with the kind it had.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Operation {
    /// Span name.
    pub name: String,
    /// `server`, `client`, `producer`, `consumer`, `internal`, or empty when unspecified.
    pub kind: &'static str,
}

/// Calls from one service to another within a time range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// Calling service.
    pub parent: String,
    /// Called service.
    pub child: String,
    /// Parent/child span pairs seen.
    pub call_count: u64,
}

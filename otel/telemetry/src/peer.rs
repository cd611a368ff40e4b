//! Who is at the other end of a call, and what may be told to them.

use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;
use std::borrow::Cow;

/// The other end of a client's calls.
///
/// Ours get `traceparent`, `tracestate` and `baggage`. Third parties get `traceparent` and `tracestate`, never
/// baggage; those that know only `X-Trace-Id` can have that too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    name: Cow<'static, str>,
    ours: bool,
    trace_id_header: bool,
}

// === impl Peer ===

impl Peer {
    /// One of our own services.
    pub fn ours(name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), ours: true, trace_id_header: false }
    }

    /// Someone else's service.
    pub fn third_party(name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), ours: false, trace_id_header: false }
    }

    /// Also sends `X-Trace-Id`, for those who read nothing else.
    #[must_use]
    pub fn with_trace_id_header(mut self) -> Self {
        self.trace_id_header = true;
        self
    }

    /// The name given, which is `service.peer.name`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn may_have_baggage(&self) -> bool {
        self.ours
    }

    pub(crate) fn wants_trace_id(&self) -> bool {
        self.trace_id_header
    }

    /// `service.peer.name`, and the deprecated `peer.service` that Jaeger's UI still draws.
    pub(crate) fn attributes(&self) -> [KeyValue; 2] {
        #[expect(deprecated, reason = "Jaeger's UI reads it")]
        const PEER_SERVICE: &str = semconv::PEER_SERVICE;
        [
            KeyValue::new(semconv::SERVICE_PEER_NAME, self.name.clone()),
            KeyValue::new(PEER_SERVICE, self.name.clone()),
        ]
    }
}

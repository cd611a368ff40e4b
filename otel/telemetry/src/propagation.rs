//! How context crosses a process border: W3C Trace Context level 2 and W3C Baggage, over HTTP headers and gRPC metadata.
//!
//! The SDK's own propagators are lax (they take malformed and doubled `traceparent` headers and read the first
//! `tracestate` only), so these are ours. `OTEL_PROPAGATORS` chooses which of the two are in use. They work whether the
//! SDK is disabled or not, so that a silent service does not cut its neighbours' traces.

pub(crate) mod baggage;
pub(crate) mod traceparent;
pub(crate) mod tracestate;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{Context, baggage::BaggageExt as _, trace::SpanContext, trace::TraceContextExt as _};
use std::sync::atomic::{AtomicU8, Ordering};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// Which propagators are on. The default of `OTEL_PROPAGATORS` is both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Propagators {
    pub(crate) trace_context: bool,
    pub(crate) baggage: bool,
}

/// Bit 0: trace context, bit 1: baggage. Before init both are on, so that a process without telemetry passes context.
static ACTIVE: AtomicU8 = AtomicU8::new(3);

// === impl Propagators ===

impl Propagators {
    pub(crate) fn install(self) {
        ACTIVE.store(u8::from(self.trace_context) | u8::from(self.baggage) << 1, Ordering::Relaxed);
    }

    pub(crate) fn active() -> Self {
        let bits = ACTIVE.load(Ordering::Relaxed);
        Self { trace_context: bits & 1 != 0, baggage: bits & 2 != 0 }
    }
}

/// The context that a request brings, on a clean root. Baggage is left out when `trust_baggage` is false.
pub(crate) fn extract(headers: &HeaderMap, trust_baggage: bool) -> Context {
    let on = Propagators::active();
    let mut cx = Context::new();
    if on.trace_context
        && let Some(span) = span_context(headers)
    {
        cx = cx.with_remote_span_context(span);
    }
    if on.baggage && trust_baggage && headers.contains_key(&BAGGAGE) {
        let values = headers.get_all(&BAGGAGE).iter().map(|value| value.to_str().unwrap_or("\u{0}"));
        let baggage = baggage::parse(values);
        if !baggage.is_empty() {
            cx = cx.with_baggage(baggage);
        }
    }
    cx
}

/// Writes `cx` to the headers of a request, replacing what is there. Baggage only where asked for.
pub(crate) fn inject(cx: &Context, headers: &mut HeaderMap, with_baggage: bool) {
    let on = Propagators::active();
    let span = cx.span();
    if on.trace_context
        && let Some(value) = traceparent::format(span.span_context()).and_then(header_value)
    {
        headers.insert(TRACEPARENT, value);
        headers.remove(TRACESTATE);
        let state = span.span_context().trace_state().header();
        if !state.is_empty()
            && let Some(value) = header_value(state)
        {
            headers.insert(TRACESTATE, value);
        }
    }
    if on.baggage {
        headers.remove(BAGGAGE);
        if with_baggage && let Some(value) = baggage::format(cx.baggage()).and_then(header_value) {
            headers.insert(BAGGAGE, value);
        }
    }
}

/// The remote parent, or none when `traceparent` is missing, malformed or there twice (level 2, section 3.2.1).
fn span_context(headers: &HeaderMap) -> Option<SpanContext> {
    let mut parents = headers.get_all(&TRACEPARENT).iter();
    let (first, second) = (parents.next()?, parents.next());
    if second.is_some() {
        return None;
    }
    let span = traceparent::parse(first.to_str().ok()?)?;
    Some(with_state(
        &span,
        headers.get_all(&TRACESTATE).iter().map(|value| value.to_str().unwrap_or("\u{0}")),
    ))
}

pub(crate) fn with_state<'a>(span: &SpanContext, states: impl Iterator<Item = &'a str>) -> SpanContext {
    SpanContext::new(span.trace_id(), span.span_id(), span.trace_flags(), true, tracestate::parse(states))
}

fn header_value(text: String) -> Option<HeaderValue> {
    HeaderValue::try_from(text).ok()
}

//! How context crosses a process border: W3C Trace Context level 2 and W3C Baggage, over HTTP headers and gRPC metadata.
//!
//! The SDK's own propagators are lax (they take malformed and doubled `traceparent` headers and read the first
//! `tracestate` only), so these are ours. `OTEL_PROPAGATORS` chooses which of the two are in use. They work whether the
//! SDK is disabled or not, so that a silent service does not cut its neighbours' traces.

pub(crate) mod baggage;
mod global;
pub(crate) mod traceparent;
pub(crate) mod tracestate;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{Context, baggage::BaggageExt as _, trace::SpanContext, trace::TraceContextExt as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// What a context remembers of the border it last crossed, besides the remote span itself.
#[derive(Debug, Clone)]
pub(crate) struct Inbound {
    /// The span of the caller on the other side: the sender's span.
    pub(crate) sender: SpanContext,
    /// A `tracestate` that the SDK's type refuses though level 2 allows it; it travels beside the span.
    state: Option<Arc<str>>,
}

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
        opentelemetry::global::set_text_map_propagator(global::Global);
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
        && let Some(span) = parent(headers)
    {
        let states = headers.get_all(&TRACESTATE).iter().map(|value| value.to_str().unwrap_or("\u{0}"));
        cx = under(&cx, &span, states);
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

/// `cx` under a remote span: what starts in it is that span's child.
pub(crate) fn under<'a>(cx: &Context, span: &SpanContext, states: impl Iterator<Item = &'a str>) -> Context {
    let (state, refused) = tracestate::parse(states);
    let sender = SpanContext::new(span.trace_id(), span.span_id(), span.trace_flags(), true, state);
    cx.with_value(Inbound { sender: sender.clone(), state: refused.map(Into::into) })
        .with_remote_span_context(sender)
}

/// `traceparent` and `tracestate` (perhaps empty) of a context; `None` outside a trace.
///
/// The SDK forgets the flag `random` on spans that are not sampled; a trace id that came with it keeps it.
pub(crate) fn outgoing(cx: &Context) -> Option<(String, String)> {
    let span = cx.span();
    let span = span.span_context();
    let inbound = cx.get::<Inbound>().filter(|inbound| inbound.sender.trace_id() == span.trace_id());
    let kept = inbound.map_or(0, |inbound| inbound.sender.trace_flags().to_u8() & traceparent::RANDOM);
    let parent = traceparent::format(span, kept)?;
    let state = span.trace_state().header();
    match inbound.and_then(|inbound| inbound.state.as_deref()) {
        Some(refused) if state.is_empty() => Some((parent, refused.to_owned())),
        _ => Some((parent, state)),
    }
}

/// Writes `cx` to the headers of a request, replacing what is there. Baggage only where asked for.
pub(crate) fn inject(cx: &Context, headers: &mut HeaderMap, with_baggage: bool) {
    let on = Propagators::active();
    if on.trace_context
        && let Some((parent, state)) = outgoing(cx)
        && let Some(parent) = header_value(parent)
    {
        headers.insert(TRACEPARENT, parent);
        headers.remove(TRACESTATE);
        if !state.is_empty()
            && let Some(state) = header_value(state)
        {
            headers.insert(TRACESTATE, state);
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
fn parent(headers: &HeaderMap) -> Option<SpanContext> {
    let mut parents = headers.get_all(&TRACEPARENT).iter();
    let (first, second) = (parents.next()?, parents.next());
    if second.is_some() {
        return None;
    }
    traceparent::parse(first.to_str().ok()?)
}

fn header_value(text: String) -> Option<HeaderValue> {
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";

    fn through(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut inbound = HeaderMap::new();
        for (name, value) in pairs {
            inbound.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let mut outbound = HeaderMap::new();
        inject(&extract(&inbound, true), &mut outbound, true);
        outbound
    }

    #[test]
    fn what_is_well_formed_passes_through_unchanged() {
        let out = through(&[
            ("traceparent", PARENT),
            ("tracestate", "a=1,b@*=2"),
            ("tracestate", "c=3"),
            ("baggage", "k=v;p=1"),
        ]);
        assert_eq!(out["traceparent"], PARENT);
        assert_eq!(out["tracestate"], "a=1,b@*=2,c=3");
        assert_eq!(out["baggage"], "k=v;p=1");
    }

    #[test]
    fn a_doubled_or_malformed_traceparent_is_no_context_and_takes_its_tracestate_along() {
        for pairs in [
            &[("traceparent", PARENT), ("traceparent", PARENT), ("tracestate", "a=1")][..],
            &[("traceparent", "00-xyz"), ("tracestate", "a=1")],
            &[("tracestate", "a=1")],
        ] {
            let out = through(pairs);
            assert!(!out.contains_key("traceparent") && !out.contains_key("tracestate"), "{pairs:?}");
        }
    }

    #[test]
    fn a_bad_tracestate_costs_only_itself() {
        let out = through(&[("traceparent", PARENT), ("tracestate", "a=1,=")]);
        assert_eq!(out["traceparent"], PARENT);
        assert!(!out.contains_key("tracestate"));
    }

    #[test]
    fn bytes_beyond_ascii_in_baggage_drop_it() {
        assert!(!through(&[("baggage", "a=é")]).contains_key("baggage"));
    }
}

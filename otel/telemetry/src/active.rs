//! What init has set up, where the layers find it. Without init, or with `OTEL_SDK_DISABLED=true`, there is nothing
//! here: no span is made and the caller's context passes through untouched.

use crate::metrics::Instruments;
use opentelemetry::baggage::BaggageExt as _;
use opentelemetry::trace::{Span as _, SpanBuilder, TraceContextExt as _, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span};
use std::sync::OnceLock;

static ACTIVE: OnceLock<Active> = OnceLock::new();

/// The running telemetry of this process.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) tracer: Option<BaggageTracer>,
    pub(crate) instruments: Option<Instruments>,
}

/// The SDK's tracer, but every span bears the chosen baggage entries from its start, so that samplers see them.
#[derive(Debug, Clone)]
pub(crate) struct BaggageTracer {
    inner: SdkTracer,
    pairs: &'static [(&'static str, &'static str)],
}

// === impl Active ===

impl Active {
    /// Once a process.
    pub(crate) fn install(self) {
        let _ = ACTIVE.set(self);
    }
}

/// The tracer, `None` without init or with traces off.
pub(crate) fn tracer() -> Option<&'static BaggageTracer> {
    ACTIVE.get()?.tracer.as_ref()
}

/// The HTTP and RPC instruments, `None` without init or with metrics off.
pub(crate) fn instruments() -> Option<&'static Instruments> {
    ACTIVE.get()?.instruments.as_ref()
}

/// Starts a span under `parent` and makes it the context's; without a tracer the parent itself.
pub(crate) fn start(builder: SpanBuilder, parent: &Context) -> Context {
    match tracer() {
        Some(tracer) => {
            let span = tracer.build_with_context(builder, parent);
            // A span of a provider that was shut down has no ids: the parent's context is worth more.
            if span.span_context().is_valid() { parent.with_span(span) } else { parent.clone() }
        }
        None => parent.clone(),
    }
}

// === impl BaggageTracer ===

impl BaggageTracer {
    pub(crate) fn new(inner: SdkTracer, pairs: &'static [(&'static str, &'static str)]) -> Self {
        Self { inner, pairs }
    }
}

impl Tracer for BaggageTracer {
    type Span = Span;

    fn build_with_context(&self, mut builder: SpanBuilder, parent: &Context) -> Span {
        let baggage = parent.baggage();
        if !baggage.is_empty() {
            let attributes = builder.attributes.get_or_insert_with(Vec::new);
            for (entry, attribute) in self.pairs {
                if let Some(value) = baggage.get(entry)
                    && !attributes.iter().any(|kv| kv.key.as_str() == *attribute)
                {
                    attributes.push(KeyValue::new(*attribute, value.clone()));
                }
            }
        }
        self.inner.build_with_context(builder, parent)
    }
}

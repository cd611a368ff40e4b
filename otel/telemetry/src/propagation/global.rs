//! The same propagation for other crates, which ask OpenTelemetry's global propagator.

use super::{BAGGAGE, TRACEPARENT, TRACESTATE, extract, inject};
use http::{HeaderMap, HeaderValue};
use opentelemetry::Context;
use opentelemetry::baggage::{BaggageExt as _, KeyValueMetadata};
use opentelemetry::propagation::text_map_propagator::FieldIter;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TraceContextExt as _;
use std::sync::LazyLock;

/// Trace context and baggage as `OTEL_PROPAGATORS` has them.
#[derive(Debug)]
pub(crate) struct Global;

static FIELDS: LazyLock<[String; 3]> =
    LazyLock::new(|| [TRACEPARENT, TRACESTATE, BAGGAGE].map(|name| name.to_string()));

// === impl Global ===

impl TextMapPropagator for Global {
    fn inject_context(&self, cx: &Context, injector: &mut dyn Injector) {
        let mut headers = HeaderMap::new();
        inject(cx, &mut headers, true);
        for (name, value) in &headers {
            injector.set(name.as_str(), value.to_str().unwrap_or_default().to_owned());
        }
    }

    fn extract_with_context(&self, cx: &Context, extractor: &dyn Extractor) -> Context {
        let mut headers = HeaderMap::new();
        for name in [TRACEPARENT, TRACESTATE, BAGGAGE] {
            for value in extractor.get_all(name.as_str()).unwrap_or_default() {
                if let Ok(value) = HeaderValue::from_str(value) {
                    headers.append(&name, value);
                }
            }
        }
        let found = extract(&headers, true);
        let mut cx = cx.clone();
        if let Some(inbound) = found.get::<super::Inbound>() {
            cx = cx.with_value(inbound.clone()).with_remote_span_context(inbound.sender.clone());
        }
        if !found.baggage().is_empty() {
            let entries = found.baggage().iter();
            let entries = entries.map(|(k, (v, m))| KeyValueMetadata::new(k.clone(), v.clone(), m.clone()));
            cx = cx.with_baggage(entries.collect::<Vec<_>>());
        }
        cx
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(FIELDS.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn other_crates_get_the_same_strict_propagation() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";
        let inbound: HashMap<String, String> =
            [("traceparent", parent), ("tracestate", "a=1"), ("baggage", "k=v")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
        let mut outbound = HashMap::new();
        Global.inject_context(&Global.extract(&inbound), &mut outbound);
        assert_eq!(outbound, inbound);
        let lax = HashMap::from([("traceparent".to_owned(), format!("{parent}-"))]);
        assert!(!Global.extract(&lax).span().span_context().is_valid());
    }
}

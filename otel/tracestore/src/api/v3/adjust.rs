//! What a trace in OTLP form goes through before it is answered, unless it is asked for raw.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;

/// Orders attributes by key and drops links to nowhere.
pub(super) fn standard(resource_spans: &mut [ResourceSpans]) {
    for resource in resource_spans {
        if let Some(resource) = &mut resource.resource {
            sort(&mut resource.attributes);
        }
        for span in resource.scope_spans.iter_mut().flat_map(|scope| &mut scope.spans) {
            sort(&mut span.attributes);
            span.links.retain(|link| link.trace_id.iter().any(|byte| *byte != 0));
            span.events.iter_mut().for_each(|event| sort(&mut event.attributes));
        }
    }
}

fn sort(attributes: &mut [KeyValue]) {
    attributes.sort_by(|a, b| a.key.cmp(&b.key));
}

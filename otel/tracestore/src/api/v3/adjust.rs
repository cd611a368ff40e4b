//! What a trace in OTLP form goes through before it is answered, unless it is asked for raw.

use std::collections::HashSet;

use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message as _;

/// Drops spans stored twice and links to nowhere, and orders attributes by key.
pub(super) fn standard(resource_spans: &mut Vec<ResourceSpans>) {
    let mut seen: HashSet<Vec<u8>> = HashSet::new();
    for resource in resource_spans.iter_mut() {
        if let Some(resource) = &mut resource.resource {
            resource.attributes.sort_by(|a, b| a.key.cmp(&b.key));
        }
        // Equal spans of different resources are different spans.
        let owner = resource.resource.as_ref().map(|r| r.encode_to_vec()).unwrap_or_default();
        for scope in &mut resource.scope_spans {
            let scope_owner = scope.scope.as_ref().map(|s| s.encode_to_vec()).unwrap_or_default();
            for span in &mut scope.spans {
                span.attributes.sort_by(|a, b| a.key.cmp(&b.key));
                span.links.retain(|link| link.trace_id.iter().any(|byte| *byte != 0));
                for event in &mut span.events {
                    event.attributes.sort_by(|a, b| a.key.cmp(&b.key));
                }
            }
            scope
                .spans
                .retain(|span| seen.insert([owner.as_slice(), &scope_owner, &span.encode_to_vec()].concat()));
        }
        resource.scope_spans.retain(|scope| !scope.spans.is_empty());
    }
    resource_spans.retain(|resource| !resource.scope_spans.is_empty());
}

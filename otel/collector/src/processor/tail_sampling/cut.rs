//! Cuts a request into one piece for each trace and resource in it; resource and scope are repeated in each piece.

use std::collections::HashMap;
use std::convert::Infallible;

use bytes::Bytes;

use super::view::each;
use crate::otlp::schema::{self, Message};
use crate::otlp::split::{Level, child, level, put_bytes};
use crate::otlp::wire::{Value, put_nested};
use crate::pipeline::Signal;

/// The spans of one trace and resource, as a request of their own.
pub(super) struct Piece {
    pub(super) trace: u128,
    pub(super) request: Bytes,
    pub(super) spans: u64,
    /// Whether one of them has no parent.
    pub(super) root: bool,
}

/// The spans of one trace within one resource, each with its scope's place.
#[derive(Default)]
struct Group<'a> {
    spans: Vec<(usize, &'a [u8])>,
    root: bool,
}

/// The pieces of `request`, which passed `walk::check`, in the order in which their traces first appear.
pub(super) fn by_trace(request: &[u8]) -> Vec<Piece> {
    let traces = schema::request(Signal::Traces);
    let (resource_shape, scope_shape) = (child(traces), child(child(traces)));
    let mut pieces = Vec::new();
    for resource in level(traces, request).children {
        resource_spans(&level(resource_shape, resource), scope_shape, &mut pieces);
    }
    pieces
}

fn resource_spans(resource: &Level<'_>, scope_shape: &'static Message, pieces: &mut Vec<Piece>) {
    let scopes: Vec<Level<'_>> = resource.children.iter().map(|scope| level(scope_shape, scope)).collect();
    let mut places: HashMap<u128, usize> = HashMap::new();
    let mut groups: Vec<(u128, Group<'_>)> = Vec::new();
    for (at, scope) in scopes.iter().enumerate() {
        for span in &scope.children {
            let (trace, root) = identity(span);
            let place = *places.entry(trace).or_insert_with(|| {
                groups.push((trace, Group::default()));
                groups.len() - 1
            });
            let group = &mut groups[place].1;
            group.spans.push((at, span));
            group.root |= root;
        }
    }
    for (trace, group) in groups {
        let request = Bytes::from(encode(resource, &scopes, &group));
        pieces.push(Piece { trace, request, spans: group.spans.len() as u64, root: group.root });
    }
}

fn encode(resource: &Level<'_>, scopes: &[Level<'_>], group: &Group<'_>) -> Vec<u8> {
    let bytes: usize = group.spans.iter().map(|(_, span)| span.len() + 8).sum();
    let mut out = Vec::with_capacity(resource.head.len() + bytes + 128);
    let Ok(()) = put_nested(&mut out, 1, |out| {
        out.extend_from_slice(&resource.head);
        for spans in group.spans.chunk_by(|one, next| one.0 == next.0) {
            let scope = &scopes[spans[0].0];
            put_nested(out, resource.number, |out| {
                out.extend_from_slice(&scope.head);
                for (_, span) in spans {
                    put_bytes(out, scope.number, span);
                }
                Ok::<_, Infallible>(())
            })?;
        }
        Ok::<_, Infallible>(())
    });
    out
}

/// A span's trace, and whether it has no parent.
fn identity(span: &[u8]) -> (u128, bool) {
    let (mut trace, mut root) = (0, true);
    each(span, |number, value| match (number, value) {
        (1, Value::Bytes(id)) => trace = id.try_into().map_or(0, u128::from_be_bytes),
        (4, Value::Bytes(parent)) => root = parent.iter().all(|byte| *byte == 0),
        _ => {}
    });
    (trace, root)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
    use prost::Message as _;

    use super::*;

    fn span(trace: u128, id: u8) -> Span {
        let parent_span_id = if id == 1 { vec![] } else { vec![9; 8] };
        Span {
            trace_id: trace.to_be_bytes().into(),
            span_id: vec![id; 8],
            parent_span_id,
            ..Default::default()
        }
    }

    fn scope(name: &str, spans: Vec<Span>) -> ScopeSpans {
        ScopeSpans { spans, schema_url: name.into(), ..Default::default() }
    }

    #[test]
    fn each_trace_gets_its_spans_with_their_scopes_and_resource() {
        let scope_spans = vec![
            scope("a", vec![span(1, 1), span(2, 2), span(1, 3)]),
            scope("b", vec![span(2, 4), span(1, 5)]),
        ];
        let resource = ResourceSpans { scope_spans, schema_url: "r".into(), ..Default::default() };
        let request = ExportTraceServiceRequest { resource_spans: vec![resource] }.encode_to_vec();
        let pieces = by_trace(&request);
        let seen: Vec<_> = pieces.iter().map(|piece| (piece.trace, piece.spans, piece.root)).collect();
        assert_eq!(seen, [(1, 3, true), (2, 2, false)]);
        let first = ExportTraceServiceRequest::decode(pieces[0].request.clone()).unwrap();
        let wanted = vec![scope("a", vec![span(1, 1), span(1, 3)]), scope("b", vec![span(1, 5)])];
        assert_eq!(first.resource_spans[0].scope_spans, wanted);
        assert_eq!(first.resource_spans[0].schema_url, "r");
    }
}

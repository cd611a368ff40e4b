//! Pieces put together again: spans under their scopes under their resources, identical copies once.

use bytes::Bytes;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use std::collections::{HashMap, HashSet};

use super::batch::Piece;

/// Items of one scope, and the scopes of one resource, each in order of arrival.
type Grouped = Vec<(Bytes, Vec<(Bytes, Vec<Bytes>)>)>;

/// Spans as OTLP has them. What cannot be decoded was checked before it was kept, so it is damage: left out and logged.
pub(crate) fn spans(pieces: Vec<Piece>) -> Vec<ResourceSpans> {
    let mut out = Vec::new();
    for (resource, scopes) in group(pieces) {
        let Some(mut resource_spans) = decoded::<ResourceSpans>(&resource) else {
            continue;
        };
        for (scope, spans) in scopes {
            let Some(mut scope_spans) = decoded::<ScopeSpans>(&scope) else {
                continue;
            };
            scope_spans.spans.extend(spans.iter().filter_map(|span| decoded::<Span>(span)));
            resource_spans.scope_spans.push(scope_spans);
        }
        out.push(resource_spans);
    }
    out
}

/// Log records as OTLP has them.
pub(crate) fn logs(pieces: Vec<Piece>) -> Vec<ResourceLogs> {
    let mut out = Vec::new();
    for (resource, scopes) in group(pieces) {
        let Some(mut resource_logs) = decoded::<ResourceLogs>(&resource) else {
            continue;
        };
        for (scope, records) in scopes {
            let Some(mut scope_logs) = decoded::<ScopeLogs>(&scope) else {
                continue;
            };
            scope_logs.log_records.extend(records.iter().filter_map(|record| decoded::<LogRecord>(record)));
            resource_logs.scope_logs.push(scope_logs);
        }
        out.push(resource_logs);
    }
    out
}

/// Leaves out pieces that are there already, byte for byte: a client that missed an acknowledgement sends again.
pub(crate) fn distinct(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut seen = HashSet::with_capacity(pieces.len());
    pieces.into_iter().filter(|piece| seen.insert(piece.clone())).collect()
}

fn group(pieces: Vec<Piece>) -> Grouped {
    let mut grouped: Grouped = Vec::new();
    let mut resources: HashMap<Bytes, usize> = HashMap::new();
    let mut scopes: HashMap<(usize, Bytes), usize> = HashMap::new();
    for piece in distinct(pieces) {
        let r = *resources.entry(piece.resource.clone()).or_insert_with(|| {
            grouped.push((piece.resource, Vec::new()));
            grouped.len() - 1
        });
        let in_resource = &mut grouped[r].1;
        let s = *scopes.entry((r, piece.scope.clone())).or_insert_with(|| {
            in_resource.push((piece.scope, Vec::new()));
            in_resource.len() - 1
        });
        in_resource[s].1.push(piece.item);
    }
    grouped
}

fn decoded<M: Message + Default>(bytes: &[u8]) -> Option<M> {
    M::decode(bytes)
        .inspect_err(|error| tracing::warn!(%error, "a stored item cannot be decoded and is left out"))
        .ok()
}

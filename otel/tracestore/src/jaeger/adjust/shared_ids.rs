//! Zipkin clients give both sides of a call one span id; the UI needs them apart.

use std::collections::{HashMap, HashSet};

use crate::jaeger::Trace;

/// Gives each server span that shares its id with a client span a free id; the shared id becomes its parent and its
/// children follow it.
pub(super) fn give_servers_their_own(trace: &mut Trace) {
    let clients: HashSet<u64> =
        trace.spans.iter().filter(|span| span.kind() == Some("client")).map(|span| span.span_id).collect();
    let mut taken: HashSet<u64> = trace.spans.iter().map(|span| span.span_id).collect();
    let mut next: u64 = 0;
    let mut renamed: HashMap<u64, u64> = HashMap::new();
    for span in &mut trace.spans {
        if span.kind() != Some("server") || !clients.contains(&span.span_id) {
            continue;
        }
        // Ends: a trace holds fewer spans than there are ids.
        next += 1;
        while !taken.insert(next) {
            next += 1;
        }
        renamed.insert(span.span_id, next);
        span.set_parent(span.span_id);
        span.span_id = next;
    }
    for span in trace.spans.iter_mut().filter(|_| !renamed.is_empty()) {
        if let Some(id) = span.parent().and_then(|parent| renamed.get(&parent)).copied()
            && id != span.span_id
        {
            span.set_parent(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{span, trace};
    use super::*;
    use crate::jaeger::KeyValue;

    #[test]
    fn a_server_that_shares_its_clients_id_becomes_its_child() {
        let mut client = span(10, 0, 0, 100);
        client.tags = vec![KeyValue::text("span.kind", "client")];
        let mut server = span(10, 0, 10, 50);
        server.tags = vec![KeyValue::text("span.kind", "server")];
        let inner = span(11, 10, 20, 10);
        let mut trace = trace(vec![client, server, inner]);
        give_servers_their_own(&mut trace);
        let ids: Vec<_> = trace.spans.iter().map(|s| (s.span_id, s.parent())).collect();
        assert_eq!(ids, [(10, None), (1, Some(10)), (11, Some(1))]);
    }

    #[test]
    fn unique_ids_are_left_alone() {
        let mut client = span(1, 0, 0, 100);
        client.tags = vec![KeyValue::text("span.kind", "client")];
        let mut server = span(2, 1, 10, 50);
        server.tags = vec![KeyValue::text("span.kind", "server")];
        let mut trace = trace(vec![client, server]);
        let before = trace.clone();
        give_servers_their_own(&mut trace);
        assert_eq!(trace, before);
    }
}

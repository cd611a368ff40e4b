//! Searching, against a reference that does it the plain way.

use crate::requests::{attribute, group, request, span, spans_of, text, trace_id};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span, Status};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeMap;
use std::time::Duration;
use tracestore::model::{Query, TraceId};
use tracestore::{Store, StoreOptions};

const SERVICES: [&str; 3] = ["mobile-app", "auth", "tracking"];
const NAMES: [&str; 3] = ["GET /orders", "charge", "notify"];
const KEYS: [&str; 4] = ["order.id", "retries", "vip", "error.type"];
const VALUES: [&str; 5] = ["1", "2", "true", "false", "timeout"];

/// A span to send; everything in it is from a small world, so that things coincide.
#[derive(Debug, Clone)]
struct Sent {
    service: &'static str,
    span: Span,
}

fn value(text: &str) -> Value {
    match text {
        "true" => Value::BoolValue(true),
        "1" => Value::IntValue(1),
        "2" => Value::DoubleValue(2.0),
        other => Value::StringValue(other.to_owned()),
    }
}

prop_compose! {
    fn sent()(
        trace in 1_u128..12, id in 1_u64..1_000_000, service in select(&SERVICES), name in select(&NAMES),
        start in 0_u64..2_000, duration in 0_u64..50, status in 0_i32..3, kind in 0_i32..6,
        tags in vec((select(&KEYS), select(&VALUES)), 0..3), event in proptest::option::of((select(&KEYS), select(&VALUES))),
        padding in 0_usize..400,
    ) -> Sent {
        let events = event.map(|(key, v)| Event { attributes: vec![attribute(key, value(v))], ..Default::default() });
        let span = Span {
            trace_id: trace.to_be_bytes().to_vec(), span_id: id.to_be_bytes().to_vec(), name: name.to_owned(), kind,
            start_time_unix_nano: start, end_time_unix_nano: start + duration,
            attributes: tags.into_iter().map(|(key, v)| attribute(key, value(v))).chain([text("padding", &"x".repeat(padding))]).collect(),
            events: events.into_iter().collect(),
            status: Some(Status { code: status, message: String::new() }),
            ..Default::default()
        };
        Sent { service, span }
    }
}

prop_compose! {
    fn query()(
        service in proptest::option::of(select(&SERVICES)), operation in proptest::option::of(select(&NAMES)),
        tags in vec(tag(), 0..3), window in (0_u64..2_000, 0_u64..2_000), whole in any::<bool>(),
        min in select(&[0_u64, 0, 10]), max in select(&[0_u64, 0, 30]), limit in 1_usize..15,
    ) -> Query {
        let (start_min_ns, start_max_ns) = if whole { (0, u64::MAX) } else { (window.0.min(window.1), window.0.max(window.1)) };
        Query {
            service: service.map(str::to_owned), operation: operation.map(str::to_owned), tags,
            start_min_ns, start_max_ns, duration_min_ns: min, duration_max_ns: max, limit,
        }
    }
}

fn tag() -> impl Strategy<Value = (String, String)> {
    let plain = (select(&KEYS), select(&VALUES)).prop_map(|(k, v)| (k.to_owned(), v.to_owned()));
    let special = select(&[
        ("error", "true"),
        ("error", "false"),
        ("span.status", "OK"),
        ("span.kind", "server"),
        ("scope.name", "tests"),
        ("resource.service.name", "auth"),
        ("service.name", "tracking"),
    ]);
    prop_oneof![2 => plain, 1 => special.prop_map(|(k, v)| (k.to_owned(), v.to_owned()))]
}

fn written(value: &Option<Value>) -> String {
    match value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => value.to_string(),
        other => panic!("not in this world: {other:?}"),
    }
}

fn holds(sent: &Sent, key: &str, wanted: &str) -> bool {
    let span = &sent.span;
    let status = span.status.as_ref().map_or(0, |status| status.code);
    match key {
        "error" => (status == 2) == (wanted == "true"),
        "span.status" => status == 1,
        "span.kind" => span.kind == 2,
        "scope.name" => wanted == "tests",
        "resource.service.name" | "service.name" => sent.service == wanted,
        _ => {
            let events = span.events.iter().flat_map(|event| &event.attributes);
            let mut all = span.attributes.iter().chain(events);
            all.any(|a| a.key == key && written(&a.value.clone().unwrap().value) == wanted)
        }
    }
}

fn matches(sent: &Sent, q: &Query) -> bool {
    let (start, duration) =
        (sent.span.start_time_unix_nano, sent.span.end_time_unix_nano - sent.span.start_time_unix_nano);
    q.service.as_ref().is_none_or(|service| service == sent.service)
        && q.operation.as_ref().is_none_or(|name| *name == sent.span.name)
        && (q.start_min_ns..=q.start_max_ns).contains(&start)
        && duration >= q.duration_min_ns
        && (q.duration_max_ns == 0 || duration <= q.duration_max_ns)
        && q.tags.iter().all(|(key, value)| holds(sent, key, value))
}

/// Ids of matching traces, the latest matching span first, the larger id first among equals.
fn reference(all: &[Sent], q: &Query) -> Vec<TraceId> {
    let mut latest: BTreeMap<TraceId, u64> = BTreeMap::new();
    for sent in all.iter().filter(|sent| matches(sent, q)) {
        let id = TraceId(sent.span.trace_id.clone().try_into().unwrap());
        let start = latest.entry(id).or_default();
        *start = (*start).max(sent.span.start_time_unix_nano);
    }
    let mut ids: Vec<(u64, TraceId)> = latest.into_iter().map(|(id, start)| (start, id)).collect();
    ids.sort_unstable_by(|a, b| b.cmp(a));
    ids.truncate(q.limit);
    ids.into_iter().map(|(_, id)| id).collect()
}

fn groups(batch: &[Sent]) -> Vec<ResourceSpans> {
    SERVICES
        .iter()
        .filter_map(|service| {
            let spans: Vec<Span> =
                batch.iter().filter(|s| s.service == *service).map(|s| s.span.clone()).collect();
            (!spans.is_empty()).then(|| group(service, spans))
        })
        .collect()
}

fn check(store: &Store, all: &[Sent], queries: &[Query]) -> Result<(), TestCaseError> {
    for q in queries {
        let found = store.find(q).unwrap();
        let ids: Vec<TraceId> = found.iter().map(|trace| trace.id).collect();
        prop_assert_eq!(&ids, &reference(all, q), "query {:?}", q);
        for trace in found {
            let mut expected: Vec<Span> =
                all.iter().filter(|s| s.span.trace_id == trace.id.0).map(|s| s.span.clone()).collect();
            expected.sort_by(|a, b| a.span_id.cmp(&b.span_id));
            prop_assert_eq!(spans_of(&trace).len(), expected.len());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_search_finds_what_a_plain_scan_finds_whether_in_memory_sealed_merged_or_reopened(
        batches in vec(vec(sent(), 1..12), 1..60),
        queries in vec(query(), 12),
        head_bytes in select(&[2_000_usize, 20_000, 1 << 20]),
        head_age in select(&[0_u64, 3_600_000]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions { head_bytes, head_age: Duration::from_millis(head_age), ..StoreOptions::new(dir.path()) };
        let mut all: Vec<Sent> = Vec::new();
        let mut store = Store::open(options.clone()).unwrap();
        for (n, batch) in batches.iter().enumerate() {
            runtime.block_on(store.append_spans(request(groups(batch)))).unwrap();
            all.extend(batch.iter().cloned());
            if n % 20 == 19 {
                check(&store, &all, &queries)?;
            }
            if n % 25 == 24 {
                drop(store);
                store = Store::open(options.clone()).unwrap();
            }
        }
        check(&store, &all, &queries)?;
        let total = all.len() as u64;
        prop_assert_eq!(store.stats().spans, total);
        store.close();
        let store = Store::open(options).unwrap();
        prop_assert_eq!(store.stats().spans, total);
        check(&store, &all, &queries)?;
        for sent in &all {
            let id = TraceId(sent.span.trace_id.clone().try_into().unwrap());
            let trace = store.trace(id).unwrap().unwrap();
            prop_assert!(spans_of(&trace).contains(&sent.span));
        }
        prop_assert_eq!(store.trace(trace_id(999)).unwrap(), None);
    }
}

#[tokio::test]
async fn an_unusable_service_name_is_searched_by_the_name_that_is_shown_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions::new(dir.path());
    let mut store = Store::open(options.clone()).unwrap();
    let of = |trace: u128, names: Vec<KeyValue>| {
        let mut group = group("", vec![span(trace, 1, "one", 1)]);
        group.resource.as_mut().unwrap().attributes = names;
        group
    };
    let groups = vec![
        of(1, vec![]),
        of(2, vec![text("service.name", "")]),
        of(3, vec![attribute("service.name", Value::IntValue(5))]),
    ];
    store.append_spans(request(groups)).await.unwrap();
    let shown = [(1, "missing-service-name"), (2, "empty-service-name"), (3, "service-name-wrong-type")];
    for _ in ["in memory", "reopened"] {
        let found = |key: &str, value: &str| {
            let tags = vec![(key.to_owned(), value.to_owned())];
            let query = Query { tags, start_max_ns: u64::MAX, limit: 9, ..Query::default() };
            store.find(&query).unwrap().iter().map(|trace| trace.id).collect::<Vec<_>>()
        };
        for (trace, name) in shown {
            assert_eq!(found("service.name", name), [trace_id(trace)], "{name}");
            assert_eq!(found("resource.service.name", name), [trace_id(trace)], "{name}");
        }
        assert_eq!(found("service.name", ""), []);
        assert_eq!(found("service.name", "5"), []);
        store.close();
        store = Store::open(options.clone()).unwrap();
    }
}

//! Bytes that are almost requests: what is taken can be read back, what cannot be read back is not taken.

use crate::requests::{attribute, group, request, span, text};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValueList};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use tracestore::model::TraceId;
use tracestore::{Store, StoreError, StoreOptions};

/// A request with something in every field.
fn rich() -> Bytes {
    let list = ArrayValue { values: vec![AnyValue { value: Some(Value::DoubleValue(1.5)) }] };
    let map = KeyValueList { values: vec![attribute("list", Value::ArrayValue(list))] };
    let full = Span {
        trace_state: "a=b".into(),
        parent_span_id: vec![1; 8],
        attributes: vec![
            text("order.id", "o-1"),
            attribute("n", Value::IntValue(-5)),
            attribute("ok", Value::BoolValue(true)),
            attribute("raw", Value::BytesValue(vec![1, 2])),
            attribute("map", Value::KvlistValue(map)),
        ],
        dropped_attributes_count: 1,
        events: vec![Event {
            time_unix_nano: 3,
            name: "retry".into(),
            attributes: vec![text("a", "b")],
            dropped_attributes_count: 2,
        }],
        links: vec![Link {
            trace_id: vec![2; 16],
            span_id: vec![3; 8],
            attributes: vec![text("c", "d")],
            flags: 1,
            ..Default::default()
        }],
        status: Some(Status { code: 2, message: "späte Pizza".into() }),
        flags: 0x101,
        ..span(1, 2, "charge", 1_000)
    };
    request(vec![
        group("auth", vec![full, span(1, 3, "other", 5)]),
        group("tracking", vec![span(2, 4, "third", 7)]),
    ])
}

fn changed(changes: &[(usize, u8)], cut: Option<usize>) -> Bytes {
    let mut bytes = rich().to_vec();
    let len = bytes.len();
    for (at, value) in changes {
        bytes[at % len] = *value;
    }
    bytes.truncate(cut.map_or(len, |cut| cut % len));
    bytes.into()
}

fn usable(span: &Span) -> bool {
    span.trace_id.len() == 16
        && span.trace_id != [0; 16]
        && span.span_id.len() == 8
        && span.span_id != [0; 8]
        && matches!(span.parent_span_id.len(), 0 | 8)
}

thread_local! {
    static PLACE: (tokio::runtime::Runtime, tempfile::TempDir, Store) = {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(StoreOptions::new(dir.path())).unwrap();
        (tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(), dir, store)
    };
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_request_is_taken_just_when_prost_can_read_it_and_comes_back_as_prost_reads_it(
        changes in vec((any::<usize>(), any::<u8>()), 0..4),
        cut in proptest::option::weighted(0.2, any::<usize>()),
    ) {
        let bytes = changed(&changes, cut);
        let read = ExportTraceServiceRequest::decode(bytes.clone());
        PLACE.with(|(runtime, _, store)| {
            match (runtime.block_on(store.append_spans(bytes)), read) {
                (Ok(appended), Ok(read)) => {
                    let spans: Vec<&Span> =
                        read.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans).collect();
                    prop_assert_eq!(appended.accepted, spans.iter().filter(|span| usable(span)).count());
                    prop_assert_eq!(appended.accepted + appended.rejected, spans.len());
                    for span in spans.into_iter().filter(|span| usable(span)) {
                        let id = TraceId(span.trace_id.clone().try_into().unwrap());
                        let trace = store.trace(id).unwrap().unwrap();
                        let mut held = trace.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans);
                        // NaN is not equal to itself.
                        prop_assert!(held.any(|other| other.encode_to_vec() == span.encode_to_vec()), "{:?} is not there", span);
                    }
                }
                (Err(StoreError::Malformed(_)), Err(_)) => {}
                (Err(StoreError::Malformed(why)), Ok(read)) => {
                    let spans = || read.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans);
                    let none = spans().count() > 0 && !spans().any(usable);
                    // Groups, which prost skips and no OTLP message has.
                    prop_assert!(none || why.contains("unknown wire type"), "refused: {}", why);
                }
                (Ok(_), Err(error)) => prop_assert!(false, "taken, though it cannot be read: {}", error),
                (Err(other), _) => prop_assert!(false, "{}", other),
            }
            Ok(())
        })?;
    }

    #[test]
    fn no_bytes_whatever_make_the_log_path_panic(bytes in vec(any::<u8>(), 0..200)) {
        PLACE.with(|(runtime, _, store)| {
            if runtime.block_on(store.append_logs(bytes.clone().into())).is_ok() {
                prop_assert!(ExportLogsServiceRequest::decode(&bytes[..]).is_ok());
            }
            Ok(())
        })?;
    }
}

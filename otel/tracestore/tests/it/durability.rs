//! What was acknowledged is still there, whatever happened in between.

use crate::requests::{group, log, one, request, span, spans_of, text, trace_id};
use tracestore::{Store, StoreError, StoreOptions};

#[tokio::test]
async fn a_trace_comes_back_as_it_was_sent_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(dir.path())).unwrap();
    let mut sent = span(7, 1, "POST /orders", 1_000);
    sent.attributes.push(text("order.id", "o-1"));
    let groups = vec![group("mobile-app", vec![sent]), group("auth", vec![span(7, 2, "Verify", 2_000)])];
    store.append_spans(request(groups.clone())).await.unwrap();
    store.append_logs(log(&7_u128.to_be_bytes(), "order placed")).await.unwrap();
    assert_eq!(store.trace(trace_id(7)).unwrap().unwrap().resource_spans, groups);
    store.close();

    let store = Store::open(StoreOptions::new(dir.path())).unwrap();
    assert_eq!(store.trace(trace_id(7)).unwrap().unwrap().resource_spans, groups);
    assert_eq!(store.logs(trace_id(7), 10).unwrap().len(), 1);
    assert_eq!(store.trace(trace_id(8)).unwrap(), None);
    assert_eq!(store.services(), ["auth", "mobile-app"]);
}

#[tokio::test]
async fn a_request_sent_twice_shows_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(dir.path())).unwrap();
    for _ in 0..2 {
        store.append_spans(one("auth", span(7, 1, "Verify", 1_000))).await.unwrap();
    }
    assert_eq!(spans_of(&store.trace(trace_id(7)).unwrap().unwrap()).len(), 1);
}

#[test]
fn a_folder_is_opened_by_one_store_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(dir.path())).unwrap();
    let second = Store::open(StoreOptions::new(dir.path())).unwrap_err();
    assert!(matches!(second, StoreError::Locked { .. }), "{second}");
    drop(store);
    Store::open(StoreOptions::new(dir.path())).unwrap();
}

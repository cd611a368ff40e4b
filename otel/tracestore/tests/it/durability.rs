//! What was acknowledged is still there, whatever happened in between.

use crate::requests::{group, log, one, request, span, spans_of, text, trace_id};
use opentelemetry_proto::tonic::trace::v1::Span;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tracestore::model::{Dependency, Query};
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

/// Opens a store, files one span a trace under each number, and waits until all of it is in segments.
async fn sealed(options: &StoreOptions, numbers: std::ops::Range<u64>) -> Store {
    let store = Store::open(StoreOptions { head_age: Duration::ZERO, ..options.clone() }).unwrap();
    for n in numbers {
        store.append_spans(one("auth", span(u128::from(n), 1, "Verify", n))).await.unwrap();
    }
    eventually("all is sealed", || store.stats().head_bytes == 0);
    store
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < until, "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn files(dir: &Path, end: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.to_str().unwrap().ends_with(end)).collect()
}

fn flip(path: &Path, at: u64) {
    let mut content = std::fs::read(path).unwrap();
    content[usize::try_from(at).unwrap()] ^= 0x10;
    std::fs::write(path, content).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_damaged_anywhere_gives_no_wrong_answer_and_stops_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions::new(dir.path());
    sealed(&options, 1..2).await.close();
    let good = files(&dir.path().join("spans"), ".seg").remove(0);
    let whole = std::fs::read(&good).unwrap();
    for at in (0..whole.len() as u64).step_by(11) {
        std::fs::write(&good, &whole).unwrap();
        for aside in files(&dir.path().join("spans"), ".corrupt") {
            std::fs::remove_file(aside).unwrap();
        }
        flip(&good, at);
        let store = Store::open(options.clone()).unwrap();
        let found = store.trace(trace_id(1)).unwrap();
        if let Some(trace) = &found {
            assert_eq!(spans_of(trace), [span(1, 1, "Verify", 1)], "flipped at {at}");
        } else if at >= 8 {
            assert!(store.stats().set_aside > 0, "flipped at {at}: gone without a word");
        }
        store.append_spans(one("auth", span(2, 1, "Verify", 2))).await.unwrap();
        assert!(store.trace(trace_id(2)).unwrap().is_some());
        drop(store);
        for log in files(&dir.path().join("spans"), ".log") {
            std::fs::remove_file(log).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_segments_become_one_in_which_a_scattered_trace_lies_together() {
    let dir = tempfile::tempdir().unwrap();
    let store =
        Store::open(StoreOptions { head_age: Duration::ZERO, ..StoreOptions::new(dir.path()) }).unwrap();
    for n in 1..=40 {
        store.append_spans(one("auth", span(7, n, "Verify", n))).await.unwrap();
        eventually("the head is sealed", || store.stats().head_bytes == 0);
    }
    eventually("segments are merged", || store.stats().segments < 8);
    assert_eq!(store.stats().spans, 40);
    assert_eq!(spans_of(&store.trace(trace_id(7)).unwrap().unwrap()).len(), 40);
    eventually("sealed logs are gone", || files(&dir.path().join("spans"), ".log").len() <= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_the_retention_time_goes_and_its_services_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { retention_age: Duration::from_millis(1), ..StoreOptions::new(dir.path()) };
    let store = Store::open(StoreOptions { head_age: Duration::ZERO, ..options }).unwrap();
    // Absurd times of the client's do not matter: what counts is when it arrived.
    store.append_spans(one("auth", span(1, 1, "Verify", u64::MAX - 5))).await.unwrap();
    eventually("the span is gone", || store.trace(trace_id(1)).unwrap().is_none());
    assert_eq!(store.services(), Vec::<String>::new());
    eventually("its file is gone", || files(&dir.path().join("spans"), ".seg").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_segments_go_while_all_are_larger_than_may_be_kept() {
    let dir = tempfile::tempdir().unwrap();
    let options =
        StoreOptions { head_bytes: 100_000, retention_bytes: 60_000, ..StoreOptions::new(dir.path()) };
    let store = Store::open(options).unwrap();
    for n in 1..=3_000_u64 {
        let name = format!("GET /{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        store.append_spans(one("auth", span(u128::from(n), 1, &name, n))).await.unwrap();
    }
    eventually("only so much is kept", || store.stats().segment_bytes <= 60_000);
    assert!(store.trace(trace_id(1)).unwrap().is_none());
    assert!(store.trace(trace_id(3_000)).unwrap().is_some());
    assert!(store.stats().spans < 3_000);
}

#[tokio::test]
async fn a_torn_log_is_cut_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions::new(dir.path());
    let store = Store::open(options.clone()).unwrap();
    store.append_spans(one("auth", span(1, 1, "Verify", 1))).await.unwrap();
    store.close();
    let log = files(&dir.path().join("spans"), ".log").remove(0);
    let mut content = std::fs::read(&log).unwrap();
    content.extend_from_within(16..60);
    std::fs::write(&log, content).unwrap();
    let store = Store::open(options.clone()).unwrap();
    store.append_spans(one("auth", span(2, 1, "Verify", 2))).await.unwrap();
    store.close();
    let store = Store::open(options).unwrap();
    assert!(store.trace(trace_id(1)).unwrap().is_some() && store.trace(trace_id(2)).unwrap().is_some());
    assert_eq!(store.stats().set_aside, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_counted_across_services_also_where_parent_and_child_were_sealed_apart() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions::new(dir.path());
    let child = |id: u64, parent: u64| Span {
        parent_span_id: parent.to_be_bytes().to_vec(),
        ..span(7, id, "Verify", 100 + id)
    };
    let store = Store::open(StoreOptions { head_age: Duration::ZERO, ..options.clone() }).unwrap();
    store.append_spans(one("mobile-app", span(7, 1, "POST /orders", 100))).await.unwrap();
    eventually("it is sealed", || store.stats().head_bytes == 0);
    store.append_spans(request(vec![group("auth", vec![child(2, 1), child(3, 2)])])).await.unwrap();
    eventually("it is sealed", || store.stats().head_bytes == 0);
    store.append_spans(one("tracking", child(4, 3))).await.unwrap();
    let call =
        |parent: &str, child: &str| Dependency { parent: parent.into(), child: child.into(), call_count: 1 };
    let expected = [call("auth", "tracking"), call("mobile-app", "auth")];
    assert_eq!(store.dependencies(0, u64::MAX).unwrap(), expected);
    eventually("it is sealed", || store.stats().head_bytes == 0);
    assert_eq!(store.dependencies(0, u64::MAX).unwrap(), expected);
    assert_eq!(store.dependencies(u64::MAX / 2, u64::MAX).unwrap(), []);
}

#[tokio::test]
async fn ten_thousand_span_names_too_many_are_searchable_though_not_listed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(dir.path())).unwrap();
    let spans = (1..=30_000).map(|n| span(n, 1, &format!("op {n}"), 1)).collect();
    store.append_spans(request(vec![group("auth", spans)])).await.unwrap();
    assert_eq!(store.operations("auth").len(), 20_000);
    let query = Query {
        operation: Some("op 29999".into()),
        start_max_ns: u64::MAX,
        limit: usize::MAX,
        ..Query::default()
    };
    assert_eq!(store.find(&query).unwrap().len(), 1);
}

#[tokio::test]
async fn absurd_spans_are_kept_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(dir.path())).unwrap();
    let backwards = Span { end_time_unix_nano: 5, ..span(1, 1, "backwards", 1_000) };
    let far = Span { end_time_unix_nano: u64::MAX, ..span(1, 2, "year 2600", 1 << 63) };
    let huge = Span { attributes: vec![text("essay", &"x".repeat(16 << 20))], ..span(1, 3, "huge", 7) };
    for sent in [&backwards, &far, &huge] {
        store.append_spans(one("auth", sent.clone())).await.unwrap();
    }
    drop(store);
    let store = Store::open(StoreOptions::new(dir.path())).unwrap();
    assert_eq!(spans_of(&store.trace(trace_id(1)).unwrap().unwrap()), [backwards, far, huge]);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nothing_can_be_sealed_requests_are_refused_in_bounded_memory_and_then_taken_again() {
    let dir = tempfile::tempdir().unwrap();
    // Each head is full after one request; a folder in the place of the segment's temporary file keeps it from being made.
    let options =
        StoreOptions { head_bytes: 1, patience: Duration::from_millis(50), ..StoreOptions::new(dir.path()) };
    let store = Store::open(options.clone()).unwrap();
    let obstacle = dir.path().join("spans/seg-000000000001-000000000001.tmp");
    std::fs::create_dir(&obstacle).unwrap();
    let mut kept = Vec::new();
    for n in 1..=20_u64 {
        if store.append_spans(one("auth", span(u128::from(n), 1, "Verify", n))).await.is_ok() {
            kept.push(n);
        }
    }
    assert_eq!(kept, [1, 2, 3], "two full heads and the active one");
    assert_eq!(store.stats().refused, 17);
    std::fs::remove_dir(&obstacle).unwrap();
    eventually("it seals", || store.stats().segments == 2);
    store.append_spans(one("auth", span(21, 1, "Verify", 21))).await.unwrap();
    kept.push(21);
    store.close();
    let store = Store::open(options).unwrap();
    for n in kept {
        assert!(store.trace(trace_id(u128::from(n))).unwrap().is_some(), "{n} was acknowledged");
    }
    assert_eq!(store.stats().spans, 4, "what was refused is not there");
}

#[tokio::test]
async fn a_log_that_was_only_just_being_made_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions::new(dir.path());
    let store = Store::open(options.clone()).unwrap();
    store.append_spans(one("auth", span(1, 1, "Verify", 1))).await.unwrap();
    store.close();
    std::fs::write(dir.path().join("spans/wal-000000000002.log"), b"WBWAL").unwrap();
    for n in 2..4_u64 {
        let store = Store::open(options.clone()).unwrap();
        assert_eq!(store.stats().set_aside, 0);
        store.append_spans(one("auth", span(u128::from(n), 1, "Verify", n))).await.unwrap();
        assert!((1..=n).all(|n| store.trace(trace_id(u128::from(n))).unwrap().is_some()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_full_segments_are_joined_and_answer_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { head_bytes: 3_000, ..StoreOptions::new(dir.path()) };
    let store = Store::open(options.clone()).unwrap();
    for n in 1..=600_u64 {
        let child = Span {
            parent_span_id: 1_u64.to_be_bytes().to_vec(),
            ..span(u128::from(n % 50 + 1), n + 1, "Verify", n)
        };
        let parent = span(u128::from(n % 50 + 1), 1, "POST /orders", n);
        let groups = vec![group("mobile-app", vec![parent]), group("auth", vec![child])];
        store.append_spans(request(groups)).await.unwrap();
    }
    // A head takes two or three requests, and eight segments become one, again and again.
    eventually("segments are joined", || store.stats().segments < 30 && store.stats().head_bytes < 6_000);
    let check = |store: &Store| {
        assert_eq!(store.stats().spans, 1_200);
        let query =
            Query { service: Some("auth".into()), start_max_ns: u64::MAX, limit: 100, ..Query::default() };
        let newest: Vec<_> = store.find(&query).unwrap().iter().map(|trace| trace.id).collect();
        let expected: Vec<_> = (551..=600_u128).rev().map(|n| trace_id(n % 50 + 1)).collect();
        assert_eq!(newest, expected);
        assert_eq!(spans_of(&store.trace(trace_id(1)).unwrap().unwrap()).len(), 24);
        let calls = store.dependencies(0, u64::MAX).unwrap();
        let call = Dependency { parent: "mobile-app".into(), child: "auth".into(), call_count: 600 };
        assert_eq!(calls, [call]);
    };
    check(&store);
    store.close();
    check(&Store::open(options).unwrap());
}

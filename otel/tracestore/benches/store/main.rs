//! `cargo bench -p waybill-tracestore`: walking a request, its log record, appending it, sealing a head, reading back.

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use prost::Message;
use std::hint::black_box;
use std::time::Duration;
use tracestore::model::{Query, TraceId};
use tracestore::{Store, StoreOptions, SyncMode, measure};

mod orders;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn encoded(n: u64) -> Bytes {
    orders::request(n).encode_to_vec().into()
}

const REQUEST_SPANS: u64 = orders::ORDERS * orders::SPANS;

fn writing(c: &mut Criterion) {
    let request = encoded(0);
    let mut group = c.benchmark_group("write");
    group.throughput(Throughput::Elements(REQUEST_SPANS));
    group.bench_function("walk a request", |b| b.iter(|| measure::walk(black_box(request.clone()))));
    group.bench_function("log record of a request", |b| b.iter(|| measure::record(black_box(&request))));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (name, sync) in [
        ("append, synced", SyncMode::Always),
        ("append, synced by the second", SyncMode::Every(Duration::from_secs(1))),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(StoreOptions { sync, ..StoreOptions::new(dir.path()) }).unwrap();
        let requests: Vec<Bytes> = (0..32).map(encoded).collect();
        let mut n = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                n = (n + 1) % requests.len();
                runtime.block_on(store.append_spans(requests[n].clone())).unwrap()
            });
        });
    }
    group.finish();

    let requests: Vec<Bytes> = (0..80).map(encoded).collect();
    let head = measure::FullHead::of(&requests);
    let dir = tempfile::tempdir().unwrap();
    let mut group = c.benchmark_group("background");
    group.sample_size(10).throughput(Throughput::Elements(REQUEST_SPANS * 80));
    group.bench_function("seal a head", |b| b.iter(|| head.seal(&dir.path().join("bench.seg")).unwrap()));
    group.finish();
}

fn reading(c: &mut Criterion) {
    const REQUESTS: u64 = 400;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(dir.path())).unwrap();
    for n in 0..REQUESTS {
        while runtime.block_on(store.append_spans(encoded(n))).is_err() {}
    }
    let all = REQUESTS * orders::ORDERS;
    let mut next = 0;
    let mut any = move || {
        next += 1;
        orders::mix(next) % all
    };
    let mut group = c.benchmark_group("read, 200 k spans");
    group.bench_function("trace by id", |b| {
        b.iter(|| store.trace(TraceId(orders::trace_id(any()))).unwrap().unwrap())
    });
    group.bench_function("absent trace", |b| b.iter(|| store.trace(TraceId([7; 16])).unwrap()));
    let query = |service: &str, tags: &[(&str, &str)]| Query {
        service: Some(service.into()),
        tags: tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        start_max_ns: u64::MAX,
        limit: 20,
        ..Query::default()
    };
    group.bench_function("search order.id", |b| {
        b.iter(|| store.find(&query("auth", &[("order.id", &orders::order_id(any()))])).unwrap());
    });
    let cases = [
        ("search errors of a service", query("delivery-assignment", &[("error", "true")])),
        ("search a service", query("tracking", &[])),
        ("search absent tag", query("auth", &[("order.id", "none")])),
        ("search long spans", Query { duration_min_ns: 690_000_000, ..query("auth", &[]) }),
    ];
    for (name, query) in cases {
        group.bench_function(name, |b| b.iter(|| store.find(&query).unwrap()));
    }
    group.finish();
}

criterion_group! { name = benches; config = Criterion::default().measurement_time(Duration::from_secs(3)); targets = writing, reading }
criterion_main!(benches);

//! The collector's hot paths: the walk over a request, JSON reading, merging and splitting, the durable queue's append.
//!
//! The load is the one of `docs/performance.md`: requests of 512 spans, about 420 bytes each.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench")]

use collector::otlp::split::{Limit, split};
use collector::otlp::{json, walk};
use collector::pipeline::{Batch, Signal};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use load::{SPANS, request};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message as _;

#[path = "load.rs"]
mod load;

fn otlp(criterion: &mut Criterion) {
    let request = request();
    let bytes = bytes::Bytes::from(request.encode_to_vec());
    let text = serde_json::to_vec(&request).unwrap();
    let mut group = criterion.benchmark_group("otlp");
    group.throughput(Throughput::Elements(SPANS));
    group.bench_function("walk", |bencher| bencher.iter(|| walk::check(Signal::Traces, &bytes).unwrap()));
    group.bench_function("prost decode, to compare", |bencher| {
        bencher.iter(|| ExportTraceServiceRequest::decode(bytes.clone()).unwrap());
    });
    group.bench_function("json to protobuf", |bencher| {
        bencher.iter(|| json::to_protobuf(Signal::Traces, &text).unwrap());
    });
    group.bench_function("json by serde and prost, to compare", |bencher| {
        bencher.iter(|| serde_json::from_slice::<ExportTraceServiceRequest>(&text).unwrap().encode_to_vec());
    });
    let batch = Batch { signal: Signal::Traces, items: SPANS, parts: vec![bytes] };
    group.bench_function("split in four", |bencher| {
        bencher.iter(|| split(batch.clone(), Limit::Items(SPANS / 4)));
    });
    group.finish();
}

/// A request through a real socket into the queue's file and back: what a sender waits for.
fn queue(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut group = criterion.benchmark_group("acknowledge a request of 512 spans");
    group.throughput(Throughput::Elements(SPANS));
    for (name, fsync) in [("written", false), ("written and fsynced", true)] {
        let config = format!(
            "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:0'}}}}}}}}\n\
             exporters: {{otlp: {{endpoint: '127.0.0.1:1', tls: {{insecure: true}}, retry_on_failure: {{initial_interval: 60s, max_interval: 60s}},\
             sending_queue: {{storage: file_storage, queue_size: 100000000, num_consumers: 1}}}}}}\n\
             extensions: {{file_storage: {{directory: {}/{fsync}, create_directory: true, fsync: {fsync}}}}}\n\
             service: {{extensions: [file_storage], telemetry: {{metrics: {{level: none}}}},\
             pipelines: {{traces: {{receivers: [otlp], exporters: [otlp]}}}}}}",
            folder.path().display()
        );
        let config = collector::Config::parse(&config, &|_| None).unwrap();
        let collector = runtime.block_on(collector::Collector::start(config)).unwrap();
        let url = format!("http://{}", collector.addresses()["otlp/grpc"]);
        let client = runtime.block_on(TraceServiceClient::connect(url)).unwrap();
        let request = request();
        group.bench_function(name, |bencher| {
            bencher.to_async(&runtime).iter(async || client.clone().export(request.clone()).await.unwrap());
        });
        runtime.block_on(collector.stop(std::time::Duration::ZERO));
    }
    group.finish();
}

criterion_group!(benches, otlp, queue);
criterion_main!(benches);

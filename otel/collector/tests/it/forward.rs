//! The way through: what comes in by each protocol, encoding and compression goes out unchanged.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use prost::Message as _;
use std::io::Write as _;
use tonic::codec::CompressionEncoding;

use crate::rig::{Backend, Rig, eventually, get, log, spans, to_backend};

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn spans_sent_over_grpc_in_each_compression_reach_the_backend_unchanged() {
    let backend = Backend::start().await;
    let rig = Rig::start(&to_backend(backend.address, "", "")).await;
    let client = rig.traces().await;
    client.clone().export(spans(0..3)).await.unwrap();
    client.clone().send_compressed(CompressionEncoding::Gzip).export(spans(3..6)).await.unwrap();
    let reply = client.clone().send_compressed(CompressionEncoding::Zstd).export(spans(6..9)).await.unwrap();
    assert_eq!(reply.into_inner().partial_success, None);
    eventually("nine spans at the backend", async || (backend.span_numbers().len() == 9).then_some(())).await;
    assert_eq!(backend.span_numbers(), (0..9).collect::<Vec<_>>());
    assert!(
        backend.trace_requests().contains(&spans(0..3)),
        "the request is the same, resource and scope included"
    );
    rig.stop().await;
}

#[tokio::test]
async fn spans_sent_over_http_in_each_encoding_and_compression_reach_the_backend_unchanged() {
    let backend = Backend::start().await;
    let rig = Rig::start(&to_backend(backend.address, "", "")).await;
    let http = reqwest::Client::new();
    let protobuf = |from: u64| spans(from..from + 3).encode_to_vec();
    let json = |from: u64| serde_json::to_vec(&spans(from..from + 3)).unwrap();
    let cases = [
        ("application/x-protobuf", "identity", protobuf(0)),
        ("application/x-protobuf", "gzip", gzip(&protobuf(3))),
        ("application/x-protobuf", "zstd", zstd::bulk::compress(&protobuf(6), 1).unwrap()),
        ("application/json", "identity", json(9)),
        ("application/json; charset=utf-8", "gzip", gzip(&json(12))),
        ("application/json", "zstd", zstd::bulk::compress(&json(15), 1).unwrap()),
    ];
    for (content_type, encoding, body) in cases {
        let request = http.post(rig.url("otlp/http", "/v1/traces")).body(body);
        let request = request.header("content-type", content_type).header("content-encoding", encoding);
        let reply = request.send().await.unwrap();
        assert_eq!(reply.status(), 200, "{content_type} {encoding}");
        let essence = content_type.split(';').next().unwrap();
        assert_eq!(reply.headers()["content-type"], essence, "the reply has the request's type");
        let expected = if essence == "application/json" { "{}" } else { "" };
        assert_eq!(reply.text().await.unwrap(), expected);
    }
    eventually("all spans at the backend", async || (backend.span_numbers().len() == 18).then_some(())).await;
    let seen = backend.trace_requests();
    assert!((0..6).all(|at| seen.contains(&spans(at * 3..at * 3 + 3))), "each request is the same");
    rig.stop().await;
}

#[tokio::test]
async fn a_large_request_in_json_is_read_beside_the_others() {
    let backend = Backend::start().await;
    let rig = Rig::start(&to_backend(backend.address, "", "")).await;
    let body = serde_json::to_vec(&spans(0..3000)).unwrap();
    assert!(body.len() > 512 << 10);
    let request = reqwest::Client::new().post(rig.url("otlp/http", "/v1/traces")).body(body);
    assert_eq!(request.header("content-type", "application/json").send().await.unwrap().status(), 200);
    eventually("all spans", async || (backend.span_numbers().len() == 3000).then_some(())).await;
    assert_eq!(backend.trace_requests(), [spans(0..3000)]);
    rig.stop().await;
}

#[tokio::test]
async fn logs_reach_the_backend_and_an_empty_request_is_a_success() {
    let backend = Backend::start().await;
    let rig = Rig::start(&to_backend(backend.address, "", "")).await;
    let mut client = LogsServiceClient::connect(rig.url("otlp/grpc", "")).await.unwrap();
    client.export(log("hello")).await.unwrap();
    client.export(ExportLogsServiceRequest::default()).await.unwrap();
    let empty = reqwest::Client::new().post(rig.url("otlp/http", "/v1/logs"));
    let reply = empty.header("content-type", "application/x-protobuf").send().await.unwrap();
    assert_eq!(reply.status(), 200);
    eventually("the log at the backend", async || (!backend.logs().is_empty()).then_some(())).await;
    assert_eq!(backend.logs(), [log("hello")]);
    rig.stop().await;
}

#[tokio::test]
async fn the_collector_counts_what_passes_under_the_official_names() {
    let backend = Backend::start().await;
    let rig = Rig::start(&to_backend(backend.address, "", "")).await;
    rig.traces().await.export(spans(0..7)).await.unwrap();
    eventually("sent spans counted", async || {
        (rig.own("otelcol_exporter_sent_spans", "exporter=\"otlp\"").await? == 7.0).then_some(())
    })
    .await;
    let labels = "receiver=\"otlp\",transport=\"grpc\"";
    assert_eq!(rig.own("otelcol_receiver_accepted_spans", labels).await, Some(7.0));
    assert_eq!(rig.own("otelcol_receiver_refused_spans", labels).await, Some(0.0));
    assert_eq!(rig.own("otelcol_exporter_queue_capacity", "data_type=\"traces\"").await, Some(1000.0));
    let text = get(&rig.url("telemetry", "/metrics")).await;
    for name in ["otelcol_process_uptime", "otelcol_process_memory_rss", "otelcol_process_cpu_seconds"] {
        let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        assert!(line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap() > 0.0, "{line}");
    }
    rig.stop().await;
}

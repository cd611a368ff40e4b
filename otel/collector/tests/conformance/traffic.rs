//! The same spans go in, the same spans come out, attribute by attribute.

use std::io::Write as _;
use std::process::Command;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use prost::Message as _;
use tonic::codec::CompressionEncoding;

use crate::both::{Both, Side};
use crate::generated::traces;
use crate::rig::{names, spans};

pub(crate) const PROTOBUF: &str = "application/x-protobuf";
pub(crate) const JSON: &str = "application/json";

pub(crate) async fn post(side: &Side, path: &str, content_type: &str, encoding: &str, body: Vec<u8>) {
    let request = reqwest::Client::new().post(side.url("http", path)).header("content-type", content_type);
    let request = if encoding.is_empty() { request } else { request.header("content-encoding", encoding) };
    let answer = request.body(body).send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{}: {status} {text}", side.name);
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Sends `request` in one of the ways that OTLP knows.
async fn send(side: &Side, way: usize, request: &ExportTraceServiceRequest) {
    let protobuf = request.encode_to_vec();
    match way % 7 {
        0 => drop(side.traces().await.export(request.clone()).await.unwrap()),
        1 => {
            let mut client = side
                .traces()
                .await
                .send_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Gzip);
            client.export(request.clone()).await.unwrap();
        }
        2 => {
            let mut client = side
                .traces()
                .await
                .send_compressed(CompressionEncoding::Zstd)
                .accept_compressed(CompressionEncoding::Zstd);
            client.export(request.clone()).await.unwrap();
        }
        3 => post(side, "/v1/traces", PROTOBUF, "", protobuf).await,
        4 => post(side, "/v1/traces", PROTOBUF, "gzip", gzip(&protobuf)).await,
        5 => post(side, "/v1/traces", PROTOBUF, "zstd", zstd::bulk::compress(&protobuf, 3).unwrap()).await,
        _ => post(side, "/v1/traces", JSON, "", serde_json::to_vec(request).unwrap()).await,
    }
}

/// Values made up from a fixed seed; another one is `PROPTEST_RNG_SEED`.
pub(crate) fn drawn<S: Strategy>(strategy: S, count: usize) -> Vec<S::Value> {
    let seed = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// What no SDK sends and both have to pass on.
fn edge_cases() -> Vec<ExportTraceServiceRequest> {
    let change = |change: fn(&mut ExportTraceServiceRequest)| {
        let mut request = spans([1]);
        change(&mut request);
        request
    };
    vec![
        change(|request| request.resource_spans[0].resource = None),
        change(|request| request.resource_spans[0].scope_spans[0].scope = None),
        change(|request| {
            request.resource_spans[0].schema_url = "https://opentelemetry.io/schemas/1.42.0".into()
        }),
        change(|request| request.resource_spans[0].scope_spans[0].schema_url = "urn:x".into()),
        change(|request| request.resource_spans.push(ResourceSpans::default())),
        change(|request| {
            let span = &mut request.resource_spans[0].scope_spans[0].spans[0];
            (span.trace_id, span.span_id) = (vec![], vec![]);
        }),
        change(|request| request.resource_spans[0].scope_spans[0].spans[0].trace_id = vec![0; 16]),
        change(|request| {
            let span = &mut request.resource_spans[0].scope_spans[0].spans[0];
            (span.start_time_unix_nano, span.end_time_unix_nano) = (u64::MAX, 1);
            (span.kind, span.flags) = (99, u32::MAX);
        }),
        change(|request| {
            let span = &mut request.resource_spans[0].scope_spans[0].spans[0];
            let twice = span.attributes[0].clone();
            span.attributes.push(twice);
            span.attributes[0].value = None;
            span.name = "🍕 \u{0} \u{202e}".into();
        }),
        change(|request| {
            let again = request.resource_spans[0].scope_spans[0].spans[0].clone();
            request.resource_spans[0].scope_spans[0].spans.push(again);
        }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_file_starts_both_and_the_same_spans_come_out() {
    let Some(mut both) = Both::start().await else { return };
    let mut all = edge_cases();
    all.extend(drawn(traces(), 210));
    let mut expected = 0;
    for (way, request) in all.iter().enumerate() {
        for side in both.sides() {
            send(side, way, request).await;
        }
        expected += names(request).len();
    }
    let [ours, real] = both.spans(expected).await;
    assert_eq!(ours.len(), expected, "each once");
    assert_eq!(real.len(), expected, "each once");
    for (ours, real) in ours.iter().zip(&real) {
        assert_eq!(ours, real);
    }
    both.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_telemetrygen_sends_comes_out_the_same() {
    let Some(mut both) = Both::start().await else { return };
    let program = std::env::var_os("TELEMETRYGEN").unwrap_or_else(|| "telemetrygen".into());
    for side in both.sides() {
        let sent = Command::new(&program)
            .args(["traces", "--otlp-insecure", "--traces", "20", "--child-spans", "3", "--rate", "0"])
            .args(["--otlp-attributes", "service.namespace=\"waybill\"", "--telemetry-attributes", "a=\"b\""])
            .args(["--otlp-endpoint", &side.address("grpc")])
            .output();
        match sent {
            Ok(sent) => assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return eprintln!(
                    "SKIPPED: telemetrygen is not here; set TELEMETRYGEN=/path/to/telemetrygen"
                );
            }
            Err(error) => panic!("{}: {error}", program.display()),
        }
    }
    both.spans(80).await;
    let [ours, real] = both.sides().map(|side| {
        let mut found: Vec<_> = side.backend.trace_requests().iter().flat_map(shapes).collect();
        found.sort();
        found
    });
    assert_eq!(ours, real);
    both.stop().await;
}

/// What two runs of a generator have in common: no ids, no times, no ports.
fn shapes(request: &ExportTraceServiceRequest) -> Vec<String> {
    let mut found = Vec::new();
    for resource in &request.resource_spans {
        for scope in &resource.scope_spans {
            for span in &scope.spans {
                let keys: Vec<_> = span.attributes.iter().map(|one| (&one.key, &one.value)).collect();
                let (kind, status) = (span.kind, &span.status);
                let (resource, scope) = (&resource.resource, &scope.scope);
                found.push(format!("{} {kind} {status:?} {keys:?} {resource:?} {scope:?}", span.name));
            }
        }
    }
    found
}

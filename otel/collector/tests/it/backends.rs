//! What stands between the collector and its backends: retries, batches, splitting, back-pressure.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::durability::free_address;
use crate::rig::{Act, Backend, Rig, eventually, names, spans, to_backend};

const QUICK: &str = "    retry_on_failure: {initial_interval: 10ms, max_interval: 20ms}\n";

async fn arrived(backend: &Backend, count: usize) {
    eventually("the spans", async || (backend.span_numbers().len() == count).then_some(())).await;
}

#[tokio::test]
async fn retryable_refusals_are_repeated_until_the_backend_takes_the_data() {
    let backend = Backend::start().await;
    for code in [Code::Unavailable, Code::DeadlineExceeded, Code::Aborted, Code::Cancelled, Code::DataLoss] {
        backend.then(Act::Refuse(Status::new(code, "later")));
    }
    let wait = ErrorDetails::with_retry_info(Some(Duration::from_millis(30)));
    backend.then(Act::Refuse(Status::with_error_details(Code::ResourceExhausted, "later", wait)));
    let rig = Rig::start(&to_backend(backend.address, QUICK, "")).await;
    rig.traces().await.export(spans(0..4)).await.unwrap();
    arrived(&backend, 4).await;
    rig.stop().await;
}

#[tokio::test]
async fn final_refusals_are_counted_and_not_repeated() {
    let backend = Backend::start().await;
    backend.then(Act::Refuse(Status::invalid_argument("never")));
    backend.then(Act::Refuse(Status::resource_exhausted("too large, without RetryInfo")));
    let rig = Rig::start(&to_backend(backend.address, QUICK, "")).await;
    let mut client = rig.traces().await;
    client.export(spans(0..4)).await.unwrap();
    client.export(spans(4..8)).await.unwrap();
    eventually("both failures counted", async || {
        (rig.own("otelcol_exporter_send_failed_spans", "otlp").await? == 8.0).then_some(())
    })
    .await;
    client.export(spans(8..9)).await.unwrap();
    arrived(&backend, 1).await;
    assert_eq!(rig.own("otelcol_exporter_sent_spans", "otlp").await, Some(1.0));
    rig.stop().await;
}

#[tokio::test]
async fn a_hung_backend_costs_one_time_out_and_a_dead_one_is_found_again() {
    let backend = Backend::start().await;
    backend.then(Act::Hang);
    let rig = Rig::start(&to_backend(backend.address, &format!("{QUICK}    timeout: 1s"), "")).await;
    rig.traces().await.export(spans(0..4)).await.unwrap();
    arrived(&backend, 4).await;
    rig.stop().await;

    let address = free_address();
    let rig = Rig::start(&to_backend(address, QUICK, "")).await;
    rig.traces().await.export(spans(0..4)).await.unwrap();
    let backend = Backend::start_at(address).await;
    arrived(&backend, 4).await;
    rig.stop().await;
}

#[tokio::test]
async fn data_older_than_max_elapsed_time_is_given_up_and_counted() {
    let backend = Backend::start().await;
    backend.always(Some(Act::Refuse(Status::unavailable("down"))));
    let retry = "    retry_on_failure: {initial_interval: 10ms, max_interval: 20ms, max_elapsed_time: 50ms}";
    let rig = Rig::start(&to_backend(backend.address, retry, "")).await;
    rig.traces().await.export(spans(0..4)).await.unwrap();
    eventually("given up", async || {
        (rig.own("otelcol_exporter_send_failed_spans", "otlp").await? == 4.0).then_some(())
    })
    .await;
    rig.stop().await;
}

#[tokio::test]
async fn requests_are_gathered_into_batches_and_batches_split_at_their_maximum() {
    let backend = Backend::start().await;
    backend.then(Act::Hang);
    let queue = format!(
        "{QUICK}    timeout: 1s\n    sending_queue: {{num_consumers: 1, batch: {{flush_timeout: 20s, min_size: 100, max_size: 150}}}}"
    );
    let rig = Rig::start(&to_backend(backend.address, &queue, "")).await;
    let mut client = rig.traces().await;
    for number in 0..400 {
        client.export(spans([number])).await.unwrap();
    }
    client.export(spans(400..900)).await.unwrap();
    arrived(&backend, 900).await;
    let sizes: Vec<usize> = backend.trace_requests().iter().map(|request| names(request).len()).collect();
    assert_eq!(
        sizes,
        [100, 100, 100, 100, 150, 150, 150, 50],
        "gathered to the minimum, split at the maximum"
    );
    assert_eq!(backend.span_numbers(), (0..900).collect::<Vec<_>>(), "each once");
    for request in backend.trace_requests() {
        for resource in &request.resource_spans {
            assert_eq!(
                resource.resource,
                spans([0]).resource_spans[0].resource,
                "each piece has its resource"
            );
            assert_eq!(resource.scope_spans[0].scope, spans([0]).resource_spans[0].scope_spans[0].scope);
        }
    }
    rig.stop().await;
}

#[tokio::test]
async fn one_poisoned_request_does_not_take_its_batch_with_it() {
    let backend = Backend::start().await;
    backend.poison("span 13");
    let queue = format!("{QUICK}    sending_queue: {{batch: {{flush_timeout: 100ms, min_size: 1000}}}}");
    let rig = Rig::start(&to_backend(backend.address, &queue, "")).await;
    let mut client = rig.traces().await;
    for number in 0..20 {
        client.export(spans([number])).await.unwrap();
    }
    arrived(&backend, 19).await;
    assert!(!backend.span_numbers().contains(&13));
    eventually("the loss counted", async || {
        (rig.own("otelcol_exporter_send_failed_spans", "otlp").await? == 1.0).then_some(())
    })
    .await;
    rig.stop().await;
}

#[tokio::test]
async fn callers_can_wait_for_the_result_or_for_room() {
    let backend = Backend::start().await;
    backend.then(Act::Refuse(Status::invalid_argument("never")));
    let wait = format!("{QUICK}    sending_queue: {{wait_for_result: true}}");
    let rig = Rig::start(&to_backend(backend.address, &wait, "")).await;
    let status = rig.traces().await.export(spans([1])).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "the backend's own answer");
    rig.traces().await.export(spans([2])).await.unwrap();
    assert_eq!(backend.span_numbers(), [2], "the answer comes after the export");
    rig.stop().await;

    let backend = Backend::start().await;
    backend.then(Act::Hang);
    let block = format!(
        "{QUICK}    timeout: 200ms\n    sending_queue: {{queue_size: 1, num_consumers: 1, block_on_overflow: true}}"
    );
    let rig = Rig::start(&to_backend(backend.address, &block, "")).await;
    for number in 0..5 {
        rig.traces().await.export(spans([number])).await.unwrap();
    }
    arrived(&backend, 5).await;
    rig.stop().await;
}

#[tokio::test]
async fn without_a_queue_the_answer_is_the_backend_s() {
    let backend = Backend::start().await;
    backend.then(Act::Refuse(Status::unavailable("down")));
    let rig = Rig::start(&to_backend(
        backend.address,
        "    retry_on_failure: {enabled: false}\n    sending_queue: {enabled: false}",
        "",
    ))
    .await;
    assert_eq!(rig.traces().await.export(spans([1])).await.unwrap_err().code(), Code::Unavailable);
    rig.traces().await.export(spans([2])).await.unwrap();
    assert_eq!(backend.span_numbers(), [2]);
    rig.stop().await;
}

#[tokio::test]
async fn headers_and_compression_are_sent_and_a_stop_drains_the_queue() {
    let backend = Backend::start().await;
    for compression in ["gzip", "zstd", "none"] {
        let settings = format!("    compression: {compression}\n    headers: {{X-Tenant: pizza}}");
        let rig = Rig::start(&to_backend(backend.address, &settings, "")).await;
        let mut client = rig.traces().await;
        for number in 0..50 {
            client.export(spans([number])).await.unwrap();
        }
        rig.stop().await;
        assert_eq!(backend.trace_requests().len() % 50, 0, "all had left when the stop returned");
        let last = backend.headers().pop().unwrap();
        assert_eq!(last.get("x-tenant").unwrap(), "pizza");
        let encoding = last.get("grpc-encoding").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(encoding.as_deref().unwrap_or("none"), compression);
    }
}

#[tokio::test]
async fn the_batch_processor_gathers_splits_and_flushes_on_stop() {
    let backend = Backend::start().await;
    let config = to_backend(
        backend.address,
        "",
        "processors: {batch: {timeout: 10s, send_batch_size: 100, send_batch_max_size: 100}}",
    )
    .replace("traces: {receivers: [otlp],", "traces: {receivers: [otlp], processors: [batch],");
    let rig = Rig::start(&config).await;
    let mut client = rig.traces().await;
    for number in 0..130 {
        client.export(spans([number])).await.unwrap();
    }
    arrived(&backend, 100).await;
    let labels = "otel_signal=\"traces\",processor=\"batch\"";
    assert_eq!(rig.own("otelcol_processor_incoming_items", labels).await, Some(130.0));
    assert_eq!(rig.own("otelcol_processor_outgoing_items", labels).await, Some(100.0));
    assert_eq!(
        rig.own("otelcol_processor_batch_batch_size_trigger_send", "processor=\"batch\"").await,
        Some(1.0)
    );
    rig.stop().await;
    assert_eq!(backend.span_numbers(), (0..130).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_memory_limiter_refuses_retryably_while_memory_is_short() {
    let backend = Backend::start().await;
    let config = to_backend(
        backend.address,
        "",
        "processors: {memory_limiter: {check_interval: 10ms, limit_mib: 2, spike_limit_mib: 1}}",
    )
    .replace("traces: {receivers: [otlp],", "traces: {receivers: [otlp], processors: [memory_limiter],");
    let rig = Rig::start(&config).await;
    // The first measurement may come after the first request.
    let client = rig.traces().await;
    let status = eventually("a refusal", async || client.clone().export(spans([1])).await.err()).await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.get_details_retry_info().is_some());
    assert!(status.message().contains("memory"), "{status:?}");
    assert!(
        rig.own("otelcol_processor_memory_limiter_refused_spans", "processor=\"memory_limiter\"")
            .await
            .unwrap()
            >= 1.0
    );
    rig.stop().await;
}

/// An OTLP/HTTP backend that answers as told, then takes what comes.
async fn http_backend(
    script: Vec<(StatusCode, Option<&'static str>)>,
) -> (std::net::SocketAddr, Arc<Mutex<Vec<(HeaderMap, Bytes)>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let script = Arc::new(Mutex::new(script));
    let taken = seen.clone();
    let handler = move |headers: HeaderMap, body: Bytes| async move {
        if let Some((status, retry_after)) = {
            let mut script = script.lock().unwrap();
            (!script.is_empty()).then(|| script.remove(0))
        } {
            let mut reply = HeaderMap::new();
            if let Some(value) = retry_after {
                reply.insert("retry-after", value.parse().unwrap());
            }
            return (status, reply);
        }
        taken.lock().unwrap().push((headers, body));
        (StatusCode::OK, HeaderMap::new())
    };
    let app = axum::Router::new().route("/base/v1/traces", axum::routing::post(handler));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, seen)
}

fn over_http(address: std::net::SocketAddr, more: &str) -> String {
    format!(
        r#"
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:0"}}}}}}}}
exporters:
  otlp_http:
    endpoint: http://{address}/base
    retry_on_failure: {{initial_interval: 10ms, max_interval: 20ms}}
{more}
service:
  telemetry: {{metrics: {{address: "127.0.0.1:0"}}}}
  pipelines: {{traces: {{receivers: [otlp], exporters: [otlp_http]}}}}
"#
    )
}

#[tokio::test]
async fn the_http_exporter_repeats_what_the_specification_calls_retryable() {
    let script = vec![
        (StatusCode::TOO_MANY_REQUESTS, Some("0")),
        (StatusCode::BAD_GATEWAY, None),
        (StatusCode::SERVICE_UNAVAILABLE, Some("Thu, 01 Jan 1970 00:00:00 GMT")),
        (StatusCode::GATEWAY_TIMEOUT, None),
    ];
    for (compression, unpack) in [
        ("none", (|bytes: &[u8]| bytes.to_vec()) as fn(&[u8]) -> Vec<u8>),
        ("gzip", gunzip),
        ("zstd", |bytes| zstd::stream::decode_all(bytes).unwrap()),
    ] {
        let (address, seen) = http_backend(script.clone()).await;
        let rig = Rig::start(&over_http(address, &format!("    compression: {compression}"))).await;
        rig.traces().await.export(spans(0..3)).await.unwrap();
        eventually("the request", async || (!seen.lock().unwrap().is_empty()).then_some(())).await;
        let (headers, body) = seen.lock().unwrap().remove(0);
        assert_eq!(headers["content-type"], "application/x-protobuf");
        assert_eq!(ExportTraceServiceRequest::decode(&unpack(&body)[..]).unwrap(), spans(0..3));
        rig.stop().await;
    }
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes), &mut out).unwrap();
    out
}

#[tokio::test]
async fn the_http_exporter_drops_what_is_refused_for_good() {
    for status in [StatusCode::BAD_REQUEST, StatusCode::PAYLOAD_TOO_LARGE, StatusCode::INTERNAL_SERVER_ERROR]
    {
        let (address, seen) = http_backend(vec![(status, None)]).await;
        let rig = Rig::start(&over_http(address, "")).await;
        rig.traces().await.export(spans(0..3)).await.unwrap();
        eventually("the loss counted", async || {
            (rig.own("otelcol_exporter_send_failed_spans", "otlp_http").await? == 3.0).then_some(())
        })
        .await;
        rig.traces().await.export(spans(3..4)).await.unwrap();
        eventually("the next request", async || (!seen.lock().unwrap().is_empty()).then_some(())).await;
        rig.stop().await;
    }
}

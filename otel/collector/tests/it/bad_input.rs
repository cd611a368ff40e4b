//! What a hostile or broken sender gets: the specification's codes with a `google.rpc.Status`, from a process that lives.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use reqwest::{Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic_types::StatusExt as _;

use crate::forward::gzip;
use crate::rig::{Backend, Rig, eventually, spans, to_backend};

/// A `google.rpc.Status` by its own definition.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// A collector that takes at most 1 MiB, is impatient, and sends to `backend`.
async fn strict(backend: &Backend) -> Rig {
    let config = to_backend(backend.address, "", "").replace(
        r#"grpc: {endpoint: "127.0.0.1:0"}, http: {endpoint: "127.0.0.1:0"}"#,
        r#"grpc: {endpoint: "127.0.0.1:0", max_recv_msg_size_mib: 1},
           http: {endpoint: "127.0.0.1:0", max_request_body_size: 1048576, read_header_timeout: 200ms, read_timeout: 300ms}"#,
    );
    Rig::start(&config).await
}

async fn still_serves(rig: &Rig, backend: &Backend, number: u64) {
    rig.traces().await.export(spans([number])).await.unwrap();
    eventually("a good span after the bad ones", async || {
        backend.span_numbers().contains(&number).then_some(())
    })
    .await;
}

struct Answer {
    status: StatusCode,
    retry_after: bool,
    rpc: RpcStatus,
}

async fn post(rig: &Rig, path: &str, content_type: &str, encoding: &str, body: Vec<u8>) -> Answer {
    let request = reqwest::Client::new().post(rig.url("otlp/http", path)).body(body);
    let reply = request
        .header("content-type", content_type)
        .header("content-encoding", encoding)
        .send()
        .await
        .unwrap();
    let (status, retry_after) = (reply.status(), reply.headers().contains_key("retry-after"));
    let json = reply.headers()["content-type"] == "application/json";
    let body = reply.bytes().await.unwrap();
    let rpc = if json {
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let code = value["code"].as_i64().map_or(0, |code| i32::try_from(code).unwrap());
        RpcStatus { code, message: value["message"].as_str().unwrap_or_default().into() }
    } else {
        RpcStatus::decode(body).unwrap()
    };
    Answer { status, retry_after, rpc }
}

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// Spans that protobuf can carry and OTLP cannot mean.
fn bad_spans() -> Vec<(&'static str, ExportTraceServiceRequest)> {
    let change = |change: fn(&mut opentelemetry_proto::tonic::trace::v1::Span)| {
        let mut request = spans([1]);
        change(&mut request.resource_spans[0].scope_spans[0].spans[0]);
        request
    };
    vec![
        ("Span.traceId: must have 16 bytes, has 15", change(|span| span.trace_id.truncate(15))),
        ("Span.spanId: must have 8 bytes, has 9", change(|span| span.span_id.push(1))),
        ("Span.parentSpanId: must have 8 bytes, has 3", change(|span| span.parent_span_id = vec![1, 2, 3])),
    ]
}

#[tokio::test]
async fn bad_data_over_http_is_400_with_a_status_in_the_request_s_content_type() {
    let backend = Backend::start().await;
    let rig = strict(&backend).await;
    let truncated = spans(0..3).encode_to_vec();
    let mut cases = vec![
        (PROTOBUF, truncated[..truncated.len() - 1].to_vec(), "ends within a field"),
        (PROTOBUF, vec![0xff; 64], "varint"),
        (PROTOBUF, vec![0x0b], "wire type"),
        (JSON, b"{".to_vec(), "EOF"),
        (JSON, b"[]".to_vec(), "ExportTraceServiceRequest"),
        (JSON, b"{\"resourceSpans\": {}}".to_vec(), "array"),
        (JSON, b"\xff\xfe".to_vec(), "UTF-8"),
        (
            JSON,
            format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes(),
            "ExportTraceServiceRequest",
        ),
    ];
    for (reason, request) in bad_spans() {
        cases.push((PROTOBUF, request.encode_to_vec(), reason));
        cases.push((JSON, serde_json::to_vec(&request).unwrap(), reason.split(' ').next().unwrap()));
    }
    for (content_type, body, reason) in cases {
        let answer = post(&rig, "/v1/traces", content_type, "identity", body).await;
        assert_eq!(answer.status, 400, "{reason}");
        assert_eq!(answer.rpc.code, Code::InvalidArgument as i32, "{reason}");
        assert!(answer.rpc.message.contains(reason), "{reason:?} in {:?}", answer.rpc.message);
        assert!(!answer.retry_after, "bad data is not to be sent again");
    }
    still_serves(&rig, &backend, 77).await;
    assert_eq!(backend.span_numbers(), [77], "nothing bad went through");
    rig.stop().await;
}

#[tokio::test]
async fn bad_data_over_grpc_is_invalid_argument() {
    let backend = Backend::start().await;
    let rig = strict(&backend).await;
    for (reason, request) in bad_spans() {
        let status = rig.traces().await.export(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(reason), "{reason:?} in {:?}", status.message());
    }
    still_serves(&rig, &backend, 77).await;
    rig.stop().await;
}

#[tokio::test]
async fn wrong_methods_types_paths_and_encodings_are_told_apart() {
    let backend = Backend::start().await;
    let rig = strict(&backend).await;
    let body = || spans([1]).encode_to_vec();
    assert_eq!(post(&rig, "/v1/traces", "text/plain", "identity", body()).await.status, 415);
    assert_eq!(post(&rig, "/v1/traces", PROTOBUF, "br", body()).await.status, 415);
    assert_eq!(post(&rig, "/v1/nothing", PROTOBUF, "identity", body()).await.status, 404);
    assert_eq!(
        post(&rig, "/v1/metrics", PROTOBUF, "identity", Vec::new()).await.status,
        404,
        "no pipeline takes it"
    );
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let reply =
            reqwest::Client::new().request(method, rig.url("otlp/http", "/v1/traces")).send().await.unwrap();
        assert_eq!((reply.status().as_u16(), reply.headers()["allow"].as_bytes()), (405, b"POST".as_slice()));
    }
    assert_eq!(post(&rig, "/v1/traces", PROTOBUF, "gzip", b"not gzip".to_vec()).await.status, 400);
    assert_eq!(post(&rig, "/v1/traces", PROTOBUF, "zstd", b"not zstd".to_vec()).await.status, 400);
    let half = gzip(&body());
    assert_eq!(post(&rig, "/v1/traces", PROTOBUF, "gzip", half[..half.len() / 2].to_vec()).await.status, 400);
    rig.stop().await;
}

#[tokio::test]
async fn a_message_above_the_limit_is_413_or_resource_exhausted_and_not_to_be_repeated() {
    let backend = Backend::start().await;
    let rig = strict(&backend).await;
    let large = spans(0..16_000);
    assert!(large.encoded_len() > 1 << 20);
    let plain = large.encode_to_vec();
    let zeros = vec![0; 64 << 20];
    let bombs = [
        ("identity", plain.clone()),
        ("gzip", gzip(&plain)),
        ("zstd", zstd::bulk::compress(&plain, 1).unwrap()),
        ("gzip", gzip(&zeros)),
        ("gzip", [gzip(&zeros[..1 << 20]), gzip(&zeros[..1 << 20])].concat()),
        ("zstd", zstd::bulk::compress(&zeros, 1).unwrap()),
    ];
    for (encoding, body) in bombs {
        let answer = post(&rig, "/v1/traces", PROTOBUF, encoding, body).await;
        assert_eq!(answer.status, 413, "{encoding}");
        assert_eq!(answer.rpc.code, Code::ResourceExhausted as i32);
        assert!(!answer.retry_after);
    }
    for encoding in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)] {
        let mut client = rig.traces().await;
        if let Some(encoding) = encoding {
            client = client.send_compressed(encoding);
        }
        let status = client.export(large.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{encoding:?}: {status:?}");
        assert!(status.get_details_retry_info().is_none(), "without RetryInfo it is final");
    }
    still_serves(&rig, &backend, 77).await;
    rig.stop().await;
}

#[tokio::test]
async fn nesting_is_bounded_in_protobuf_and_json() {
    let backend = Backend::start().await;
    let rig = strict(&backend).await;
    // An array in an array, 50,000 deep, as an attribute of a log record's body.
    let mut value = Vec::new();
    for _ in 0..50_000 {
        let mut outer = vec![0x0a];
        prost::encoding::encode_varint(value.len() as u64, &mut outer);
        outer.extend_from_slice(&value);
        value = vec![0x2a];
        prost::encoding::encode_varint(outer.len() as u64, &mut value);
        value.extend_from_slice(&outer);
        if value.len() > 200_000 {
            break;
        }
    }
    let wrap = |tag: u8, inner: &[u8]| {
        let mut out = vec![tag];
        prost::encoding::encode_varint(inner.len() as u64, &mut out);
        out.extend_from_slice(inner);
        out
    };
    let request = wrap(0x0a, &wrap(0x12, &wrap(0x12, &wrap(0x2a, &value))));
    let answer = post(&rig, "/v1/logs", PROTOBUF, "identity", request).await;
    assert_eq!(answer.status, 400);
    assert!(answer.rpc.message.contains("nested deeper"), "{}", answer.rpc.message);
    let deep = format!("{}{}", r#"{"arrayValue":{"values":["#.repeat(30_000), "]}}".repeat(30_000));
    let body = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{deep}}}]}}]}}]}}"#);
    let answer = post(&rig, "/v1/logs", JSON, "identity", body.into_bytes()).await;
    assert_eq!(answer.status, 400);
    assert!(answer.rpc.message.contains("recursion"), "{}", answer.rpc.message);
    // An unknown key may hold anything, as deep as it likes: it is skipped.
    let ignored = format!(r#"{{"unknown":{}{}}}"#, "[".repeat(50_000), "]".repeat(50_000));
    assert_eq!(post(&rig, "/v1/logs", JSON, "identity", ignored.into_bytes()).await.status, 200);
    still_serves(&rig, &backend, 77).await;
    rig.stop().await;
}

#[tokio::test]
async fn json_is_taken_as_the_specification_says() {
    let backend = Backend::start().await;
    let rig = strict(&backend).await;
    let trace = "5B8EFFF798038103D269B633813FC60C";
    let body = format!(
        r#"{{"future": [1, {{}}], "resourceSpans": [{{"resource": null, "scopeSpans": [{{"spans": [{{
            "traceId": "{trace}", "spanId": "eee19b7ec3c1b174", "parentSpanId": "", "name": "span 5", "kind": 2,
            "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": 1544712661000000000, "status": {{}},
            "droppedAttributesCount": "3", "attributes": [
              {{"key": "n", "value": {{"intValue": "-9007199254740993"}}}},
              {{"key": "d", "value": {{"doubleValue": "NaN"}}}},
              {{"key": "b", "value": {{"bytesValue": "-_8"}}}}
            ]}}]}}]}}]}}"#
    );
    assert_eq!(post(&rig, "/v1/traces", JSON, "identity", body.clone().into_bytes()).await.status, 200);
    eventually("the span", async || (backend.span_numbers() == [5]).then_some(())).await;
    let seen = format!("{:?}", backend.trace_requests());
    for part in
        ["IntValue(-9007199254740993)", "DoubleValue(NaN)", "BytesValue([251, 255])", "1544712661000000000"]
    {
        assert!(seen.contains(part), "{part} in {seen}");
    }
    let refused = [
        ("\"kind\": 2", "\"kind\": \"SPAN_KIND_SEVER\""),
        ("\"3\"", "-3"),
        ("\"3\"", "4294967296"),
        ("1544712661000000000", "1.5"),
        (trace, "not hex!"),
        (trace, "abc"),
        ("\"name\": \"span 5\"", "\"name\": 5"),
    ];
    for (from, to) in refused {
        let body = body.replace(from, to).into_bytes();
        assert_eq!(post(&rig, "/v1/traces", JSON, "identity", body).await.status, 400, "{to}");
    }
    rig.stop().await;
}

#[tokio::test]
async fn what_upstream_takes_beyond_the_specification_is_taken() {
    let backend = Backend::start().await;
    let rig = strict(&backend).await;
    let body = r#"{"resource_spans": [{"scope_spans": [{"spans": [
        {"trace_id": "5B8EFFF798038103D269B633813FC60C", "span_id": "eee19b7ec3c1b174", "name": "span 1",
         "kind": "SPAN_KIND_CONSUMER", "start_time_unix_nano": "5", "status": {"code": "STATUS_CODE_ERROR"}},
        {"traceId": "00000000000000000000000000000000", "name": "span 2"}]}]}]}"#;
    assert_eq!(post(&rig, "/v1/traces", JSON, "identity", body.as_bytes().to_vec()).await.status, 200);
    eventually("both spans", async || (backend.span_numbers() == [1, 2]).then_some(())).await;
    let request = &backend.trace_requests()[0];
    let [full, bare] = request.resource_spans[0].scope_spans[0].spans.as_slice() else {
        panic!("{request:?}")
    };
    assert_eq!((full.kind, full.start_time_unix_nano, full.trace_id.len()), (5, 5, 16));
    assert_eq!(full.status.as_ref().unwrap().code, 2);
    assert!(bare.span_id.is_empty(), "a span without ids is the backend's to judge");
    rig.stop().await;
}

#[tokio::test]
async fn slow_senders_are_cut_off_and_half_sent_requests_forgotten() {
    let backend = Backend::start().await;
    let rig = strict(&backend).await;
    let closes = async |first: &[u8]| {
        let mut stream = TcpStream::connect(rig.address("otlp/http")).await.unwrap();
        stream.write_all(first).await.unwrap();
        let mut reply = Vec::new();
        tokio::time::timeout(Duration::from_secs(15), stream.read_to_end(&mut reply))
            .await
            .expect("cut off")
            .ok();
        String::from_utf8_lossy(&reply).into_owned()
    };
    closes(b"").await;
    closes(b"P").await;
    closes(b"POST /v1/traces HTTP/1.1\r\nhost: x\r\n").await;
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: {PROTOBUF}\r\ncontent-length: 100\r\n\r\nhalf"
    );
    let reply = closes(head.as_bytes()).await;
    assert!(reply.starts_with("HTTP/1.1 408"), "{reply}");
    still_serves(&rig, &backend, 77).await;
    rig.stop().await;
}

#[tokio::test]
async fn an_overloaded_collector_says_when_to_come_again() {
    let backend = Backend::start().await;
    backend.always(Some(crate::rig::Act::Hang));
    let config = to_backend(backend.address, "    sending_queue: {queue_size: 1, num_consumers: 1}", "");
    let rig = Rig::start(&config).await;
    rig.traces().await.export(spans([1])).await.unwrap();
    let status = rig.traces().await.export(spans([2])).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(
        status.get_details_retry_info().unwrap().retry_delay.is_some(),
        "with RetryInfo it may be repeated"
    );
    let answer = post(&rig, "/v1/traces", PROTOBUF, "identity", spans([3]).encode_to_vec()).await;
    assert_eq!((answer.status.as_u16(), answer.retry_after), (503, true));
    assert_eq!(answer.rpc.code, Code::Unavailable as i32);
    assert_eq!(rig.own("otelcol_exporter_enqueue_failed_spans", "otlp").await, Some(2.0));
    assert_eq!(rig.own("otelcol_receiver_refused_spans", "receiver=\"otlp\"").await, Some(2.0));
    assert_eq!(rig.own("otelcol_exporter_queue_size", "data_type=\"traces\"").await, Some(1.0));
    rig.stop_within(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn a_grpc_peer_that_speaks_nonsense_harms_nobody() {
    let backend = Backend::start().await;
    let rig = strict(&backend).await;
    for bytes in [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff".as_slice(),
        &[0; 512],
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(rig.address("otlp/grpc")).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        drop(stream);
    }
    let mut unknown = opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient::connect(
        rig.url("otlp/grpc", ""),
    )
    .await
    .unwrap();
    let data = opentelemetry_proto::tonic::metrics::v1::metric::Data::Gauge(Default::default());
    let status = unknown.export(crate::rig::metric("m", "", data)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "no pipeline takes metrics");
    still_serves(&rig, &backend, 77).await;
    rig.stop().await;
}

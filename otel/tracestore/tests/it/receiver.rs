//! OTLP in, from clients that others wrote and from ones that misbehave.

use crate::requests::{group, log, one, request, span, trace_id};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use std::convert::Infallible;
use std::io::Write;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use tonic_types::StatusExt;
use tracestore::{Store, StoreOptions};

struct Receiver {
    _dir: tempfile::TempDir,
    store: Store,
    url: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Receiver {
    async fn start(change: impl FnOnce(&mut StoreOptions)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = StoreOptions::new(dir.path());
        change(&mut options);
        let store = Store::open(options).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(tracestore::receiver::serve(listener, store.clone(), async {
            stopped.await.ok();
        }));
        Self { _dir: dir, store, url, stop, task }
    }

    async fn traces(&self) -> TraceServiceClient<Channel> {
        TraceServiceClient::connect(self.url.clone()).await.unwrap()
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Response<Bytes> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let (parts, body) =
            client.request(request.body(Full::new(body)).unwrap()).await.unwrap().into_parts();
        Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: Bytes) -> Response<Bytes> {
        self.send(Method::POST, path, headers, body).await
    }
}

fn decoded(bytes: Bytes) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest::decode(bytes).unwrap()
}

fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap().into()
}

/// Method, path, headers, body, and the status and code it is answered with.
type Case = (Method, &'static str, Vec<(&'static str, &'static str)>, Bytes, u16, Code);

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn spans_and_logs_sent_over_grpc_plain_gzip_or_zstd_are_found() {
    let receiver = Receiver::start(|_| {}).await;
    let encodings = [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)];
    for (n, encoding) in (1_u128..).zip(encodings) {
        let mut client = receiver.traces().await;
        if let Some(encoding) = encoding {
            client = client.send_compressed(encoding);
        }
        let sent = one("auth", span(n, 1, "Verify", 5));
        let reply = client.export(decoded(sent.clone())).await.unwrap().into_inner();
        assert_eq!(reply.partial_success, None);
        assert_eq!(
            receiver.store.trace(trace_id(n)).unwrap().unwrap().resource_spans,
            decoded(sent).resource_spans
        );
    }
    let mut client = LogsServiceClient::connect(receiver.url.clone()).await.unwrap();
    let sent = ExportLogsServiceRequest::decode(log(&9_u128.to_be_bytes(), "placed")).unwrap();
    client.export(sent.clone()).await.unwrap();
    assert_eq!(receiver.store.logs(trace_id(9), 10).unwrap(), sent.resource_logs);
}

#[tokio::test]
async fn spans_sent_over_http_in_each_encoding_are_found_and_answered_in_kind() {
    let receiver = Receiver::start(|_| {}).await;
    let sent = |n: u128| one("auth", span(n, 1, "Verify", 5));
    let json = serde_json::to_vec(&decoded(sent(4))).unwrap();
    let cases = [
        (PROTOBUF, "identity", sent(1)),
        (PROTOBUF, "gzip", gzip(&sent(2))),
        (PROTOBUF, "zstd", zstd::encode_all(&sent(3)[..], 1).unwrap().into()),
        (JSON, "gzip", gzip(&json)),
    ];
    for (n, (kind, encoding, body)) in (1_u128..).zip(cases) {
        let reply = receiver.post("/v1/traces", &[kind, ("content-encoding", encoding)], body).await;
        assert_eq!(
            (reply.status(), reply.headers()["content-type"].to_str().unwrap()),
            (StatusCode::OK, kind.1)
        );
        assert_eq!(&reply.body()[..], if kind == JSON { &b"{}"[..] } else { b"" });
        let found = receiver.store.trace(trace_id(n)).unwrap().unwrap();
        assert_eq!(found.resource_spans, decoded(sent(n)).resource_spans);
    }
    let empty = receiver.post("/v1/traces", &[PROTOBUF], Bytes::new()).await;
    assert_eq!(empty.status(), StatusCode::OK);
}

#[tokio::test]
async fn each_bad_http_request_has_its_status_and_a_google_rpc_status_and_harms_no_other() {
    let receiver = Receiver::start(|options| options.request_bytes = 100_000).await;
    let good = one("auth", span(1, 1, "Verify", 5));
    let bomb = gzip(&vec![0; 200_000]);
    let zstd_bomb: Bytes = zstd::encode_all(&vec![0; 30 << 20][..], 1).unwrap().into();
    let no_id = one("auth", span(0, 1, "Verify", 5));
    let gzipped = ("content-encoding", "gzip");
    let cases: Vec<Case> = vec![
        (
            Method::POST,
            "/v1/traces",
            vec![PROTOBUF],
            good.slice(..good.len() - 3),
            400,
            Code::InvalidArgument,
        ),
        (Method::POST, "/v1/traces", vec![PROTOBUF], no_id, 400, Code::InvalidArgument),
        (Method::POST, "/v1/traces", vec![PROTOBUF, gzipped], good.clone(), 400, Code::InvalidArgument),
        (
            Method::POST,
            "/v1/traces",
            vec![JSON],
            Bytes::from_static(b"{\"resourceSpans\":7}"),
            400,
            Code::InvalidArgument,
        ),
        (Method::POST, "/v1/traces", vec![PROTOBUF], vec![0; 100_001].into(), 413, Code::ResourceExhausted),
        (Method::POST, "/v1/traces", vec![PROTOBUF, gzipped], bomb, 413, Code::ResourceExhausted),
        (
            Method::POST,
            "/v1/traces",
            vec![PROTOBUF, ("content-encoding", "zstd")],
            zstd_bomb,
            413,
            Code::ResourceExhausted,
        ),
        (
            Method::POST,
            "/v1/traces",
            vec![("content-type", "text/plain")],
            good.clone(),
            415,
            Code::InvalidArgument,
        ),
        (
            Method::POST,
            "/v1/traces",
            vec![PROTOBUF, ("content-encoding", "br")],
            good.clone(),
            415,
            Code::InvalidArgument,
        ),
        (Method::GET, "/v1/traces", vec![PROTOBUF], Bytes::new(), 405, Code::Unimplemented),
        (Method::POST, "/v1/metrics", vec![PROTOBUF], Bytes::new(), 404, Code::NotFound),
    ];
    for (method, path, headers, body, status, code) in cases {
        let reply = receiver.send(method, path, &headers, body).await;
        let sent_kind = headers[0].1;
        assert_eq!(reply.status().as_u16(), status, "{path} {headers:?}");
        assert!(reply.headers().get("retry-after").is_none(), "{status} is not to be tried again");
        let said = if sent_kind == PROTOBUF.1 {
            tonic_types::pb::Status::decode(reply.body().clone()).unwrap().code
        } else {
            serde_json::from_slice::<serde_json::Value>(reply.body()).unwrap()["code"].as_i64().unwrap()
                as i32
        };
        assert_eq!(said, code as i32, "{path} {headers:?}");
    }
    assert_eq!(receiver.post("/v1/traces", &[PROTOBUF], good).await.status(), StatusCode::OK);
    assert!(receiver.store.trace(trace_id(1)).unwrap().is_some());
}

#[tokio::test]
async fn each_bad_grpc_request_has_its_code() {
    let receiver = Receiver::start(|options| options.request_bytes = 100_000).await;
    let mut client = receiver.traces().await;
    let bad_id = client.export(decoded(one("auth", span(0, 1, "Verify", 5)))).await.unwrap_err();
    assert_eq!(bad_id.code(), Code::InvalidArgument);
    let many =
        request(vec![group("auth", (1..3_000).map(|n| span(1, n, "a long enough name", 5)).collect())]);
    let large = client.export(decoded(many.clone())).await.unwrap_err();
    assert_eq!(large.code(), Code::ResourceExhausted);
    assert!(large.get_details_retry_info().is_none(), "it must not be sent again");
    let mut zipped = receiver.traces().await.send_compressed(CompressionEncoding::Gzip);
    let bomb = zipped.export(decoded(many)).await.unwrap_err();
    assert_eq!(bomb.code(), Code::ResourceExhausted);
    assert!(bomb.get_details_retry_info().is_none(), "it must not be sent again");
    let mut metrics = MetricsServiceClient::connect(receiver.url.clone()).await.unwrap();
    let refused = metrics.export(ExportMetricsServiceRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    client.export(decoded(one("auth", span(1, 1, "Verify", 5)))).await.unwrap();
}

#[tokio::test]
async fn spans_with_bad_ids_are_left_out_and_counted_and_their_neighbours_kept() {
    let receiver = Receiver::start(|_| {}).await;
    let mut short = span(1, 2, "short id", 5);
    short.span_id.truncate(7);
    let sent = request(vec![group("auth", vec![span(1, 1, "good", 5), short, span(0, 3, "no trace", 5)])]);
    let reply = receiver.post("/v1/traces", &[PROTOBUF], sent.clone()).await;
    let partial = ExportTraceServiceResponse::decode(reply.body().clone()).unwrap().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 2);
    assert!(partial.error_message.contains("id"), "{}", partial.error_message);
    let partial =
        receiver.traces().await.export(decoded(sent)).await.unwrap().into_inner().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 2);
    assert_eq!(receiver.store.stats().spans, 2, "the good one, twice");
}

#[tokio::test]
async fn a_closed_store_asks_clients_to_try_again() {
    let receiver = Receiver::start(|_| {}).await;
    receiver.store.clone().close();
    let sent = one("auth", span(1, 1, "Verify", 5));
    let reply = receiver.post("/v1/traces", &[PROTOBUF], sent.clone()).await;
    assert_eq!(reply.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(reply.headers().contains_key("retry-after"));
    let refused = receiver.traces().await.export(decoded(sent)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()));
}

#[tokio::test]
async fn the_receiver_ends_when_told_to_also_with_idle_connections_open() {
    let receiver = Receiver::start(|_| {}).await;
    let mut client = receiver.traces().await;
    client.export(decoded(one("auth", span(1, 1, "Verify", 5)))).await.unwrap();
    receiver.stop.send(()).unwrap();
    receiver.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn bodies_that_are_too_much_together_are_refused_with_a_time_to_retry_and_the_room_comes_back() {
    let receiver = Receiver::start(|_| {}).await;
    let open = || {
        let (sender, chunks) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
        let body = StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(chunks));
        let request =
            Request::post(format!("{}/v1/traces", receiver.url)).header(PROTOBUF.0, PROTOBUF.1).body(body);
        let client = Client::builder(TokioExecutor::new()).build_http();
        (sender, tokio::spawn(client.request(request.unwrap())))
    };
    let megabyte = || Ok(Frame::data(Bytes::from(vec![0; 1 << 20])));
    let (first, first_reply) = open();
    for _ in 0..60 {
        first.send(megabyte()).await.unwrap();
    }
    // All but what the sockets hold has been received now, of the 64 MiB that may be.
    let (second, second_reply) = open();
    for _ in 0..30 {
        // It may be refused before it has said everything.
        let _ = second.send(megabyte()).await;
    }
    let reply = second_reply.await.unwrap().unwrap();
    assert_eq!(reply.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(reply.headers().contains_key("retry-after"));
    drop(first);
    let reply = first_reply;
    // Sixty million zeros are no request, but they are heard.
    assert_eq!(reply.await.unwrap().unwrap().status(), StatusCode::BAD_REQUEST);
    let good = receiver.post("/v1/traces", &[PROTOBUF], one("auth", span(1, 1, "Verify", 5))).await;
    assert_eq!(good.status(), StatusCode::OK);
}

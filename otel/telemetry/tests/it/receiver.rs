//! An OTLP receiver that a test can ask what it got, and that misbehaves on order. gRPC and HTTP on one port.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status};

/// What a receiver does with the next requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mood {
    #[default]
    Takes,
    /// UNAVAILABLE / 503.
    Refuses,
    /// INVALID_ARGUMENT / 400.
    Rejects,
    /// Never answers.
    Hangs,
    /// Takes all but one span.
    Partial,
}

#[derive(Debug, Default)]
pub(crate) struct Got {
    pub(crate) traces: Vec<ExportTraceServiceRequest>,
    pub(crate) metrics: Vec<ExportMetricsServiceRequest>,
    pub(crate) logs: Vec<ExportLogsServiceRequest>,
    /// Headers of every request, with its path.
    pub(crate) headers: Vec<(String, HeaderMap)>,
    pub(crate) mood: Mood,
}

#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    pub(crate) got: Arc<Mutex<Got>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let (receiver, listener) = Self::bind().await;
        let app = receiver.app();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        receiver
    }

    async fn bind() -> (Self, tokio::net::TcpListener) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        (Self { address: listener.local_addr().unwrap(), got: Arc::default() }, listener)
    }

    /// The same over TLS, only for clients that the test authority knows.
    #[cfg(feature = "tls")]
    pub(crate) async fn start_tls(pem: &std::path::Path) -> Self {
        use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
        let (receiver, listener) = Self::bind().await;
        let read = |name: &str| std::fs::read(pem.join(name)).unwrap();
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(read("server.pem"), read("server.key")))
            .client_ca_root(Certificate::from_pem(read("ca.pem")));
        let server =
            Server::builder().accept_http1(true).tls_config(tls).unwrap().add_routes(receiver.app().into());
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        tokio::spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
        receiver
    }

    fn app(&self) -> Router {
        let receiver = self;
        let zip = [CompressionEncoding::Gzip, CompressionEncoding::Zstd];
        let mut routes = tonic::service::Routes::builder();
        routes
            .add_service(
                TraceServiceServer::new(receiver.clone()).accept_compressed(zip[0]).accept_compressed(zip[1]),
            )
            .add_service(
                MetricsServiceServer::new(receiver.clone())
                    .accept_compressed(zip[0])
                    .accept_compressed(zip[1]),
            )
            .add_service(
                LogsServiceServer::new(receiver.clone()).accept_compressed(zip[0]).accept_compressed(zip[1]),
            );
        let http = Router::new()
            .route("/v1/{signal}", post(http_export))
            .route("/base/v1/{signal}", post(http_export))
            .route("/own", post(http_export))
            .layer(tower_http::decompression::RequestDecompressionLayer::new())
            .with_state(receiver.clone());
        routes.routes().into_axum_router().merge(http)
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.got.lock().unwrap().mood = mood;
    }

    fn note(&self, path: &str, headers: &HeaderMap) {
        self.got.lock().unwrap().headers.push((path.to_owned(), headers.clone()));
    }

    /// The verdict of the mood: `Err` with gRPC's code.
    async fn mood(&self) -> Result<Mood, Status> {
        let mood = self.got.lock().unwrap().mood;
        match mood {
            Mood::Refuses => Err(Status::unavailable("not now")),
            Mood::Rejects => Err(Status::invalid_argument("never")),
            Mood::Hangs => {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                Err(Status::unavailable("late"))
            }
            Mood::Takes | Mood::Partial => Ok(mood),
        }
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        let got = self.got.lock().unwrap();
        let scopes = got.traces.iter().flat_map(|r| &r.resource_spans).flat_map(|r| &r.scope_spans);
        scopes.flat_map(|s| s.spans.clone()).collect()
    }

    pub(crate) fn span(&self, name: &str) -> Span {
        let all = self.spans();
        let names: Vec<_> = all.iter().map(|s| s.name.clone()).collect();
        all.into_iter().find(|s| s.name == name).unwrap_or_else(|| panic!("no span {name} among {names:?}"))
    }

    pub(crate) fn logs(&self) -> Vec<LogRecord> {
        let got = self.got.lock().unwrap();
        let scopes = got.logs.iter().flat_map(|r| &r.resource_logs).flat_map(|r| &r.scope_logs);
        scopes.flat_map(|s| s.log_records.clone()).collect()
    }

    pub(crate) fn resource(&self) -> Vec<KeyValue> {
        let got = self.got.lock().unwrap();
        got.traces[0].resource_spans[0].resource.clone().unwrap().attributes
    }

    pub(crate) fn header(&self, path: &str, name: &str) -> Option<String> {
        let got = self.got.lock().unwrap();
        let (_, headers) = got.headers.iter().find(|(p, _)| p.contains(path))?;
        headers.get(name)?.to_str().ok().map(ToOwned::to_owned)
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths: Vec<_> =
            self.got.lock().unwrap().headers.iter().map(|(path, _)| path.clone()).collect();
        paths.sort();
        paths.dedup();
        paths
    }
}

/// An attribute as text, ints as `int:7`.
pub(crate) fn attribute(all: &[KeyValue], key: &str) -> Option<String> {
    let mut found = all.iter().filter(|kv| kv.key == key);
    let first = found.next()?;
    assert!(found.next().is_none(), "{key} is there twice");
    Some(match &first.value {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => text.clone(),
        Some(AnyValue { value: Some(Value::IntValue(number)) }) => format!("int:{number}"),
        other => format!("{other:?}"),
    })
}

async fn http_export(
    State(receiver): State<Receiver>,
    uri: axum::http::Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, Vec<u8>) {
    receiver.note(uri.path(), &headers);
    match receiver.mood().await {
        Ok(_) => {}
        Err(status) if status.code() == tonic::Code::Unavailable => {
            return (StatusCode::SERVICE_UNAVAILABLE, vec![]);
        }
        Err(_) => return (StatusCode::BAD_REQUEST, vec![]),
    }
    let mut got = receiver.got.lock().unwrap();
    if uri.path().ends_with("/metrics") {
        got.metrics.push(ExportMetricsServiceRequest::decode(body).unwrap());
    } else if uri.path().ends_with("/logs") {
        got.logs.push(ExportLogsServiceRequest::decode(body).unwrap());
    } else {
        got.traces.push(ExportTraceServiceRequest::decode(body).unwrap());
    }
    (StatusCode::OK, vec![])
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.note("grpc/traces", &request.metadata().clone().into_headers());
        let mood = self.mood().await?;
        self.got.lock().unwrap().traces.push(request.into_inner());
        let partial_success = (mood == Mood::Partial)
            .then(|| ExportTracePartialSuccess { rejected_spans: 1, error_message: "one too many".into() });
        Ok(Response::new(ExportTraceServiceResponse { partial_success }))
    }
}

#[tonic::async_trait]
impl MetricsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.note("grpc/metrics", &request.metadata().clone().into_headers());
        self.mood().await?;
        self.got.lock().unwrap().metrics.push(request.into_inner());
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.note("grpc/logs", &request.metadata().clone().into_headers());
        self.mood().await?;
        self.got.lock().unwrap().logs.push(request.into_inner());
        Ok(Response::new(Default::default()))
    }
}

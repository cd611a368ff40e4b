//! The two ends: an ear that the services send to, which repeats what it heard, and a backend behind a collector.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, Uri, header::CONTENT_TYPE},
};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
    logs_service_server::{LogsService, LogsServiceServer},
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use prost::Message;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

use crate::harness::http;

const PROTOBUF: &str = "application/x-protobuf";

/// A path and the body that came to it, as it came.
type Heard = Arc<Mutex<Vec<(String, Bytes)>>>;

/// Takes OTLP over HTTP.
pub(super) struct Ear {
    pub(super) url: String,
    heard: Heard,
}

/// Takes traces and logs over gRPC.
#[derive(Clone)]
pub(super) struct Backend {
    pub(super) address: SocketAddr,
    traces: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    logs: Arc<Mutex<Vec<ExportLogsServiceRequest>>>,
}

// === impl Ear ===

impl Ear {
    pub(super) async fn start() -> Self {
        let heard = Heard::default();
        let router =
            Router::new().fallback(hear).layer(DefaultBodyLimit::disable()).with_state(heard.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, heard }
    }

    pub(super) fn traces(&self) -> Vec<ExportTraceServiceRequest> {
        self.of("/v1/traces")
    }

    pub(super) fn logs(&self) -> Vec<ExportLogsServiceRequest> {
        self.of("/v1/logs")
    }

    fn of<M: Message + Default>(&self, path: &str) -> Vec<M> {
        let heard = self.heard.lock().unwrap();
        let bodies = heard.iter().filter(|(to, _)| to == path);
        bodies.map(|(_, body)| M::decode(body.clone()).unwrap()).collect()
    }

    /// Sends every body on as it came.
    pub(super) async fn replay(&self, url: &str) {
        let heard = self.heard.lock().unwrap().clone();
        for (path, body) in heard {
            let request = http().post(format!("{url}{path}")).header(CONTENT_TYPE, PROTOBUF).body(body);
            let answer = request.send().await.unwrap();
            assert!(answer.status().is_success(), "{path}: {}", answer.status());
        }
    }
}

async fn hear(
    State(heard): State<Heard>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> [(&'static str, &'static str); 1] {
    assert_eq!(headers[CONTENT_TYPE], PROTOBUF);
    assert!(!headers.contains_key("content-encoding"), "{headers:?}");
    heard.lock().unwrap().push((uri.path().to_owned(), body));
    [("content-type", PROTOBUF)]
}

// === impl Backend ===

impl Backend {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let backend = Self { address, traces: Arc::default(), logs: Arc::default() };
        let traces = TraceServiceServer::new(backend.clone()).max_decoding_message_size(usize::MAX);
        let logs = LogsServiceServer::new(backend.clone()).max_decoding_message_size(usize::MAX);
        let server = tonic::transport::Server::builder().add_service(traces).add_service(logs);
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        backend
    }

    pub(super) fn traces(&self) -> Vec<ExportTraceServiceRequest> {
        self.traces.lock().unwrap().clone()
    }

    pub(super) fn logs(&self) -> Vec<ExportLogsServiceRequest> {
        self.logs.lock().unwrap().clone()
    }
}

#[tonic::async_trait]
impl TraceService for Backend {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.traces.lock().unwrap().push(request.into_inner());
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Backend {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.logs.lock().unwrap().push(request.into_inner());
        Ok(Response::new(Default::default()))
    }
}

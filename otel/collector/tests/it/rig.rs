//! What the tests are made of: telemetry, a collector on free ports, a backend that behaves as told.

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use collector::{Collector, Config};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics, metric::Data};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// Waits until `probe` gives something, for at most 20 s.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut probe: impl FnMut() -> F,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn attribute(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.into())) };
    KeyValue { key: key.into(), value: Some(value), ..Default::default() }
}

/// A span that can be told from others by `number`.
pub(crate) fn span(number: u64) -> Span {
    Span {
        trace_id: (u128::from(number) + 1).to_be_bytes().to_vec(),
        span_id: (number + 1).to_be_bytes().to_vec(),
        name: format!("span {number}"),
        kind: 2,
        start_time_unix_nano: 1_700_000_000_000_000_000 + number,
        end_time_unix_nano: 1_700_000_000_000_000_900 + number,
        attributes: vec![attribute("order.id", &format!("order-{number}"))],
        ..Default::default()
    }
}

/// A request with the spans of these numbers.
pub(crate) fn spans(numbers: impl IntoIterator<Item = u64>) -> ExportTraceServiceRequest {
    let resource = Resource { attributes: vec![attribute("service.name", "shop")], ..Default::default() };
    let scope = InstrumentationScope { name: "tests".into(), ..Default::default() };
    let spans = numbers.into_iter().map(span).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, schema_url: String::new() }];
    let resource_spans = ResourceSpans { resource: Some(resource), scope_spans, schema_url: String::new() };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }
}

/// A request with one log record.
pub(crate) fn log(body: &str) -> ExportLogsServiceRequest {
    let body = Some(AnyValue { value: Some(any_value::Value::StringValue(body.into())) });
    let record = LogRecord { body, time_unix_nano: 1_700_000_000_000_000_000, ..Default::default() };
    let scope_logs = vec![ScopeLogs { log_records: vec![record], ..Default::default() }];
    ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { scope_logs, ..Default::default() }] }
}

/// A request with one metric of the service `shop`.
pub(crate) fn metric(name: &str, unit: &str, data: Data) -> ExportMetricsServiceRequest {
    let attributes = vec![
        attribute("service.name", "shop"),
        attribute("service.namespace", "waybill"),
        attribute("service.instance.id", "one"),
        attribute("host.name", "here"),
    ];
    let resource = Resource { attributes, ..Default::default() };
    let metric = Metric { name: name.into(), unit: unit.into(), data: Some(data), ..Default::default() };
    let scope = InstrumentationScope { name: "tests".into(), version: "1".into(), ..Default::default() };
    let scope_metrics =
        vec![ScopeMetrics { scope: Some(scope), metrics: vec![metric], schema_url: String::new() }];
    let resource_metrics =
        ResourceMetrics { resource: Some(resource), scope_metrics, schema_url: String::new() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource_metrics] }
}

/// A collector started from a configuration.
pub(crate) struct Rig {
    collector: Collector,
}

impl Rig {
    pub(crate) async fn start(config: &str) -> Self {
        let config = Config::parse(config, &|_| None).unwrap_or_else(|error| panic!("{error}"));
        Self { collector: Collector::start(config).await.unwrap() }
    }

    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        self.collector.addresses()[name]
    }

    pub(crate) fn url(&self, name: &str, path: &str) -> String {
        format!("http://{}{path}", self.address(name))
    }

    pub(crate) async fn traces(&self) -> TraceServiceClient<Channel> {
        let client = TraceServiceClient::connect(self.url("otlp/grpc", "")).await.unwrap();
        client.max_encoding_message_size(usize::MAX)
    }

    /// One of the collector's own metrics: the sum over the series whose line contains `labels`.
    pub(crate) async fn own(&self, name: &str, labels: &str) -> Option<f64> {
        let text = get(&self.url("telemetry", "/metrics")).await;
        let lines =
            text.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(labels));
        lines.map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum::<Option<f64>>()
    }

    pub(crate) async fn stop(self) {
        self.collector.stop(Duration::from_secs(5)).await;
    }

    pub(crate) async fn stop_within(self, drain: Duration) {
        self.collector.stop(drain).await;
    }
}

pub(crate) async fn get(url: &str) -> String {
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

/// A configuration: both protocols on free ports, traces and logs to one OTLP exporter whose further settings are given.
pub(crate) fn to_backend(backend: SocketAddr, exporter: &str, rest: &str) -> String {
    format!(
        r#"
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:0"}}, http: {{endpoint: "127.0.0.1:0"}}}}}}}}
exporters:
  otlp:
    endpoint: {backend}
    tls: {{insecure: true}}
{exporter}
{rest}
service:
  extensions: [{extensions}]
  telemetry: {{metrics: {{address: "127.0.0.1:0"}}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [otlp]}}
    logs: {{receivers: [otlp], exporters: [otlp]}}
"#,
        extensions = if rest.contains("file_storage") { "file_storage" } else { "" }
    )
}

/// What a backend does with a request before it takes it.
#[derive(Clone)]
pub(crate) enum Act {
    Refuse(Status),
    Hang,
}

#[derive(Default)]
struct Seen {
    traces: Vec<ExportTraceServiceRequest>,
    logs: Vec<ExportLogsServiceRequest>,
    script: VecDeque<Act>,
    always: Option<Act>,
    /// Requests that hold a span of this name are refused as bad data.
    poison: Option<String>,
    headers: Vec<tonic::metadata::MetadataMap>,
}

/// An OTLP/gRPC backend that no one of the collector's own code is in.
#[derive(Clone)]
pub(crate) struct Backend {
    seen: Arc<Mutex<Seen>>,
    pub(crate) address: SocketAddr,
}

impl Backend {
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap()).await
    }

    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let backend = Self { seen: Arc::default(), address: listener.local_addr().unwrap() };
        let traces = TraceServiceServer::new(backend.clone())
            .accept_compressed(tonic::codec::CompressionEncoding::Gzip)
            .accept_compressed(tonic::codec::CompressionEncoding::Zstd)
            .max_decoding_message_size(usize::MAX);
        let logs = LogsServiceServer::new(backend.clone())
            .accept_compressed(tonic::codec::CompressionEncoding::Gzip);
        let server = tonic::transport::Server::builder().add_service(traces).add_service(logs);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        backend
    }

    pub(crate) fn then(&self, act: Act) {
        self.seen.lock().unwrap().script.push_back(act);
    }

    pub(crate) fn always(&self, act: Option<Act>) {
        self.seen.lock().unwrap().always = act;
    }

    pub(crate) fn poison(&self, name: &str) {
        self.seen.lock().unwrap().poison = Some(name.into());
    }

    /// The spans taken, by their numbers, sorted.
    pub(crate) fn span_numbers(&self) -> Vec<u64> {
        let seen = self.seen.lock().unwrap();
        let names = seen.traces.iter().flat_map(names);
        let mut numbers: Vec<u64> =
            names.filter_map(|name| name.strip_prefix("span ")?.parse().ok()).collect();
        numbers.sort_unstable();
        numbers
    }

    pub(crate) fn trace_requests(&self) -> Vec<ExportTraceServiceRequest> {
        self.seen.lock().unwrap().traces.clone()
    }

    pub(crate) fn logs(&self) -> Vec<ExportLogsServiceRequest> {
        self.seen.lock().unwrap().logs.clone()
    }

    pub(crate) fn headers(&self) -> Vec<tonic::metadata::MetadataMap> {
        self.seen.lock().unwrap().headers.clone()
    }

    async fn act(&self) -> Result<(), Status> {
        let act = {
            let mut seen = self.seen.lock().unwrap();
            seen.script.pop_front().or_else(|| seen.always.clone())
        };
        match act {
            None => Ok(()),
            Some(Act::Refuse(status)) => Err(status),
            Some(Act::Hang) => std::future::pending().await,
        }
    }
}

pub(crate) fn names(request: &ExportTraceServiceRequest) -> Vec<String> {
    let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    scopes.flat_map(|scope| &scope.spans).map(|span| span.name.clone()).collect()
}

#[tonic::async_trait]
impl TraceService for Backend {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.act().await?;
        let (metadata, _, request) = request.into_parts();
        let mut seen = self.seen.lock().unwrap();
        if seen.poison.as_ref().is_some_and(|poison| names(&request).contains(poison)) {
            return Err(Status::invalid_argument("poison"));
        }
        seen.headers.push(metadata);
        seen.traces.push(request);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Backend {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.act().await?;
        self.seen.lock().unwrap().logs.push(request.into_inner());
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

//! One system run: what forwarding a million spans costs the collector, as a process of its own, in CPU seconds and
//! memory. `cargo bench -p waybill-collector --bench forwarding`; with `OTELCOL=/path/to/otelcol` the official collector
//! does the same work for comparison.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a bench")]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

#[path = "load.rs"]
mod load;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CHILD: &str = "WAYBILL_BENCH_COLLECTOR_CONFIG";
const IN_FLIGHT: u64 = 16;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if let Some(config) = std::env::var_os(CHILD) {
        let config = collector::Config::load(Path::new(&config), &|_| None).unwrap();
        runtime.block_on(collector::run(config, std::future::pending())).unwrap();
    }
    let requests: u64 = std::env::var("REQUESTS").ok().map_or(2000, |text| text.parse().unwrap());
    runtime.block_on(async {
        for (name, queue) in [
            ("queue in memory", String::new()),
            (
                "queue in memory, batched",
                "batch: {flush_timeout: 100ms, min_size: 4096, max_size: 16384},".to_owned(),
            ),
            ("queue on disk", "storage: file_storage,".to_owned()),
            (
                "queue on disk, batched",
                "storage: file_storage, batch: {flush_timeout: 100ms, min_size: 4096, max_size: 16384},"
                    .to_owned(),
            ),
        ] {
            measure(name, &queue, requests).await;
        }
    });
}

async fn measure(name: &str, queue: &str, requests: u64) {
    let taken = Arc::new(AtomicU64::new(0));
    let backend = sink(taken.clone()).await;
    let folder = tempfile::tempdir().unwrap();
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = folder.path().join("config.yaml");
    fs::write(&config, configuration(address, backend, queue, folder.path())).unwrap();
    let mut child = start(&config);
    let client = connect(address).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (before, idle) = (cpu_seconds(&child), memory_mib(&child, "VmRSS:"));
    let started = Instant::now();
    send(client, requests).await;
    let spans = requests * load::SPANS;
    while taken.load(Ordering::Relaxed) < spans {
        assert!(started.elapsed() < Duration::from_secs(120), "not all spans arrived");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let elapsed = started.elapsed().as_secs_f64();
    let cost = (cpu_seconds(&child) - before) * 1e6 / spans as f64;
    println!(
        "{name}: {cost:.2} CPU-s per million spans, {:.0} spans/s, RSS idle {idle} MiB, peak {} MiB",
        spans as f64 / elapsed,
        memory_mib(&child, "VmHWM:")
    );
    child.kill().unwrap();
    child.wait().unwrap();
}

fn configuration(address: SocketAddr, backend: SocketAddr, queue: &str, folder: &Path) -> String {
    format!(
        r#"
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "{address}"}}}}}}}}
processors: {{memory_limiter: {{check_interval: 250ms, limit_mib: 2000}}}}
exporters:
  otlp_grpc:
    endpoint: {backend}
    tls: {{insecure: true}}
    compression: none
    sending_queue: {{{queue} queue_size: 100000}}
extensions: {{file_storage: {{directory: "{}"}}}}
service:
  extensions: [file_storage]
  telemetry: {{metrics: {{level: none}}, logs: {{level: warn}}}}
  pipelines: {{traces: {{receivers: [otlp], processors: [memory_limiter], exporters: [otlp_grpc]}}}}
"#,
        folder.display()
    )
}

fn start(config: &Path) -> Child {
    let command = match std::env::var_os("OTELCOL") {
        Some(official) => Command::new(official)
            .arg("--config")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn(),
        None => Command::new(std::env::current_exe().unwrap()).env(CHILD, config).spawn(),
    };
    command.unwrap()
}

async fn connect(address: SocketAddr) -> TraceServiceClient<tonic::transport::Channel> {
    loop {
        match TraceServiceClient::connect(format!("http://{address}")).await {
            Ok(client) => return client,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn send(client: TraceServiceClient<tonic::transport::Channel>, requests: u64) {
    let request = Arc::new(load::request());
    let senders = (0..IN_FLIGHT).map(|at| {
        let (mut client, request) = (client.clone(), request.clone());
        tokio::spawn(async move {
            for _ in (at..requests).step_by(usize::try_from(IN_FLIGHT).unwrap()) {
                while client.export((*request).clone()).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        })
    });
    futures::future::join_all(senders).await;
}

async fn sink(taken: Arc<AtomicU64>) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = TraceServiceServer::new(Sink(taken)).max_decoding_message_size(usize::MAX);
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

struct Sink(Arc<AtomicU64>);

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes = request.get_ref().resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        self.0.fetch_add(scopes.map(|scope| scope.spans.len() as u64).sum(), Ordering::Relaxed);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn cpu_seconds(child: &Child) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn memory_mib(child: &Child, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.split_ascii_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}

//! `cargo run --release -p waybill-tracestore --example ingest -- [SPANS] [CLIENTS]`: a trace store in a process of its
//! own takes made-up orders over OTLP/gRPC; then how much CPU, memory and disk that took, and how fast it answers.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measuring program")]

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tracestore::model::{Query, TraceId};
use tracestore::{Store, StoreOptions};

#[path = "../benches/store/orders.rs"]
mod orders;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, dir] = arguments.as_slice()
        && role == "serve"
    {
        return serve(Path::new(dir)).await;
    }
    let number = |at: usize, default: u64| arguments.get(at).and_then(|n| n.parse().ok()).unwrap_or(default);
    let (spans, clients) = (number(0, 1_000_000), number(1, 4));
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path());
    let url = BufReader::new(server.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    let requests = spans.div_ceil(orders::ORDERS * orders::SPANS);
    let began = Instant::now();
    let mut latencies = send(&url, requests, clients).await;
    let took = began.elapsed().as_secs_f64();
    let spans = (requests * orders::ORDERS * orders::SPANS) as f64;
    latencies.sort_unstable();
    let at = |p: usize| latencies[(latencies.len() - 1) * p / 100];
    println!(
        "{spans:.0} spans in {took:.1} s: {:.0} spans/s, {:.2} CPU-s per million",
        spans / took,
        cpu(server.id()) * 1e6 / spans
    );
    println!("acknowledged after p50 {:?}, p99 {:?}", at(50), at(99));
    tokio::time::sleep(Duration::from_secs(8)).await;
    println!(
        "with sealing and merging at rest {:.2} CPU-s per million, peak RSS {} MiB, RSS {} MiB",
        cpu(server.id()) * 1e6 / spans,
        memory(&server, "VmHWM"),
        memory(&server, "VmRSS")
    );
    server.kill().unwrap();
    server.wait().unwrap();
    ask(dir.path(), requests * orders::ORDERS, spans);
}

async fn serve(dir: &Path) {
    let store = Store::open(StoreOptions::new(dir)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    tracestore::receiver::serve(listener, store, std::future::pending()).await.unwrap();
}

fn start(dir: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("serve").arg(dir).stdout(Stdio::piped()).spawn().unwrap()
}

/// Sends all requests; how long each took to be acknowledged.
async fn send(url: &str, requests: u64, clients: u64) -> Vec<Duration> {
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for _ in 0..clients {
        let (next, url) = (Arc::clone(&next), url.to_owned());
        tasks.push(tokio::spawn(async move {
            let mut client = TraceServiceClient::connect(url).await.unwrap();
            let mut latencies = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= requests {
                    return latencies;
                }
                let request = orders::request(n);
                let began = Instant::now();
                while let Err(status) = client.export(request.clone()).await {
                    assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                latencies.push(began.elapsed());
            }
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all
}

fn ask(dir: &Path, all: u64, spans: f64) {
    let began = Instant::now();
    let store = Store::open(StoreOptions::new(dir)).unwrap();
    println!("opened in {:?}: {:?}", began.elapsed(), store.stats());
    println!("{:.1} bytes of segments per span", store.stats().segment_bytes as f64 / spans);
    let mut next = 0;
    let mut any = || {
        next += 1;
        orders::mix(next) % all
    };
    time("trace by id", || {
        store.trace(TraceId(orders::trace_id(any()))).unwrap().unwrap().resource_spans.len()
    });
    time("absent trace", || usize::from(store.trace(TraceId([7; 16])).unwrap().is_some()));
    let query = |service: &str, tags: &[(&str, &str)]| Query {
        service: Some(service.into()),
        tags: tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        start_max_ns: u64::MAX,
        limit: 20,
        ..Query::default()
    };
    let mut next = 0;
    time("search order.id", || {
        next += 1;
        store.find(&query("auth", &[("order.id", &orders::order_id(orders::mix(next) % all))])).unwrap().len()
    });
    time("search absent tag", || store.find(&query("auth", &[("order.id", "none")])).unwrap().len());
    time("errors of a service, newest 20", || {
        store.find(&query("delivery-assignment", &[("error", "true")])).unwrap().len()
    });
    time("a service, newest 20", || store.find(&query("tracking", &[])).unwrap().len());
    let oldest = orders::EPOCH + all * 1_000_000 / 10;
    time("errors in the oldest tenth", || {
        let window = Query { start_max_ns: oldest, ..query("delivery-assignment", &[("error", "true")]) };
        store.find(&window).unwrap().len()
    });
    time("dependencies", || store.dependencies(0, u64::MAX).unwrap().len());
}

fn time(what: &str, mut ask: impl FnMut() -> usize) {
    let mut took = Vec::new();
    let mut found = 0;
    let before = cpu(std::process::id());
    for _ in 0..200 {
        let began = Instant::now();
        found = ask();
        took.push(began.elapsed());
    }
    took.sort_unstable();
    let cpu = (cpu(std::process::id()) - before) * 1e3 / 200.0;
    println!("{what}: p50 {:?}, p99 {:?}, CPU {cpu:.2} ms (found {found})", took[100], took[198]);
}

/// CPU time of a process, user and system, in seconds.
fn cpu(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    // utime and stime, in hundredths of a second (proc(5)).
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn memory(process: &Child, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

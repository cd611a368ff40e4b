//! How long `waybill where` takes, as its users see it: a process that is started, asks, and ends, on a trace store of its
//! own that holds so many spans. The orders are copies of two recorded ones, a delivered and a lost one in a hundred, each
//! with its own ids.
//!
//! `cargo bench --bench where` measures at 100,000 and 1,000,000 spans; `WAYBILL_WHERE_SPANS=100000,1000000,10000000` at
//! these (the last takes some 5 GiB of disk and some minutes to fill).
#![allow(clippy::unwrap_used, reason = "a measuring program")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    collections::BTreeMap,
    env, fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use journey::{Kind, Trace};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    common::v1::{AnyValue, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::Link},
};

const WAYBILL: &str = env!("CARGO_BIN_EXE_waybill");
/// Orders in one request.
const BATCH: u64 = 10;
/// Requests at once.
const CLIENTS: u64 = 4;
/// One order in so many is lost.
const LOST: u64 = 100;
/// Verdicts of each form of id.
const TIMES: u64 = 40;
/// All orders were placed within this time before now.
const SPREAD_NS: u64 = 24 * 3_600 * 1_000_000_000;

fn main() {
    // `cargo test --benches` and `cargo bench -- --test` only want to know that it starts.
    if env::args().any(|a| a == "--test") {
        return;
    }
    let sizes = env::var("WAYBILL_WHERE_SPANS").unwrap_or_else(|_| "100000,1000000".into());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for spans in
        sizes.split(',').map(|n| n.trim().parse().expect("WAYBILL_WHERE_SPANS: numbers, with commas"))
    {
        runtime.block_on(round(spans));
    }
}

/// Fills a store and asks it.
async fn round(spans: u64) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::start(folder.path()).await;
    let meals = Arc::new(Meals::read(spans));
    let began = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let clients = (0..CLIENTS).map(|_| fill(store.otlp.clone(), Arc::clone(&meals), Arc::clone(&next)));
    futures::future::join_all(clients).await;
    println!(
        "{} orders, {} spans, filled in {:.0} s",
        meals.orders,
        meals.spans(),
        began.elapsed().as_secs_f64()
    );
    // Sealing and merging come to rest.
    tokio::time::sleep(Duration::from_secs(8)).await;
    for (form, of) in FORMS {
        let mut took: Vec<Duration> =
            (0..TIMES).map(|n| ask(&store.url, mix(n) % meals.orders, form, of)).collect();
        took.sort_unstable();
        let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
        println!("where by {form:<20} median {median:>9.1?}, slowest of {TIMES} {worst:>9.1?}");
    }
    println!("the store's memory: {} MiB\n", store.peak_mib());
}

type Form = fn(u64) -> String;
/// By what an order is asked for; the last names nothing that is there.
const FORMS: [(&str, Form); 5] = [
    ("order id", |n| code(n, 0)),
    ("payment reference", |n| format!("WB-{}", code(n, 2))),
    ("partner's reference", |n| partner(n, "ch")),
    ("trace id", |n| hex(trace_id(n))),
    ("unknown id", |n| code(n, 9)),
];

/// One verdict, which must be the right one.
fn ask(url: &str, order: u64, form: &str, of: Form) -> Duration {
    let began = Instant::now();
    let output =
        Command::new(WAYBILL).args(["where", &of(order), "--json", "--jaeger", url]).output().unwrap();
    let took = began.elapsed();
    let wanted = match () {
        () if form == "unknown id" => 3,
        () if order.is_multiple_of(LOST) => 1,
        () => 0,
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(wanted), "order {order} by {form}: {said}{errors}");
    took
}

async fn fill(otlp: String, meals: Arc<Meals>, next: Arc<AtomicU64>) {
    let mut client = TraceServiceClient::connect(otlp).await.unwrap();
    loop {
        let first = next.fetch_add(BATCH, Ordering::Relaxed);
        if first >= meals.orders {
            return;
        }
        let request = meals.request(first..(first + BATCH).min(meals.orders));
        while let Err(status) = client.export(request.clone()).await {
            assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

// === the store ===

struct Store {
    process: Child,
    otlp: String,
    url: String,
}

impl Store {
    async fn start(data: &Path) -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (otlp, http) = (free(), free());
        let mut command = Command::new(WAYBILL);
        command.arg("tracestore").env("WAYBILL_DATA", data).env("WAYBILL_TRACESTORE_SYNC", "50ms");
        command
            .env("WAYBILL_TRACESTORE_OTLP", otlp.to_string())
            .env("WAYBILL_TRACESTORE_HTTP", http.to_string());
        command.env("WAYBILL_TRACESTORE_RETENTION_BYTES", (64_u64 << 30).to_string());
        let process = command.stdout(Stdio::null()).spawn().unwrap();
        let store = Self { process, otlp: format!("http://{otlp}"), url: format!("http://{http}") };
        let ready = format!("{}/ready", store.url);
        while !reqwest::get(&ready).await.is_ok_and(|r| r.status().is_success()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        store
    }

    fn peak_mib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

// === the orders ===

/// Two recorded orders, and how often they are copied.
struct Meals {
    delivered: Trace,
    lost: Trace,
    orders: u64,
    now_ns: u64,
}

impl Meals {
    fn read(spans: u64) -> Self {
        let read = |name: &str| {
            let path = format!("{}/otel/journey/tests/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
            let traces = journey::adapters::jaeger::parse(&fs::read(&path).unwrap()).unwrap();
            traces.into_iter().next().unwrap()
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let (delivered, lost) = (read("delivered"), read("new-years-eve"));
        let orders = spans.div_ceil(delivered.spans.len() as u64);
        Self { delivered, lost, orders, now_ns: u64::try_from(now).unwrap() }
    }

    fn spans(&self) -> u64 {
        let lost = self.orders.div_ceil(LOST);
        (self.orders - lost) * self.delivered.spans.len() as u64 + lost * self.lost.spans.len() as u64
    }

    fn request(&self, orders: std::ops::Range<u64>) -> ExportTraceServiceRequest {
        let mut services: BTreeMap<&str, Vec<Span>> = BTreeMap::new();
        for order in orders {
            let trace = if order.is_multiple_of(LOST) { &self.lost } else { &self.delivered };
            // The last order is ten minutes old: at rest.
            let begun = self.now_ns - 600_000_000_000 - SPREAD_NS / self.orders * (self.orders - order);
            let recorded = trace.spans.iter().map(|s| s.start_ns).min().unwrap();
            for span in &trace.spans {
                services.entry(&span.service).or_default().push(copy(span, order, recorded, begun));
            }
        }
        let resource = |service: &str| Resource {
            attributes: vec![text("service.name", service)],
            ..Resource::default()
        };
        let resource_spans = services.into_iter().map(|(service, spans)| ResourceSpans {
            resource: Some(resource(service)),
            scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        });
        ExportTraceServiceRequest { resource_spans: resource_spans.collect() }
    }
}

/// A recorded span as one of another order.
fn copy(span: &journey::Span, order: u64, recorded: u64, begun: u64) -> Span {
    let id = |hex: &str| (u64::from_str_radix(hex, 16).unwrap() ^ mix(order)).to_be_bytes().to_vec();
    let at = |ns: u64| begun + ns.saturating_sub(recorded);
    let attributes = span.attributes.iter().filter(|(key, _)| !key.starts_with("span.") && *key != "error");
    let link = |l: &journey::Link| Link {
        trace_id: trace_id(order).to_vec(),
        span_id: id(&l.span),
        ..Link::default()
    };
    Span {
        trace_id: trace_id(order).to_vec(),
        span_id: id(&span.id),
        parent_span_id: span.parent.as_deref().map(id).unwrap_or_default(),
        name: span.name.clone(),
        kind: match span.kind {
            Kind::Internal => 1,
            Kind::Server => 2,
            Kind::Client => 3,
            Kind::Producer => 4,
            Kind::Consumer => 5,
        },
        start_time_unix_nano: at(span.start_ns),
        end_time_unix_nano: at(span.end_ns),
        attributes: attributes.map(|(key, value)| text(key, &own(key, value, order))).collect(),
        status: span.error.then(|| Status { code: 2, message: span.error_message.clone() }),
        links: span.links.iter().map(link).collect(),
        flags: 0x101,
        ..Span::default()
    }
}

/// The value of an attribute of this order.
fn own(key: &str, value: &str, order: u64) -> String {
    match key {
        "order.id" | "messaging.message.conversation_id" => code(order, 0),
        "cart.id" => code(order, 1),
        "payment.reference" => format!("WB-{}", code(order, 2)),
        "partner.reference" => partner(order, value.split('_').next().unwrap_or("xx")),
        _ => value.to_owned(),
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

/// The `kind`th code of an order, in groups of four.
fn code(order: u64, kind: u64) -> String {
    let bits = mix(order ^ (kind << 60));
    let alphabet = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let symbol = |n: u64| char::from(alphabet[usize::try_from((bits >> (n * 5)) & 31).unwrap()]);
    let all: Vec<char> = (0..12).map(symbol).collect();
    all.chunks(4).map(String::from_iter).collect::<Vec<_>>().join("-")
}

fn partner(order: u64, prefix: &str) -> String {
    format!("{prefix}_{:020x}", mix(order ^ prefix.bytes().map(u64::from).sum::<u64>()))
}

fn trace_id(order: u64) -> [u8; 16] {
    (u128::from(mix(order)) << 64 | u128::from(mix(order ^ 0xffff))).to_be_bytes()
}

fn hex(bytes: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(bytes))
}

/// A scrambled number, the same for the same order.
fn mix(n: u64) -> u64 {
    let mut x = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

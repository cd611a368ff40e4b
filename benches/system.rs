//! One run of the whole system: what telemetry costs an order, and what collector and store cost a span.
//!
//! Rounds with telemetry on and off take turns in fresh fleets on free ports, so that a machine that slows down slows both. Each round
//! places the same orders faster than they can be served and follows all to their end.
//! `cargo bench --bench system`; `WAYBILL_BENCH_ROUNDS` and `WAYBILL_BENCH_ORDERS` make it longer or shorter.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    collections::BTreeMap,
    env, fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde_json::Value;

const WAYBILL: &str = env!("CARGO_BIN_EXE_waybill");
const SERVICES: [&str; 8] = [
    "mobile-app",
    "auth",
    "restaurant-availability",
    "payment-gateway",
    "restaurant-orders",
    "delivery-assignment",
    "tracking",
    "notification",
];

fn main() -> anyhow::Result<()> {
    // `cargo test --benches` and `cargo bench -- --test` only want to know that it starts.
    if env::args().any(|a| a == "--test") {
        return Ok(());
    }
    let (rounds, orders) = (number("WAYBILL_BENCH_ROUNDS", 3), number("WAYBILL_BENCH_ORDERS", 600));
    println!("system: {rounds} rounds of {orders} orders, telemetry on and off in turn");
    let (mut on, mut off) = (Vec::new(), Vec::new());
    for seed in 1..=rounds {
        off.push(Round::run(false, orders, seed)?);
        on.push(Round::run(true, orders, seed)?);
        for round in [off.last(), on.last()].into_iter().flatten() {
            println!("{round}");
        }
    }
    summary(&mut on, &mut off);
    Ok(())
}

/// What one round measured.
struct Round {
    telemetry: bool,
    orders_per_s: f64,
    /// CPU milliseconds of the eight services per order.
    services_ms: f64,
    /// CPU seconds per million spans.
    collector: f64,
    tracestore: f64,
    spans_per_order: f64,
    /// Peak resident MiB by part.
    peak: BTreeMap<String, f64>,
}

// === impl Round ===

impl Round {
    fn run(telemetry: bool, orders: u64, seed: u64) -> anyhow::Result<Self> {
        let fleet = Fleet::start(telemetry)?;
        let before = fleet.cpu();
        let report = fleet.load(orders, seed)?;
        // The last batches are on their way for the schedule delay of the SDKs and the collector's own.
        thread::sleep(Duration::from_secs(3));
        let after = fleet.cpu();
        let spent = |part: &str| after.get(part).unwrap_or(&0.0) - before.get(part).unwrap_or(&0.0);
        let done = ["delivered", "refunded"].iter().filter_map(|k| report[*k].as_f64()).sum::<f64>();
        ensure!(done > 0.0, "no order came to its end: {report}");
        let spans = if telemetry { fleet.spans_sent()? } else { 0.0 };
        let per_million = |cpu: f64| if spans > 0.0 { cpu / spans * 1e6 } else { 0.0 };
        Ok(Self {
            telemetry,
            orders_per_s: done / report["seconds"].as_f64().context("the report has no `seconds`")?,
            services_ms: SERVICES.iter().map(|s| spent(s)).sum::<f64>() / done * 1e3,
            collector: per_million(spent("collector")),
            tracestore: per_million(spent("tracestore")),
            spans_per_order: spans / done,
            peak: fleet.peak(),
        })
    }
}

impl std::fmt::Display for Round {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mode = if self.telemetry { "on " } else { "off" };
        write!(
            f,
            "  {mode}  {:7.1} orders/s  {:6.2} ms CPU/order in the services",
            self.orders_per_s, self.services_ms
        )?;
        if self.telemetry {
            write!(
                f,
                "  {:.1} spans/order  collector {:.2} + store {:.2} CPU-s per million spans",
                self.spans_per_order, self.collector, self.tracestore
            )?;
        }
        Ok(())
    }
}

/// `waybill up` on free ports with data of its own; killed when dropped.
struct Fleet {
    child: Child,
    data: tempfile::TempDir,
    endpoints: Value,
}

// === impl Fleet ===

impl Fleet {
    fn start(telemetry: bool) -> anyhow::Result<Self> {
        let data = tempfile::tempdir()?;
        let mut command = Command::new(WAYBILL);
        command.args(["up", "--ports", "auto", "--data"]).arg(data.path());
        // Rides of no length: what is measured is work, not waiting.
        command.args(["--env", "tracking:WAYBILL_RIDE_TIME=1ms"]);
        for service in SERVICES {
            command.arg("--env").arg(format!("{service}:OTEL_SDK_DISABLED={}", !telemetry));
        }
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let mut fleet = Self { child, data, endpoints: Value::Null };
        fleet.await_ready()?;
        Ok(fleet)
    }

    fn await_ready(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) {
            let text = fs::read(self.data.path().join("endpoints.json")).unwrap_or_default();
            self.endpoints = serde_json::from_slice(&text).unwrap_or_default();
            if SERVICES.iter().all(|s| self.is_ready(s)) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        anyhow::bail!("the fleet was not ready within 30 s: {}", self.endpoints)
    }

    fn is_ready(&self, part: &str) -> bool {
        let url = self.endpoints[part]["url"].as_str().unwrap_or_default();
        get(&format!("{url}/readyz")).is_ok_and(|reply| reply.starts_with("HTTP/1.1 200"))
    }

    fn load(&self, orders: u64, seed: u64) -> anyhow::Result<Value> {
        let url = self.endpoints["mobile-app"]["url"].as_str().context("no front door")?;
        let out = Command::new(WAYBILL)
            .args(["load", "--json", "--rate", "200", "--url", url])
            .args(["--orders", &orders.to_string(), "--seed", &seed.to_string()])
            .env("OTEL_SDK_DISABLED", "true")
            .output()?;
        serde_json::from_slice(&out.stdout)
            .with_context(|| format!("waybill load: {}", String::from_utf8_lossy(&out.stderr)))
    }

    /// CPU seconds, user and system, that each part has used so far.
    fn cpu(&self) -> BTreeMap<String, f64> {
        self.each_pid(|pid| {
            let stat = fs::read_to_string(PathBuf::from("/proc").join(pid).join("stat")).unwrap_or_default();
            let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
            let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
            // proc(5): utime and stime are fields 14 and 15, in ticks of 10 ms
            (ticks(11) + ticks(12)) / 100.0
        })
    }

    /// Peak resident MiB of each part.
    fn peak(&self) -> BTreeMap<String, f64> {
        self.each_pid(|pid| {
            let status =
                fs::read_to_string(PathBuf::from("/proc").join(pid).join("status")).unwrap_or_default();
            let kib = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or_default();
            kib.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1024.0
        })
    }

    fn each_pid(&self, read: impl Fn(&Path) -> f64) -> BTreeMap<String, f64> {
        let entries = self.endpoints.as_object().into_iter().flatten();
        let pids = entries.filter_map(|(name, e)| Some((name.clone(), e["pid"].as_u64()?.to_string())));
        pids.map(|(name, pid)| (name, read(Path::new(&pid)))).collect()
    }

    /// Spans that the collector handed to the trace store, by its own count.
    fn spans_sent(&self) -> anyhow::Result<f64> {
        let url = self.endpoints["collector"]["urls"]["metrics"].as_str().context("no collector metrics")?;
        let reply = get(&format!("{url}/metrics"))?;
        let lines = reply.lines().filter(|l| l.starts_with("otelcol_exporter_sent_spans"));
        Ok(lines.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // SIGTERM first: the children stop with their parent and the temporary folder can go.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        for _ in 0..200 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A GET without a client library: the reply as text, head included.
fn get(url: &str) -> anyhow::Result<String> {
    let rest = url.strip_prefix("http://").context("not an http URL")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    Ok(reply)
}

fn summary(on: &mut [Round], off: &mut [Round]) {
    let rate = |rounds: &mut [Round]| median(rounds, |r| r.orders_per_s);
    let cpu = |rounds: &mut [Round]| median(rounds, |r| r.services_ms);
    let (fast, slow) = (rate(off), rate(on));
    println!("orders/s        on {slow:.1}, off {fast:.1}, ratio {:.3}", slow / fast);
    let (lean, full) = (cpu(off), cpu(on));
    println!("CPU ms/order    on {full:.2}, off {lean:.2}, ratio {:.3}  (eight services)", full / lean);
    println!("spans/order     {:.1}", median(on, |r| r.spans_per_order));
    println!(
        "CPU-s/M spans   collector {:.2}, store {:.2}",
        median(on, |r| r.collector),
        median(on, |r| r.tracestore)
    );
    if let Some(last) = on.last() {
        let total: f64 = last.peak.values().sum();
        let parts: Vec<_> = last.peak.iter().map(|(name, mib)| format!("{name} {mib:.0}")).collect();
        println!("peak RSS MiB    {total:.0} in all: {}", parts.join(", "));
    }
}

fn median(rounds: &mut [Round], of: impl Fn(&Round) -> f64) -> f64 {
    rounds.sort_by(|a, b| of(a).total_cmp(&of(b)));
    rounds.get(rounds.len() / 2).map_or(0.0, of)
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

//! An unmodified client that no one here wrote: telemetrygen of the OpenTelemetry Collector's contrib repository.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::harness::{Fleet, eventually, http, run};

const FIND: &str = "tests/peers/telemetrygen/find";
const PARTS: [&str; 2] = ["--only", "collector,tracestore"];

/// The program, looked for once by all tests of this process.
static TOOL: tokio::sync::OnceCell<Option<PathBuf>> = tokio::sync::OnceCell::const_new();

/// telemetrygen from the PATH, or the one that `make conformance` uses, built with Go where it is not in the cache yet; none
/// where neither is to be had.
async fn telemetrygen() -> Option<&'static Path> {
    let tool = TOOL.get_or_init(async || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).map(|d| d.join("telemetrygen")).find(|p| p.is_file());
        if found.is_some() && std::env::var_os("TELEMETRYGEN").is_none() {
            return found;
        }
        let find = Path::new(env!("CARGO_MANIFEST_DIR")).join(FIND);
        let told = tokio::process::Command::new(find).output().await.unwrap();
        let (path, said) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
        let built = path.split_once('\t').map(|(path, _)| PathBuf::from(path));
        if built.is_none() {
            eprintln!("skipped: telemetrygen is not here: {}", said.trim());
        }
        built
    });
    tool.await.as_deref()
}

/// Sends five of `signal` over gRPC or HTTP.
async fn send(tool: &Path, fleet: &Fleet, signal: &str, over: &str, more: &[&str]) {
    let url = fleet.url("collector", if over == "http" { "otlp-http" } else { "otlp-grpc" });
    let mut command = Command::new(tool);
    command.args([signal, "--otlp-insecure", "--rate", "0", &format!("--{signal}"), "5"]);
    command.args(["--otlp-endpoint", url.trim_start_matches("http://")]).args(more);
    if over == "http" {
        command.arg("--otlp-http");
    }
    let ended = run(command).await;
    assert!(ended.status.success(), "telemetrygen {signal} over {over}: {}{}", ended.stdout, ended.stderr);
}

#[tokio::test]
async fn its_traces_over_grpc_and_http_are_found_through_the_jaeger_api() {
    let Some(tool) = telemetrygen().await else { return };
    let fleet = Fleet::with(&PARTS).await;
    for over in ["grpc", "http"] {
        let service = format!("gen-{over}");
        send(tool, &fleet, "traces", over, &["--service", &service, "--child-spans", "2"]).await;
        let url = format!("{}/api/traces?limit=50&service={service}", fleet.url("tracestore", "http"));
        eventually(&format!("traces over {over}"), async || {
            let reply = http().get(&url).send().await.map_err(|e| e.to_string())?;
            let answer: Value = reply.json().await.map_err(|e| e.to_string())?;
            let traces = answer["data"].as_array().ok_or_else(|| answer.to_string())?;
            let spans: Vec<_> = traces.iter().map(|t| t["spans"].as_array().map_or(0, Vec::len)).collect();
            if spans == [3; 5] { Ok(()) } else { Err(format!("spans by trace: {spans:?}")) }
        })
        .await;
    }
}

#[tokio::test]
async fn its_logs_over_grpc_and_http_are_found_by_trace_id() {
    let Some(tool) = telemetrygen().await else { return };
    let fleet = Fleet::with(&PARTS).await;
    for over in ["grpc", "http"] {
        let id = uuid::Uuid::new_v4().simple().to_string();
        send(tool, &fleet, "logs", over, &["--trace-id", &id, "--span-id", &id[..16], "--body", over]).await;
        let url = format!("{}/logs?trace_id={id}", fleet.url("tracestore", "http"));
        eventually(&format!("logs over {over}"), async || {
            let reply = http().get(&url).send().await.map_err(|e| e.to_string())?;
            let answer: Value = reply.json().await.map_err(|e| e.to_string())?;
            let bodies: Vec<_> =
                answer["logs"].as_array().into_iter().flatten().map(|l| &l["body"]).collect();
            if bodies == [over; 5] { Ok(()) } else { Err(answer.to_string()) }
        })
        .await;
    }
}

#[tokio::test]
async fn its_metrics_over_grpc_and_http_are_found_at_the_collectors_prometheus_exporter() {
    let Some(tool) = telemetrygen().await else { return };
    let fleet = Fleet::with(&PARTS).await;
    for over in ["grpc", "http"] {
        let name = format!("gen_{over}_total");
        let metric =
            ["--otlp-metric-name", &name, "--metric-type", "Sum", "--aggregation-temporality", "cumulative"];
        send(tool, &fleet, "metrics", over, &metric).await;
        let url = format!("{}/metrics", fleet.url("collector", "prometheus"));
        eventually(&format!("metrics over {over}"), async || {
            let text = http().get(&url).send().await.map_err(|e| e.to_string())?;
            let text = text.text().await.map_err(|e| e.to_string())?;
            if text.lines().any(|l| l.starts_with(&name)) { Ok(()) } else { Err(text) }
        })
        .await;
    }
}

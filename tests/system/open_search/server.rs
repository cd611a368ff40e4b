//! The OpenSearch under test, and a Jaeger that keeps its spans there.

use std::{
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{eventually, http};

/// The peers, where they are named.
pub(super) struct Peers {
    pub(super) search: OpenSearch,
    jaeger: PathBuf,
}

/// An OpenSearch without a password.
#[derive(Clone)]
pub(super) struct OpenSearch {
    url: String,
}

/// A Jaeger; killed when dropped.
pub(super) struct Jaeger {
    process: Child,
    /// Base URL of its query API.
    pub(super) query: String,
    /// Address of its OTLP/gRPC receiver.
    pub(super) otlp_grpc: String,
    /// Base URL of its OTLP/HTTP receiver.
    pub(super) otlp_http: String,
}

// === impl Peers ===

impl Peers {
    /// None, and a word about it, where they are not to be had.
    #[allow(clippy::print_stdout, reason = "a skipped test says so")]
    pub(super) fn find(what: &str) -> Option<Self> {
        let (url, jaeger) = (std::env::var("OPENSEARCH_URL").ok(), std::env::var_os("JAEGER_PROGRAM"));
        let (Some(url), Some(jaeger)) = (url, jaeger) else {
            println!(
                "SKIPPED {what}: OPENSEARCH_URL and JAEGER_PROGRAM are not set (make conformance sets them)"
            );
            return None;
        };
        let url = url.trim_end_matches('/').to_owned();
        Some(Self { search: OpenSearch { url }, jaeger: jaeger.into() })
    }

    /// A Jaeger whose indices begin with `prefix`, in the OpenSearch that `url` leads to.
    pub(super) async fn jaeger(&self, prefix: &str, url: &str, log: &Path) -> Jaeger {
        Jaeger::start(&self.jaeger, prefix, url, log).await
    }
}

// === impl OpenSearch ===

impl OpenSearch {
    /// Where it listens.
    pub(super) fn address(&self) -> std::net::SocketAddr {
        let address = self.url.strip_prefix("http://").and_then(|address| address.parse().ok());
        address.unwrap_or_else(|| panic!("OPENSEARCH_URL={}: http://ADDRESS:PORT is wanted", self.url))
    }

    /// Asks for `path`; anything but success fails the test.
    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let mut request = http().request(method.clone(), format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.json(body);
        }
        self.send(request, &format!("{method} {path}")).await
    }

    /// Creates `documents` in `stream`, as bulk requests do, and makes them visible to searches.
    pub(super) async fn create(&self, stream: &str, documents: &[Value]) {
        let lines: String = documents.iter().map(|d| format!("{}\n{d}\n", json!({ "create": {} }))).collect();
        let request = http().post(format!("{}/{stream}/_bulk?refresh=true", self.url)).body(lines);
        let answer =
            self.send(request.header("content-type", "application/x-ndjson"), "a bulk request").await;
        assert_eq!(answer["errors"], false, "{answer:#}");
    }

    /// Changes settings of an index; null sets one back.
    pub(super) async fn set(&self, index: &str, settings: Value) {
        self.ask(Method::PUT, &format!("/{index}/_settings"), Some(&settings)).await;
    }

    async fn send(&self, request: reqwest::RequestBuilder, what: &str) -> Value {
        let reply = request.send().await.unwrap_or_else(|e| panic!("{what}: {e}"));
        let (status, text) = (reply.status(), reply.text().await.unwrap());
        assert!(status.is_success(), "{what}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{what}: {e}: {text}"))
    }
}

// === impl Jaeger ===

impl Jaeger {
    async fn start(program: &Path, prefix: &str, search: &str, log: &Path) -> Self {
        let config = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/jaeger/opensearch.yaml");
        // Held until all are chosen, so that no two are the same.
        let places: Vec<_> = (0..5).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<_> = places.iter().map(|p| p.local_addr().unwrap().port().to_string()).collect();
        drop(places);
        let mut command = Command::new(program);
        command.args(["--config", config]).env("JAEGER_INDEX_PREFIX", prefix).env("OPENSEARCH_URL", search);
        // Else it traces itself, and its own spans join the answers.
        command.env("OTEL_TRACES_SAMPLER", "always_off");
        let roles = ["QUERY", "OTLP", "OTLP_GRPC", "HEALTH", "QUERY_GRPC"];
        for (role, port) in roles.iter().zip(&ports) {
            command.env(format!("JAEGER_{role}_PORT"), port);
        }
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(log).unwrap());
        let this = Self {
            process: process.spawn().unwrap(),
            query: format!("http://127.0.0.1:{}", ports[0]),
            otlp_http: format!("http://127.0.0.1:{}", ports[1]),
            otlp_grpc: format!("127.0.0.1:{}", ports[2]),
        };
        let url = format!("{}/api/services", this.query);
        eventually("Jaeger answers", || async {
            let reply = http().get(&url).send().await.map_err(|e| e.to_string())?;
            let said = || std::fs::read_to_string(log).unwrap_or_default();
            if reply.status().is_success() { Ok(()) } else { Err(format!("{}\n{}", reply.status(), said())) }
        })
        .await;
        this
    }

    /// Spans of a trace; none where it knows nothing of it.
    pub(super) async fn spans(&self, trace: &str) -> Result<usize, String> {
        let reply = http().get(format!("{}/api/traces/{trace}", self.query)).send().await;
        let reply = reply.map_err(|e| e.to_string())?;
        let status = reply.status();
        let answer: Value = reply.json().await.map_err(|e| e.to_string())?;
        match (status.as_u16(), answer["data"][0]["spans"].as_array()) {
            (200, Some(spans)) => Ok(spans.len()),
            (404, _) => Ok(0),
            _ => Err(format!("{status} {answer}")),
        }
    }

    /// Ids of the traces of the last hour in which a span of `service` bears the tag.
    pub(super) async fn tagged(&self, service: &str, key: &str, value: &str) -> Result<Vec<String>, String> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
        let (start, end) = ((now - 3_600_000_000).to_string(), (now + 60_000_000).to_string());
        let tags = json!({ key: value }).to_string();
        let mut url = reqwest::Url::parse(&format!("{}/api/traces", self.query)).unwrap();
        let query =
            [("service", service), ("limit", "100"), ("tags", &tags), ("start", &start), ("end", &end)];
        url.query_pairs_mut().extend_pairs(query);
        let reply = http().get(url).send().await.map_err(|e| e.to_string())?;
        let answer: Value = reply.json().await.map_err(|e| e.to_string())?;
        let traces = answer["data"].as_array().ok_or_else(|| answer.to_string())?;
        Ok(traces.iter().filter_map(|t| t["traceID"].as_str()).map(str::to_owned).collect())
    }
}

impl Drop for Jaeger {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

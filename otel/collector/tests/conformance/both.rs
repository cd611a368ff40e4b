//! Both collectors on free ports, each in front of a backend of its own.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use collector::{Collector, Config};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::flat::{Flat, flat};
use crate::rig::{Backend, eventually};

/// The file at the top of the repository, which both read.
pub(crate) const CONFIG: &str = collector::DEFAULT_CONFIG;

/// One of the two.
pub(crate) struct Side {
    pub(crate) name: &'static str,
    pub(crate) backend: Backend,
    ports: HashMap<&'static str, u16>,
}

pub(crate) struct Both {
    pub(crate) ours: Side,
    pub(crate) real: Side,
    collector: Option<Collector>,
    /// Starts the official one.
    program: Command,
    child: Child,
    folder: TempDir,
}

const PORTS: [&str; 5] = ["grpc", "http", "health", "prometheus", "metrics"];

/// The official collector's program; says so when there is none.
pub(crate) fn peer() -> Option<PathBuf> {
    let path = std::env::var_os("OTELCOL").map(PathBuf::from);
    if path.is_none() {
        eprintln!("SKIPPED: the official collector is not here; set OTELCOL=/path/to/otelcol");
    }
    path
}

// === impl Side ===

impl Side {
    async fn new(name: &'static str) -> Self {
        // All are held until all are known, so that no two are the same.
        let held: Vec<_> = PORTS.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports = PORTS.into_iter().zip(held.iter().map(|one| one.local_addr().unwrap().port()));
        Self { name, backend: Backend::start().await, ports: ports.collect() }
    }

    pub(crate) fn url(&self, port: &str, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.ports[port])
    }

    pub(crate) fn address(&self, port: &str) -> String {
        format!("127.0.0.1:{}", self.ports[port])
    }

    pub(crate) fn port(&self, port: &str) -> u16 {
        self.ports[port]
    }

    pub(crate) async fn traces(&self) -> TraceServiceClient<Channel> {
        let client = TraceServiceClient::connect(self.url("grpc", "")).await.unwrap();
        client.max_encoding_message_size(usize::MAX)
    }

    /// What a variable of the configuration stands for on this side.
    fn variables(&self, backend: SocketAddr, folder: &str, more: &[(&str, &str)]) -> HashMap<String, String> {
        let mut found: HashMap<String, String> =
            more.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        for (port, name) in
            [("grpc", "GRPC"), ("http", "HTTP"), ("health", "HEALTH"), ("prometheus", "PROMETHEUS")]
        {
            found.insert(format!("WAYBILL_COLLECTOR_{name}"), self.address(port));
        }
        found.insert("WAYBILL_COLLECTOR_METRICS_PORT".into(), self.ports["metrics"].to_string());
        found.insert("WAYBILL_TRACESTORE_OTLP".into(), backend.to_string());
        found.insert("WAYBILL_DATA".into(), folder.into());
        found
    }
}

// === impl Both ===

impl Both {
    /// Starts both with the repository's file.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(CONFIG, &[]).await
    }

    /// Starts both with this text; `more` are further variables of it.
    pub(crate) async fn start_with(text: &str, more: &[(&str, &str)]) -> Option<Self> {
        let program = peer()?;
        let folder = tempfile::tempdir().unwrap();
        let (ours, real) = (Side::new("ours").await, Side::new("official").await);
        let data = |side: &Side| {
            let data = folder.path().join(side.name);
            std::fs::create_dir_all(&data).unwrap();
            data.display().to_string()
        };
        let variables = ours.variables(ours.backend.address, &data(&ours), more);
        let config = Config::parse(text, &|name| variables.get(name).cloned()).unwrap();
        let collector = Some(Collector::start(config).await.unwrap());

        let file = folder.path().join("config.yaml");
        std::fs::write(&file, text).unwrap();
        let log = std::fs::File::create(folder.path().join("official.log")).unwrap();
        let mut program = Command::new(program);
        program.arg("--config").arg(&file).stdout(Stdio::null()).stderr(log);
        program.envs(real.variables(real.backend.address, &data(&real), more));
        let child = program.spawn().unwrap();
        let mut both = Self { ours, real, collector, program, child, folder };
        both.healthy().await;
        Some(both)
    }

    async fn healthy(&mut self) {
        let health = self.real.url("health", "/");
        while !reqwest::get(&health).await.is_ok_and(|answer| answer.status().is_success()) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "the official collector ended: {}", self.official_log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// `kill -9` to the official one, and a new start with the same files.
    pub(crate) async fn kill_official(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = self.program.spawn().unwrap();
        self.healthy().await;
    }

    /// What the official one has said.
    pub(crate) fn official_log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("official.log")).unwrap()
    }

    pub(crate) fn sides(&self) -> [&Side; 2] {
        [&self.ours, &self.real]
    }

    /// Waits until both backends have `count` spans and returns them in a form that can be compared.
    pub(crate) async fn spans(&self, count: usize) -> [Vec<Flat>; 2] {
        for side in self.sides() {
            eventually(&format!("{count} spans behind {}", side.name), async || {
                (flat(&side.backend.trace_requests()).len() >= count).then_some(())
            })
            .await;
        }
        self.sides().map(|side| flat(&side.backend.trace_requests()))
    }

    /// Ends both in good order, so that all they hold arrives.
    pub(crate) async fn stop(&mut self) {
        if let Some(collector) = self.collector.take() {
            collector.stop(Duration::from_secs(5)).await;
        }
        let ended = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(ended.success());
        let child = std::sync::Mutex::new(&mut self.child);
        let ended = async || child.lock().unwrap().try_wait().unwrap();
        eventually("the end of the official collector", ended).await;
    }
}

impl Drop for Both {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

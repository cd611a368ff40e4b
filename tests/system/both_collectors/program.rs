//! A collector as a process of its own, started with the repository's `collector-config.yaml` in front of a backend.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::ends::Backend;
use crate::harness::{eventually, http};

/// A running collector; killed when dropped.
pub(super) struct Program {
    /// Where it takes OTLP over HTTP.
    pub(super) http: String,
    pub(super) backend: Backend,
    child: Child,
    health: String,
    folder: TempDir,
}

// === impl Program ===

impl Program {
    /// Starts it, on other ports where somebody was faster on the ones that were free.
    pub(super) async fn start(command: impl Fn() -> Command) -> Self {
        for _ in 0..4 {
            let mut program = Self::spawn(command()).await;
            if program.healthy().await {
                return program;
            }
            eprintln!("it ended: {}", program.said());
        }
        panic!("{:?} ended each time", command());
    }

    async fn spawn(mut command: Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let backend = Backend::start().await;
        // All are held until all are known, so that no two are the same.
        let held = [(); 5].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [grpc, http, health, prometheus, metrics] = held.each_ref().map(|one| one.local_addr().unwrap());
        let said = std::fs::File::create(folder.path().join("said.log")).unwrap();
        command
            .args(["--config", concat!(env!("CARGO_MANIFEST_DIR"), "/collector-config.yaml")])
            .env("WAYBILL_COLLECTOR_GRPC", grpc.to_string())
            .env("WAYBILL_COLLECTOR_HTTP", http.to_string())
            .env("WAYBILL_COLLECTOR_HEALTH", health.to_string())
            .env("WAYBILL_COLLECTOR_PROMETHEUS", prometheus.to_string())
            .env("WAYBILL_COLLECTOR_METRICS_PORT", metrics.port().to_string())
            .env("WAYBILL_TRACESTORE_OTLP", backend.address.to_string())
            .env("WAYBILL_DATA", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said);
        drop(held);
        let child = command.spawn().unwrap();
        let [http, health] = [http, health].map(|address| format!("http://{address}"));
        Self { http, backend, child, health, folder }
    }

    /// Waits until it answers; false when it ends instead.
    async fn healthy(&mut self) -> bool {
        eventually("an answer of the collector", async || {
            if self.child.try_wait().unwrap().is_some() {
                return Ok(false);
            }
            let answer = http().get(&self.health).send().await.map_err(|e| e.to_string())?;
            if answer.status().is_success() { Ok(true) } else { Err(answer.status().to_string()) }
        })
        .await
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("said.log")).unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

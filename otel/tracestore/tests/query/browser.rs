//! The Jaeger UI in a real browser, over a real store: `tests/browser/ui.mjs` at the top of the repository drives it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::ResourceLogs;
use prost::Message as _;
use tracestore::api::{ApiOptions, router};
use tracestore::ui::UiOptions;
use tracestore::{Store, StoreOptions};

use crate::order::{logs, order};

const WELL: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
const LOST: u128 = 0x1af7_6519_16cd_43dd_8448_eb21_1c80_319c;

#[tokio::test(flavor = "multi_thread")]
async fn the_ui_finds_draws_and_links_orders_without_a_failed_request() {
    let Some(chromium) = tools() else { return };
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path()).await;
    let ui = UiOptions::for_orders("http://127.0.0.1:8080");
    let app = router(Arc::new(store), ApiOptions { ui, ..ApiOptions::default() }).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let shots = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("ui");
    let mut script = Command::new("node");
    script.arg(folder().join("ui.mjs")).args(["--base", &base, "--chromium", &chromium]);
    script.args([
        "--trace",
        &format!("{WELL:032x}"),
        "--order",
        "order-well",
        "--failed-order",
        "order-lost",
    ]);
    script.args(["--failed-trace", &format!("{LOST:032x}"), "--failed-service", "delivery-assignment"]);
    script.arg("--screenshots").arg(&shots);
    let output = tokio::task::spawn_blocking(move || script.output()).await.unwrap().unwrap();
    server.abort();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "screenshots: {}\n{}", shots.display(), String::from_utf8_lossy(&said));
}

/// A well order and a lost one of this minute, and some log records.
async fn filled(dir: &Path) -> Store {
    let store = Store::open(StoreOptions::new(dir)).unwrap();
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap();
    let start = now - 30_000_000_000;
    for (trace, order_id, lost) in [(WELL, "order-well", false), (LOST, "order-lost", true)] {
        let resource_spans = order(trace, order_id, start, lost);
        let request = ExportTraceServiceRequest { resource_spans };
        store.append_spans(request.encode_to_vec().into()).await.unwrap();
        let resource_logs: Vec<ResourceLogs> = logs(trace, order_id, start);
        let request = ExportLogsServiceRequest { resource_logs };
        store.append_logs(request.encode_to_vec().into()).await.unwrap();
    }
    store
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/browser").canonicalize().unwrap()
}

/// Where Chromium is; none, with a message, when this machine cannot run the test. With `WAYBILL_BROWSER=required`
/// that is a failure.
fn tools() -> Option<String> {
    let found = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    let given = std::env::var("CHROMIUM").ok();
    let chromium =
        given.or_else(|| found.into_iter().find(|path| Path::new(path).exists()).map(str::to_owned));
    let works =
        |program: &str| Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success());
    let missing = match &chromium {
        None => Some("Chromium (Debian: apt-get install chromium, or name it in CHROMIUM)"),
        Some(_) if !works("node") => Some("node (20 or later)"),
        Some(_) if !installed() => Some("playwright-core (npm ci in tests/browser failed)"),
        Some(_) => None,
    };
    let Some(missing) = missing else { return chromium };
    let required = std::env::var("WAYBILL_BROWSER").is_ok_and(|wish| wish == "required");
    assert!(!required, "the browser test needs {missing}");
    #[expect(clippy::print_stderr, reason = "a skipped test must say so")]
    {
        eprintln!("SKIPPED: the browser test needs {missing}");
    }
    None
}

/// Installs the pinned driver where it is not.
fn installed() -> bool {
    let folder = folder();
    folder.join("node_modules/playwright-core/package.json").exists()
        || Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund"])
            .current_dir(folder)
            .output()
            .is_ok_and(|output| output.status.success())
}

//! A queue on disk: what was acknowledged survives the process, its files' damage and a full disk.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use collector::{Collector, Config};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use tonic::Code;

use crate::rig::{Act, Backend, Rig, eventually, spans, to_backend};

const CONFIG: &str = "WAYBILL_TEST_COLLECTOR_CONFIG";

/// Not a test of its own: the process that the tests below start and kill, which is this binary again.
#[test]
fn a_process_of_its_own_for_the_tests_that_kill_one() {
    let Some(config) = std::env::var_os(CONFIG).map(PathBuf::from) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let collector = Collector::start(Config::load(&config, &|_| None).unwrap()).await.unwrap();
        let address = collector.addresses()["otlp/grpc"].to_string();
        let partial = config.with_extension("partial");
        fs::write(&partial, address).unwrap();
        fs::rename(partial, config.with_extension("address")).unwrap();
        std::future::pending::<()>().await;
    });
}

/// A collector in a process of its own.
pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    pub(crate) async fn start(config: &Path) -> Self {
        Self::start_with(config, "exec \"$0\" \"$@\"").await
    }

    /// Through a shell, which may set limits first.
    async fn start_with(config: &Path, script: &str) -> Self {
        let _ = fs::remove_file(config.with_extension("address"));
        let child = Command::new("sh")
            .args(["-c", script])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "durability::a_process_of_its_own_for_the_tests_that_kill_one"])
            .env(CONFIG, config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let read = async || fs::read_to_string(config.with_extension("address")).ok()?.parse().ok();
        let address = eventually("the collector's address", read).await;
        Self { child, address }
    }

    pub(crate) async fn client(&self) -> TraceServiceClient<tonic::transport::Channel> {
        TraceServiceClient::connect(format!("http://{}", self.address)).await.unwrap()
    }
}

impl Drop for Process {
    /// As `kill -9`.
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A free address that nobody listens on yet, below the ports that the system gives away by itself.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id() + NEXT.fetch_add(1, Ordering::Relaxed);
        let address = SocketAddr::from(([127, 0, 0, 1], 10_000 + u16::try_from(number % 6_000).unwrap()));
        if std::net::TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

fn durable(folder: &Path, backend: SocketAddr, more: &str) -> String {
    let queue = "    retry_on_failure: {initial_interval: 20ms, max_interval: 50ms, max_elapsed_time: 0}
    sending_queue: {storage: file_storage, queue_size: 100000, sizer: items, batch: {flush_timeout: 10ms, min_size: 100}}";
    let storage = format!(
        "extensions: {{file_storage: {{directory: {}, create_directory: true{more}}}}}",
        folder.display()
    );
    to_backend(backend, queue, &storage)
}

pub(crate) async fn all_arrive(backend: &Backend, numbers: impl IntoIterator<Item = u64>) {
    let expected: Vec<u64> = numbers.into_iter().collect();
    eventually("every acknowledged span", async || {
        let seen = backend.span_numbers();
        expected.iter().all(|number| seen.binary_search(number).is_ok()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_a_kill_9_is_exported_after_the_restart() {
    for fsync in ["", ", fsync: true"] {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.yaml");
        let nobody = free_address();
        fs::write(&config, durable(&folder.path().join("queue"), nobody, fsync)).unwrap();
        let process = Process::start(&config).await;
        let mut client = process.client().await;
        for number in 0..60 {
            client.export(spans([number * 2, number * 2 + 1])).await.unwrap();
        }
        drop(process);
        let backend = Backend::start_at(nobody).await;
        let _process = Process::start(&config).await;
        all_arrive(&backend, 0..120).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_over_kills_at_random_moments_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    let backend = Backend::start().await;
    fs::write(&config, durable(&folder.path().join("queue"), backend.address, "")).unwrap();
    let mut acknowledged = Vec::new();
    let mut number = 0;
    for round in 0..6 {
        let process = Process::start(&config).await;
        let mut client = process.client().await;
        let killer = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(20 + 37 * round)).await;
            drop(process);
        });
        loop {
            let numbers = number..number + 10;
            number += 10;
            match client.export(spans(numbers.clone())).await {
                Ok(_) => acknowledged.extend(numbers),
                Err(_) => break,
            }
        }
        killer.await.unwrap();
    }
    assert!(acknowledged.len() > 100, "the load was real: {}", acknowledged.len());
    let _process = Process::start(&config).await;
    all_arrive(&backend, acknowledged).await;
}

/// Runs a collector in this process until `numbers` are in its queue and nowhere else.
async fn leave_in_queue(folder: &Path, numbers: std::ops::Range<u64>) -> PathBuf {
    let rig = Rig::start(&durable(folder, free_address(), "")).await;
    let mut client = rig.traces().await;
    for number in numbers {
        client.export(spans([number])).await.unwrap();
    }
    rig.stop_within(Duration::from_millis(300)).await;
    let files = fs::read_dir(folder.join("exporter_otlp_traces")).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "segment")).max().unwrap()
}

#[tokio::test]
async fn a_torn_end_is_cut_and_the_rest_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let segment = leave_in_queue(folder.path(), 0..5).await;
    let whole = fs::metadata(&segment).unwrap().len();
    let record = (whole - 8) / 5;
    for tear in [whole - 1, whole - record + 3, whole - record] {
        fs::OpenOptions::new().write(true).open(&segment).unwrap().set_len(tear).unwrap();
    }
    let mut torn = fs::OpenOptions::new().append(true).open(&segment).unwrap();
    torn.write_all(&[200, 0, 0, 0, 1, 2, 3, 4, 1, 0, 0, 0, 9, 9, 9]).unwrap();
    let backend = Backend::start().await;
    let rig = Rig::start(&durable(folder.path(), backend.address, "")).await;
    all_arrive(&backend, 0..4).await;
    rig.traces().await.export(spans([50])).await.unwrap();
    all_arrive(&backend, [50]).await;
    assert_eq!(backend.span_numbers(), [0, 1, 2, 3, 50]);
    rig.stop().await;
}

#[tokio::test]
async fn a_damaged_request_or_file_is_set_aside_and_the_rest_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let segment = leave_in_queue(folder.path(), 0..5).await;
    let mut bytes = fs::read(&segment).unwrap();
    let record = (bytes.len() - 8) / 5;
    bytes[8 + 2 * record + 40] ^= 0xff;
    fs::write(&segment, &bytes).unwrap();
    fs::write(segment.with_file_name("00000000000000aa.segment"), b"this is no queue").unwrap();
    let backend = Backend::start().await;
    let rig = Rig::start(&durable(folder.path(), backend.address, "")).await;
    all_arrive(&backend, [0, 1, 3, 4]).await;
    assert_eq!(backend.span_numbers(), [0, 1, 3, 4]);
    assert_eq!(fs::metadata(segment.with_extension("damaged")).unwrap().len() as usize, record - 12);
    assert!(segment.with_file_name("00000000000000aa.damaged").exists());
    rig.stop().await;
    let rig = Rig::start(&durable(folder.path(), backend.address, "")).await;
    rig.traces().await.export(spans([60])).await.unwrap();
    all_arrive(&backend, [60]).await;
    assert_eq!(backend.span_numbers(), [0, 1, 3, 4, 60], "what was settled is not sent again");
    rig.stop().await;
}

#[tokio::test]
async fn a_shutdown_with_a_hung_backend_leaves_the_rest_in_the_queue() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Backend::start().await;
    backend.always(Some(Act::Hang));
    let rig = Rig::start(&durable(folder.path(), backend.address, "")).await;
    rig.traces().await.export(spans(0..500)).await.unwrap();
    rig.stop_within(Duration::from_millis(200)).await;
    backend.always(None);
    let rig = Rig::start(&durable(folder.path(), backend.address, "")).await;
    all_arrive(&backend, 0..500).await;
    rig.stop().await;
    assert_eq!(backend.span_numbers().len(), 500, "once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_retryably_keeps_what_it_has_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    let nobody = free_address();
    fs::write(&config, durable(&folder.path().join("queue"), nobody, "")).unwrap();
    // A quota of the kernel's: no file may grow beyond 128 blocks, and the write that tries fails as on a full disk.
    let process = Process::start_with(&config, "trap '' XFSZ; ulimit -f 128; exec \"$0\" \"$@\"").await;
    let mut client = process.client().await;
    let mut acknowledged = 0;
    let refusal = loop {
        match client.export(spans(acknowledged..acknowledged + 20)).await {
            Ok(_) => acknowledged += 20,
            Err(status) => break status,
        }
        assert!(acknowledged < 10_000, "the quota holds");
    };
    assert_eq!(refusal.code(), Code::Unavailable, "{refusal:?}");
    assert!(refusal.message().contains("cannot be written"), "{refusal:?}");
    assert!(acknowledged > 20);
    let backend = Backend::start_at(nobody).await;
    all_arrive(&backend, 0..acknowledged).await;
    eventually("room again", async || client.clone().export(spans([acknowledged])).await.ok()).await;
    all_arrive(&backend, 0..=acknowledged).await;
}

#[tokio::test]
async fn files_of_a_queue_that_keeps_up_stay_small() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Backend::start().await;
    let rig = Rig::start(&durable(folder.path(), backend.address, "")).await;
    let mut client = rig.traces().await;
    let mut sent = 0_u64;
    for _ in 0..60 {
        client.export(spans(sent..sent + 1000)).await.unwrap();
        sent += 1000;
    }
    all_arrive(&backend, 0..sent).await;
    let folder = folder.path().join("exporter_otlp_traces");
    eventually("settled files deleted", async || {
        let sizes =
            fs::read_dir(&folder).unwrap().map(|file| file.unwrap().metadata().map_or(0, |data| data.len()));
        (sizes.sum::<u64>() < 2 << 20).then_some(())
    })
    .await;
    rig.stop().await;
}

#[tokio::test]
async fn two_collectors_cannot_share_a_queue() {
    let folder = tempfile::tempdir().unwrap();
    let config = durable(folder.path(), free_address(), "");
    let rig = Rig::start(&config).await;
    let second = Collector::start(Config::parse(&config, &|_| None).unwrap()).await;
    let error = second.err().expect("refused").to_string();
    assert!(error.contains("exporter_otlp_"), "{error}");
    rig.stop_within(Duration::ZERO).await;
}

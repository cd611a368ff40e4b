//! `waybill up`: what it refuses before anything starts, what it keeps alive, what it leaves behind.

use std::net::TcpListener;

use rustix::process::{Pid, Signal, test_kill_process};

use crate::harness::{Fleet, eventually, run, waybill};

fn lives(pid: i32) -> bool {
    test_kill_process(Pid::from_raw(pid).unwrap()).is_ok()
}

#[tokio::test]
async fn a_taken_port_is_one_line_that_names_port_part_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    // Some port of the default set is taken for certain once we hold one of them, or somebody else does.
    let held = TcpListener::bind("127.0.0.1:8087");
    let ended = run({
        let mut command = waybill(["up", "--only", "notification", "--data"]);
        command.arg(folder.path());
        command
    })
    .await;
    drop(held);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    for word in ["8087", "notification", "--ports auto"] {
        assert!(ended.stderr.contains(word), "{word} is missing in {}", ended.stderr);
    }
    assert!(!folder.path().join("endpoints.json").exists(), "nothing was started");
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_written_is_one_line_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let mut command = waybill(["up", "--ports", "auto", "--data"]);
    command.arg(file.join("data"));
    let ended = run(command).await;
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("file/data") && ended.stderr.contains("--data"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_data_directory_in_use_is_refused() {
    let fleet = Fleet::with(&["--only", "partners"]).await;
    let mut command = waybill(["up", "--ports", "auto", "--only", "partners", "--data"]);
    command.arg(fleet.data());
    let ended = run(command).await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("in use by another waybill"), "{}", ended.stderr);
    assert!(fleet.pid("partners").is_some_and(lives), "the first one goes on");
}

#[tokio::test]
async fn a_bad_setting_is_named_with_its_part_and_variable_before_anything_starts() {
    let settings = [
        ("partners:WAYBILL_RIDE=soon", "WAYBILL_RIDE"),
        ("partners:WAYBILL_PARTNERS_SCHEDULE=rules: [{}]", "WAYBILL_PARTNERS_SCHEDULE"),
        ("delivery-assignment:WAYBILL_COURIER_DEADLINE=45", "WAYBILL_COURIER_DEADLINE"),
        ("payment-gateway:CARD_NETWORK_URL=ftp://x", "CARD_NETWORK_URL"),
        ("auth:OTEL_BSP_MAX_QUEUE_SIZE=many", "OTEL_BSP_MAX_QUEUE_SIZE"),
        ("tracestore:WAYBILL_TRACESTORE_RETENTION=always", "WAYBILL_TRACESTORE_RETENTION"),
        ("collector:WAYBILL_COLLECTOR_GRPC=nowhere", "endpoint"),
    ];
    for (setting, variable) in settings {
        let folder = tempfile::tempdir().unwrap();
        let mut command = waybill(["up", "--ports", "auto", "--env", setting, "--data"]);
        command.arg(folder.path());
        let ended = run(command).await;
        assert_eq!(ended.status.code(), Some(2), "{setting}: {}", ended.stderr);
        let part = setting.split(':').next().unwrap();
        assert!(ended.stderr.contains(variable) && ended.stderr.contains(part), "{}", ended.stderr);
        assert!(!folder.path().join("endpoints.json").exists(), "nothing was started");
    }
}

#[tokio::test]
async fn an_unknown_part_and_an_unknown_flag_are_usage_errors() {
    for arguments in [vec!["up", "--only", "pizza"], vec!["up", "--frobnicate"], vec!["service", "pizza"]] {
        let ended = run(waybill(&arguments)).await;
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_part_that_is_killed_is_started_again_on_its_port_and_the_file_follows() {
    let fleet = Fleet::with(&["--only", "partners"]).await;
    let (url, first) = (fleet.url("partners", "http"), fleet.pid("partners").unwrap());
    assert!(fleet.kill("partners"));
    let second = eventually("another process", || async {
        fleet.pid("partners").filter(|pid| *pid != first).ok_or("still the first")
    })
    .await;
    fleet.ready().await;
    assert!(lives(second));
    assert_eq!(fleet.url("partners", "http"), url);
    assert_eq!(fleet.endpoints().unwrap()["partners"]["restarts"], 1);
    let said = fleet.said();
    assert_eq!(
        said.lines().filter(|l| l.contains("partners") && l.contains("starting it again")).count(),
        1,
        "{said}"
    );
}

#[tokio::test]
async fn ctrl_c_stops_every_process_and_removes_the_file() {
    let fleet = Fleet::start().await;
    let all = fleet.endpoints().unwrap();
    let pids: Vec<_> = all.as_object().unwrap().keys().filter_map(|name| fleet.pid(name)).collect();
    assert_eq!(pids.len(), 11);
    let file = fleet.data().join("endpoints.json");
    assert!(file.exists());
    let status = fleet.stop().await;
    assert!(status.success(), "{status}");
    assert!(!file.exists());
    assert!(pids.into_iter().all(|pid| !lives(pid)), "no process is left");
}

#[tokio::test]
async fn the_children_of_a_killed_supervisor_stop_by_themselves() {
    let fleet = Fleet::with(&["--only", "partners,tracestore"]).await;
    let pids: Vec<_> = ["partners", "tracestore"].iter().filter_map(|name| fleet.pid(name)).collect();
    assert_eq!(pids.len(), 2);
    fleet.signal(Signal::KILL);
    eventually("orphans end", || async {
        if pids.iter().any(|pid| lives(*pid) && !is_zombie(*pid)) { Err("one lives") } else { Ok(()) }
    })
    .await;
}

#[tokio::test]
async fn the_health_command_tells_ready_from_absent() {
    let fleet = Fleet::with(&["--only", "partners"]).await;
    let url = format!("{}/readyz", fleet.url("partners", "http"));
    assert_eq!(run(waybill(["health", &url])).await.status.code(), Some(0));
    drop(fleet);
    let ended = run(waybill(["health", &url])).await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains(&url), "{}", ended.stderr);
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_failure() {
    let mut command = waybill(["--help"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command.stdout(writer);
    let mut child = command.spawn().unwrap();
    let status = eventually("it ends", || {
        let status = child.try_wait().unwrap();
        async move { status.ok_or("still running") }
    })
    .await;
    assert_eq!(status.code(), Some(0));
}

/// Ended, but not yet collected by whoever inherited it.
fn is_zombie(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

//! Incidents, replayed small and fast, and graded: `make incident` and `.ci/incidents` run them at length.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Ended, PLACES, run, waybill};

async fn replay(folder: &Path, name: &str, seed: &str, orders: &str) -> Ended {
    let _place = PLACES.acquire().await.unwrap();
    let mut command = waybill(["incident", name, "--seed", seed, "--time-scale", "0.05", "--orders", orders]);
    command.arg("--out").arg(folder);
    run(command).await
}

async fn graded(folder: &Path, demands: &[&str]) -> (Ended, Value) {
    let mut command = waybill(["grade", "--json"]);
    command.arg(folder.join("incident.json")).args(demands);
    let ended = run(command).await;
    let figures = serde_json::from_str(&ended.stdout).unwrap_or_default();
    (ended, figures)
}

/// Replays and grades; returns the figures of the run.
async fn meets(name: &str, seed: &str, orders: &str, demands: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("run");
    let replayed = replay(&folder, name, seed, orders).await;
    assert_eq!(replayed.status.code(), Some(0), "{}{}", replayed.stdout, replayed.stderr);
    assert!(!folder.join("data").exists(), "databases and logs are cleared away");
    let (ended, figures) = graded(&folder, demands).await;
    assert_eq!(ended.status.code(), Some(0), "{}\n{}", ended.stderr, ended.stdout);
    figures["runs"][0].clone()
}

const ALL_RIGHT: [&str; 6] = ["--min-recall", "1.0", "--max-false-alarms", "0", "--min-stop-point", "1.0"];

#[tokio::test]
async fn on_new_years_eve_every_lost_order_is_found_at_its_step_and_no_other_is_called_lost() {
    let run = meets("new-years-eve", "3", "14", &ALL_RIGHT).await;
    assert!(run["lost"].as_u64().unwrap() >= 1, "an evening on which nothing is lost proves nothing: {run}");
    assert_eq!(run["traces_alone"]["orders"], 14);
}

#[tokio::test]
async fn every_order_that_a_partition_stops_is_found_and_no_other_is_called_lost() {
    let demands = ["--min-recall", "1.0", "--max-false-alarms", "0"];
    let run = meets("partition", "2", "12", &demands).await;
    assert!(run["lost"].as_u64().unwrap() >= 1, "{run}");
}

#[tokio::test]
async fn a_service_whose_spans_are_dropped_is_not_blamed_for_an_order() {
    meets("dropping-exporter", "2", "10", &["--max-false-alarms", "0"]).await;
}

#[tokio::test]
async fn a_grade_below_the_threshold_fails_and_says_what_fell_short() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    std::fs::create_dir(&run).unwrap();
    // A lost order of which no trace was recorded: it cannot be found.
    let order = serde_json::json!({
        "n": 1, "order_id": "7F3K-9QZD-XM42", "cart_id": "c", "trace_id": "t", "payment_reference": "p",
        "answer": "accepted", "outcome": "stopped", "end": null,
        "stop": { "step": "delivery-assignment", "phase": "failed", "cause": "courier_timeout" },
        "charged_minor": 20_000, "refunded_minor": 0, "customer_told": false, "telemetry": "whole",
    });
    let record = serde_json::json!({
        "version": 1, "incident": "made-up", "tells": "One order.", "seed": 1, "time_scale": 1.0, "resilience": false,
        "begun_ms": 0, "rest_ms": 1, "at_rest": true, "asked_ns": 2_000_000, "faults": [], "schedule": null,
        "orders": [order],
    });
    std::fs::write(run.join("incident.json"), record.to_string()).unwrap();
    std::fs::write(run.join("traces.jsonl"), "").unwrap();
    std::fs::write(run.join("witnesses.json"), r#"{"version":1,"heard":{},"orders":{}}"#).unwrap();
    let (ended, figures) = graded(&run, &["--min-recall", "1.0"]).await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("lost orders found: 0 of 1"), "{}", ended.stderr);
    assert_eq!(figures["runs"][0]["misses"][0]["truth"]["order_id"], "7F3K-9QZD-XM42");
    let (ended, _) = graded(&run, &["--max-false-alarms", "0"]).await;
    assert_eq!(ended.status.code(), Some(0), "not found is no false alarm");
}

#[tokio::test]
async fn an_unknown_incident_and_a_folder_in_use_are_refused_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let unknown = replay(&folder.path().join("x"), "alien-landing", "1", "5").await;
    assert_eq!(unknown.status.code(), Some(2));
    assert!(unknown.stderr.contains("new-years-eve"), "{}", unknown.stderr);
    std::fs::write(folder.path().join("mine"), "").unwrap();
    let used = replay(folder.path(), "new-years-eve", "1", "5").await;
    assert_eq!(used.status.code(), Some(2));
    assert!(used.stderr.contains("not empty"), "{}", used.stderr);
}

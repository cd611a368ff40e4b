//! `waybill load` against a running fleet.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::{Fleet, eventually, http, run, shared, waybill};

#[tokio::test]
async fn every_order_of_a_run_is_placed_and_followed_to_its_end() {
    let fleet = shared().await;
    let door = fleet.url("mobile-app", "http");
    let ended =
        run(waybill(["load", "--orders", "20", "--rate", "20", "--seed", "3", "--json", "--url", &door]))
            .await;
    assert_eq!(ended.status.code(), Some(0), "{}{}", ended.stdout, ended.stderr);
    let report: Value =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {}", ended.stdout));
    assert_eq!((report["placed"].as_u64(), report["delivered"].as_u64()), (Some(20), Some(20)), "{report}");
    assert_eq!(report["never_seen_again"], 0);
    assert!(
        report["until_the_end"]["p50_ms"].as_u64() >= report["until_taken"]["p50_ms"].as_u64(),
        "{report}"
    );
}

#[tokio::test]
async fn the_runs_own_spans_open_the_orders_traces_and_mark_them_synthetic_in_every_service() {
    let fleet = shared().await;
    let door = fleet.url("mobile-app", "http");
    let mut command = waybill(["load", "--orders", "3", "--rate", "20", "--json", "--url", &door]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", fleet.url("collector", "otlp-http"));
    command.env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    let ended = run(command).await;
    assert_eq!(ended.status.code(), Some(0), "{}{}", ended.stdout, ended.stderr);
    let url = format!(
        "{}/api/traces?service=waybill-load&operation=load.order&limit=10",
        fleet.url("tracestore", "http")
    );
    eventually("three whole traces of the run", async || {
        let body = http()
            .get(&url)
            .send()
            .await
            .map_err(|e| e.to_string())?
            .bytes()
            .await
            .map_err(|e| e.to_string())?;
        let traces = journey::adapters::jaeger::parse(&body).map_err(|e| e.to_string())?;
        let orders: Vec<_> =
            traces.iter().filter(|t| t.spans.iter().any(|s| s.name == "process tracking.started")).collect();
        if orders.len() != 3 {
            return Err(format!("{} of them are there", orders.len()));
        }
        for trace in orders {
            let roots: BTreeSet<_> =
                trace.spans.iter().filter(|s| s.parent.is_none()).map(|s| s.service.as_str()).collect();
            let unmarked = trace
                .spans
                .iter()
                .find(|s| s.attributes.get("user_agent.synthetic.type").map(String::as_str) != Some("test"));
            if roots != BTreeSet::from(["waybill-load"]) || unmarked.is_some() {
                return Err(format!("roots {roots:?}, not marked: {unmarked:?}"));
            }
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_order_that_is_never_seen_again_makes_the_run_fail_and_is_named() {
    let naive = [
        "--env",
        "partners:WAYBILL_PARTNERS_SCHEDULE=rules: [{partner: courier-fleet, do: hang}]",
        "--env",
        "delivery-assignment:WAYBILL_RESILIENCE=off",
        "--env",
        "delivery-assignment:WAYBILL_COURIER_DEADLINE=500ms",
    ];
    let fleet = Fleet::with(&naive).await;
    let door = fleet.url("mobile-app", "http");
    let ended = run(waybill(["load", "--orders", "2", "--patience", "5s", "--url", &door])).await;
    assert_eq!(ended.status.code(), Some(1), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(
        ended.stdout.lines().filter(|l| l.starts_with("never seen again: ")).count(),
        2,
        "{}",
        ended.stdout
    );
}

#[tokio::test]
async fn a_front_door_that_is_not_there_is_said_plainly() {
    let ended = run(waybill(["load", "--orders", "1", "--url", "http://127.0.0.1:9"])).await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("127.0.0.1:9") && ended.stderr.contains("waybill up"), "{}", ended.stderr);
}

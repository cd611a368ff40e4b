//! OpenSearch refuses to write: an index that is read-only. What Jaeger then does with spans that it has acknowledged depends
//! on the reason (docs/conformance.md). Orders never notice.

use std::time::Duration;

use serde_json::{Value, json};

use super::{server::Peers, stage::Stage};
use crate::{
    customer::{Customer, Ordered, SUSHI},
    harness::{eventually, http},
    where_is::objects,
};

/// A courier takes his time to answer, so that spans can be cut off in the middle of an order.
const SLOW_COURIER: &str = "partners:WAYBILL_PARTNERS_SCHEDULE={\"rules\":[{\"partner\":\"courier-fleet\",\"do\":\"latency=1500ms\"}]}";
const PATIENT: &str = "delivery-assignment:WAYBILL_COURIER_DEADLINE=20s";

#[tokio::test]
async fn a_read_only_index_costs_spans_or_delays_them_and_never_an_order() {
    let Some(peers) = Peers::find("a read-only index") else { return };
    let stage = Stage::start("waybill-refusal", &peers, &["--env", SLOW_COURIER, "--env", PATIENT]).await;
    let customer = Customer::of(&stage.fleet).await;
    let before = stage.delivered(&customer).await;
    stage.whole(&before).await;
    let index = stage.index().await;

    // Writes are forbidden (403) in the middle of one order and for the whole of another: Jaeger gives those spans up.
    let half = begun(&stage, &customer).await;
    stage.search.set(&index, json!({ "index.blocks.write": true })).await;
    customer.until(&half.id, "delivered").await;
    let unseen = stage.delivered(&customer).await;
    acknowledged(&stage).await;
    stage.search.set(&index, json!({ "index.blocks.write": null })).await;
    let after = stage.delivered(&customer).await;
    stage.whole(&after).await;
    gone_for_good(&stage, &half, &unseen).await;

    // The disk is full (429): Jaeger keeps the spans and tries again.
    stage.search.set(&index, json!({ "index.blocks.read_only_allow_delete": true })).await;
    let late = stage.delivered(&customer).await;
    acknowledged(&stage).await;
    stage.only_in_the_books(&late).await;
    stage.search.set(&index, json!({ "index.blocks.read_only_allow_delete": null })).await;
    stage.whole(&late).await;
    let last = stage.delivered(&customer).await;
    stage.whole(&last).await;

    stage.each_paid_once(&[&before, &half, &unseen, &after, &late, &last]).await;
    stage.nothing_is_lost().await;
    let told = stage.losses().await;
    let books = &told["reconciliation"]["books"];
    assert_eq!((&books["delivered"]["count"], &books["paid"]["count"]), (&json!(6), &json!(6)), "{told:#}");
}

/// An order whose courier is being asked, as Jaeger shows already.
async fn begun(stage: &Stage, customer: &Customer) -> Ordered {
    let order = customer.order(SUSHI).await;
    let url = format!("{}/api/traces/{}", stage.jaeger.query, order.trace_id);
    eventually("Jaeger shows that a courier is asked", || async {
        let reply = http().get(&url).send().await.map_err(|e| e.to_string())?;
        let body = reply.bytes().await.map_err(|e| e.to_string())?;
        let trace: Value = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
        let spans = trace["data"][0]["spans"].as_array().ok_or("not there")?;
        let receipt = spans.iter().any(|s| s["operationName"] == "accept delivery-assignment");
        if receipt { Ok(()) } else { Err(format!("{} spans", spans.len())) }
    })
    .await;
    order
}

/// That the collector holds nothing back for Jaeger, and gave nothing up: Jaeger acknowledged all spans.
async fn acknowledged(stage: &Stage) {
    let (mut sent, mut quiet) = (0.0, 0);
    eventually("Jaeger has acknowledged all spans", async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(stage.counter("otelcol_exporter_send_failed_spans").await, Ok(0.0));
        let queue = stage.counter("otelcol_exporter_queue_size").await?;
        let now = stage.counter("otelcol_exporter_sent_spans").await?;
        // Spans leave the services every 500 ms.
        quiet = if queue == 0.0 && now.total_cmp(&sent).is_eq() { quiet + 1 } else { 0 };
        sent = now;
        if quiet >= 10 { Ok(()) } else { Err(format!("{queue} in the queue, {now} sent")) }
    })
    .await;
}

/// What was refused for good does not come back, and is not held against the orders: the books decide.
async fn gone_for_good(stage: &Stage, half: &Ordered, unseen: &Ordered) {
    stage.only_in_the_books(unseen).await;
    let told = stage.ask(&half.id, &[]).await;
    let verdict = &objects(&told)[0];
    assert_eq!(told.status.code(), Some(0), "{verdict:#}");
    assert_eq!(
        (&verdict["outcome"], &verdict["end"]),
        (&json!("arrived"), &json!("delivered")),
        "{verdict:#}"
    );
    let missing = verdict["stamps"].as_array().unwrap().iter().any(|s| s["state"] == "missing");
    assert!(missing, "what is missing is telemetry: {verdict:#}");
    stage.nothing_is_lost().await;
}

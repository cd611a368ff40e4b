//! OpenSearch is gone, silent or red, or Jaeger answers 500: orders go through and are paid once, questions end with one
//! clear line, and afterwards everything is found again without a restart.

use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering},
};

use axum::{
    Router,
    body::Bytes,
    http::{StatusCode, header},
    routing::post,
};
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpListener;

use super::{server::Peers, stage::Stage};
use crate::{
    customer::Customer,
    harness::{eventually, http},
};

#[tokio::test]
async fn while_opensearch_is_gone_silent_or_red_orders_go_through_and_their_spans_come_later() {
    let Some(peers) = Peers::find("OpenSearch gone, silent, red") else { return };
    let stage = Stage::start("waybill-outage", &peers, &[]).await;
    let customer = Customer::of(&stage.fleet).await;
    let mut orders = vec![stage.delivered(&customer).await];
    stage.whole(&orders[0]).await;

    stage.line.hang_up();
    orders.push(stage.delivered(&customer).await);
    stage.cannot_be_asked(&orders[1].id, "500").await;
    stage.line.mend();
    orders.push(stage.delivered(&customer).await);

    stage.whole(&orders[2]).await;
    stage.whole(&orders[1]).await;
    stage.line.cut();
    orders.push(stage.delivered(&customer).await);
    stage.cannot_be_asked(&orders[3].id, "no whole answer within 2s").await;
    stage.line.mend();
    orders.push(stage.delivered(&customer).await);
    stage.whole(&orders[4]).await;
    stage.whole(&orders[3]).await;

    // A new index may be on no node: it has no primary shard, and the cluster is red.
    let (index, template) = (stage.index().await, "/_template/waybill-outage-red");
    let nowhere = json!({
        "index_patterns": ["waybill-outage-jaeger-span-*"], "order": 1000,
        "settings": { "index.routing.allocation.require._name": "nobody" },
    });
    stage.search.ask(Method::PUT, template, Some(&nowhere)).await;
    stage.search.ask(Method::DELETE, &format!("/{index}"), None).await;
    orders.push(stage.delivered(&customer).await);
    eventually("OpenSearch is red", || async {
        let health = stage.search.ask(Method::GET, "/_cluster/health", None).await;
        if health["status"] == "red" { Ok(()) } else { Err(health.to_string()) }
    })
    .await;
    stage.cannot_be_asked(&orders[5].id, "all shards failed").await;
    stage.search.ask(Method::DELETE, template, None).await;
    stage.search.set(&index, json!({ "index.routing.allocation.require._name": null })).await;
    orders.push(stage.delivered(&customer).await);
    stage.whole(&orders[6]).await;
    stage.whole(&orders[5]).await;

    stage.each_paid_once(&orders.iter().collect::<Vec<_>>()).await;
    stage.nothing_is_lost().await;
}

#[tokio::test]
async fn what_a_jaeger_that_answers_500_refuses_is_dropped_and_counted_and_with_503_it_comes_later() {
    let Some(peers) = Peers::find("a Jaeger that answers 500") else { return };
    let mood = Arc::new(AtomicU16::new(200));
    let front = {
        let mood = mood.clone();
        async move |jaeger: &super::server::Jaeger| moody(jaeger.otlp_http.clone(), mood).await
    };
    let stage = Stage::through("waybill-500", &peers, "otlp_http/jaeger", front, &[]).await;
    let customer = Customer::of(&stage.fleet).await;
    let first = stage.delivered(&customer).await;
    stage.whole(&first).await;

    // OTLP 1.11, "Failures": 500 is not to be tried again, 503 is.
    mood.store(500, Ordering::SeqCst);
    let refused = stage.delivered(&customer).await;
    eventually("the collector counts what was refused", || async {
        let failed = stage.counter("otelcol_exporter_send_failed_spans").await?;
        let queue = stage.counter("otelcol_exporter_queue_size").await?;
        if failed >= 40.0 && queue == 0.0 { Ok(()) } else { Err(format!("{failed}, {queue} wait")) }
    })
    .await;
    mood.store(503, Ordering::SeqCst);
    let late = stage.delivered(&customer).await;
    stage.only_in_the_books(&late).await;
    mood.store(200, Ordering::SeqCst);
    let last = stage.delivered(&customer).await;
    stage.whole(&last).await;
    stage.whole(&late).await;
    stage.each_paid_once(&[&first, &refused, &late, &last]).await;
    stage.nothing_is_lost().await;
}

/// An OTLP/HTTP receiver that passes on to `jaeger` as long as its mood is 200, and else answers with its mood.
async fn moody(jaeger: String, mood: Arc<AtomicU16>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let take = move |body: Bytes| async move {
        let mood = StatusCode::from_u16(mood.load(Ordering::SeqCst)).unwrap();
        if mood != StatusCode::OK {
            return mood;
        }
        let request = http().post(format!("{jaeger}/v1/traces")).body(body);
        let reply = request.header(header::CONTENT_TYPE, "application/x-protobuf").send().await;
        reply.map_or(StatusCode::BAD_GATEWAY, |reply| reply.status())
    };
    let router = Router::new().route("/v1/traces", post(take));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

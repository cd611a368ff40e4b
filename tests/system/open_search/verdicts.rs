//! Orders in Jaeger on OpenSearch: found by their id and by error, judged as on the embedded store.

use reqwest::Method;

use super::{kibana, server::Peers, stage::Stage};
use crate::{
    customer::{Customer, Ordered},
    harness::eventually,
    where_is::real_jaeger::{ENDS, NAIVE, same_for_every_id, same_losses, settled},
};

#[tokio::test]
async fn orders_are_found_by_id_and_by_error_and_judged_as_on_the_embedded_store() {
    let Some(peers) = Peers::find("orders in Jaeger on OpenSearch") else { return };
    let stage = Stage::start("waybill", &peers, &NAIVE).await;
    let (customer, store) = (Customer::of(&stage.fleet).await, stage.fleet.url("tracestore", "http"));
    let query = &stage.jaeger.query;
    let mut orders = Vec::new();
    for (dish, outcome) in ENDS {
        let order = customer.order(dish).await;
        settled(&store, &order.id, outcome).await;
        same_for_every_id(&store, query, &order).await;
        orders.push(order);
    }
    same_losses(&store, query).await;

    let [delivered, dropped] = &orders[..] else { unreachable!() };
    for order in &orders {
        found(&stage, "order.id", &order.id, &[order]).await;
    }
    found(&stage, "error", "true", &[dropped]).await;
    let told = stage.losses().await;
    assert_eq!(told["reconciliation"]["differences_total"], 0, "{told:#}");
    assert_eq!(told["reconciliation"]["traces"], told["reconciliation"]["books"], "{told:#}");
    assert_eq!(told["stopped"][0]["examples"][0]["order"], dropped.id, "{told:#}");
    assert_ne!(delivered.trace_id, dropped.trace_id);
    the_data_view_of_spans_fits(&stage).await;
}

/// That Jaeger finds exactly `orders` by the tag, at the service where the pizza stops.
async fn found(stage: &Stage, key: &str, value: &str, orders: &[&Ordered]) {
    let mut want: Vec<_> = orders.iter().map(|o| o.trace_id.clone()).collect();
    want.sort();
    eventually(&format!("{key}={value} finds {want:?}"), || async {
        let mut found = stage.jaeger.tagged("delivery-assignment", key, value).await?;
        found.sort();
        if found == want { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}

/// Kibana's data view of spans: its pattern leads to Jaeger's index, whose documents hold the fields that it names.
async fn the_data_view_of_spans_fits(stage: &Stage) {
    let view = kibana::DataView::read("waybill-spans");
    let path = format!("/{}/_field_caps?fields=*", view.pattern);
    let answer = stage.search.ask(Method::GET, &path, None).await;
    assert!(answer["indices"].as_array().unwrap().contains(&stage.index().await.into()), "{answer}");
    for field in view.fields() {
        assert!(answer["fields"][&field].is_object(), "Jaeger's documents have no {field}");
    }
}

//! One order is one trace, whoever calls and whatever they send along.

use opentelemetry_proto::tonic::trace::v1::Span;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    receiver::{hex, named, text, trace, trace_with},
    street::{Street, eventually, read},
};

const ROUTE: [&str; 6] = [
    "POST /carts",
    "POST /orders",
    "auth.v1.Auth/Verify",
    "GET /restaurants/{id}/availability",
    "POST /payments",
    "orders.v1.RestaurantOrders/Place",
];

/// Server spans (kind 2) of a name.
fn servers<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|s| s.name == name && s.kind == 2).collect()
}

async fn route(trace_id: &str) -> Vec<Span> {
    eventually("all server spans arrive", async || {
        let spans = trace(trace_id);
        ROUTE.iter().all(|name| !servers(&spans, name).is_empty()).then_some(spans)
    })
    .await
}

fn trace_id(value: &Value) -> String {
    value["trace_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn cart_and_order_are_one_trace_with_one_root_and_every_span_bears_the_orders_id() {
    let street = Street::open().await;
    let ada = street.customer("Ada").await;
    let cart = ada.cart().await;
    let (_, order) = ada.order(&cart, "tok_visa").await;
    assert_eq!(trace_id(&cart), trace_id(&order));
    let spans = route(&trace_id(&order)).await;
    let roots: Vec<_> =
        spans.iter().filter(|s| s.parent_span_id.is_empty()).map(|s| s.name.as_str()).collect();
    assert_eq!(roots, ["POST /carts"]);
    let of = |name: &str| servers(&spans, name)[0];
    assert_eq!(of("POST /orders").parent_span_id, of("POST /carts").span_id);
    for span in &spans {
        assert_eq!(
            text(&span.attributes, "order.id").as_deref(),
            order["order_id"].as_str(),
            "{}",
            span.name
        );
        let parent = spans.iter().any(|s| s.span_id == span.parent_span_id);
        assert!(parent || span.parent_span_id.is_empty(), "{} hangs in the air", span.name);
    }
    for name in &ROUTE[2..] {
        let client = spans.iter().find(|s| s.span_id == of(name).parent_span_id).unwrap();
        assert_eq!((client.kind, &client.parent_span_id), (3, &of("POST /orders").span_id), "{name}");
    }
    let receipt = named(&spans, "accept mobile-app");
    assert_eq!(receipt.parent_span_id, of("POST /carts").span_id);
    assert_eq!(text(&receipt.attributes, "order.step").as_deref(), Some("mobile-app"));
}

#[tokio::test]
async fn a_caller_with_the_carts_trace_is_the_parent() {
    let street = Street::open().await;
    let ada = street.customer("Ada").await;
    let cart = ada.cart().await;
    let caller = format!("00-{}-00000000000000aa-01", trace_id(&cart));
    let reply = ada.ordering(&cart, "tok_visa").header("traceparent", caller).send().await;
    let (_, order) = read(reply).await;
    let spans = route(&trace_id(&order)).await;
    let server = servers(&spans, "POST /orders")[0];
    assert_eq!(hex(&server.parent_span_id), "00000000000000aa");
    assert!(server.links.is_empty());
}

#[tokio::test]
async fn a_caller_with_another_trace_is_a_link_and_its_baggage_stays_outside() {
    let street = Street::open().await;
    let ada = street.customer("Ada").await;
    let cart = ada.cart().await;
    let request = ada
        .ordering(&cart, "tok_visa")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-00000000000000aa-01")
        .header("baggage", "order.id=forged,tenant=acme,synthetic=bot");
    let reply = request.send().await.unwrap();
    assert_eq!(reply.headers()["x-trace-id"].to_str().unwrap(), trace_id(&cart));
    assert!(reply.headers().get("baggage").is_none());
    let spans = route(&trace_id(&cart)).await;
    let server = servers(&spans, "POST /orders")[0];
    assert_eq!(server.parent_span_id, servers(&spans, "POST /carts")[0].span_id);
    assert_eq!(hex(&server.links[0].trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert!(trace("0af7651916cd43dd8448eb211c80319c").is_empty());
    for span in &spans {
        assert_eq!(text(&span.attributes, "order.id").as_deref(), cart["order_id"].as_str(), "{}", span.name);
        assert_eq!(text(&span.attributes, "user_agent.synthetic.type"), None, "{}", span.name);
    }
}

#[tokio::test]
async fn traffic_marked_as_synthetic_is_marked_on_every_span() {
    let street = Street::open().await;
    let ada = street.customer("Ada").await;
    let body = json!({"restaurant_id": "sakura", "items": [{"sku": "sakura/miso", "quantity": 1}]});
    let marked = |request: reqwest::RequestBuilder| request.header("baggage", "synthetic=test").send();
    let (_, cart) = read(marked(ada.request(Method::POST, "/carts").json(&body)).await).await;
    let (status, _) = read(marked(ada.ordering(&cart, "tok_visa")).await).await;
    assert_eq!(status, StatusCode::CREATED);
    for span in route(&trace_id(&cart)).await {
        assert_eq!(
            text(&span.attributes, "user_agent.synthetic.type").as_deref(),
            Some("test"),
            "{}",
            span.name
        );
    }
}

#[tokio::test]
async fn a_look_at_an_order_is_a_trace_of_its_own_linked_to_the_orders() {
    let street = Street::open().await;
    let ada = street.customer("Ada").await;
    let (_, order) = ada.order(&ada.cart().await, "tok_visa").await;
    let reply = ada
        .request(Method::GET, &format!("/orders/{}", order["order_id"].as_str().unwrap()))
        .send()
        .await
        .unwrap();
    let own = reply.headers()["x-trace-id"].to_str().unwrap().to_owned();
    assert_ne!(own, trace_id(&order));
    let spans = trace_with(&own, &["GET /orders/{id}", "orders.v1.RestaurantOrders/Get"]).await;
    let look = named(&spans, "GET /orders/{id}");
    assert_eq!(hex(&look.links[0].trace_id), trace_id(&order));
    let of_order = route(&trace_id(&order)).await;
    assert!(of_order.iter().all(|s| !s.name.contains("Get")));
}

#[tokio::test]
async fn a_refused_order_says_why_in_the_orders_trace() {
    let street = Street::open().await;
    let ada = street.customer("Ada").await;
    let cart = ada.cart().await;
    let reply = ada.ordering(&cart, "tok_declined").send().await;
    // `read` has compared the document's trace id with the header's.
    let (status, problem) = read(reply).await;
    assert_eq!((status, trace_id(&problem)), (StatusCode::PAYMENT_REQUIRED, trace_id(&cart)));
}

#[tokio::test]
async fn a_restart_goes_on_in_the_orders_trace_and_partners_get_no_baggage() {
    let mut street = Street::with("rules:\n- {partner: card-network, times: 1, do: withhold}", &[]).await;
    let ada = street.customer("Ada").await;
    let cart = ada.cart().await;
    let asking = tokio::spawn(ada.ordering(&cart, "tok_visa").send());
    eventually("the card network has charged", async || (!street.charges().await.is_empty()).then_some(()))
        .await;
    street.kill_front().await;
    drop(asking.await);
    street.restart_front(&[]).await;
    ada.at(&street).becomes(&cart, "accepted").await;
    let spans = trace_with(&trace_id(&cart), &["order.resume", "orders.v1.RestaurantOrders/Place"]).await;
    let resume = named(&spans, "order.resume");
    let order = servers(&spans, "POST /orders");
    assert!(order.iter().all(|s| s.span_id == resume.parent_span_id));
    assert_eq!(text(&resume.attributes, "order.id").as_deref(), cart["order_id"].as_str());
    let logs: Value = reqwest::get(format!("{}/logs?trace_id={}", street.card_network, trace_id(&cart)))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert!(logs["entries"].as_array().unwrap().len() >= 2, "{logs}");
}

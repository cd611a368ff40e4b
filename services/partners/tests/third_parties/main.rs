//! The third parties as their callers see them: over HTTP, on a free port.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::{net::SocketAddr, path::Path, time::Duration};

use partners::{Options, Partners, Schedule};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};

mod misbehaving;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

struct Running {
    url: String,
    client: Client,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), partners::Error>>,
}

async fn start(data: &Path, schedule: &str, seed: u64) -> Running {
    let options = Options {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        data: data.to_owned(),
        schedule: Schedule::load(schedule).unwrap(),
        seed,
        log_limit: 1024,
        ..Options::default()
    };
    let partners = Partners::bind(options).await.unwrap();
    let url = format!("http://{}", partners.local_addr());
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(partners.serve(async move { drop(stopped.await) }));
    Running { url, client: Client::new(), stop, server }
}

impl Running {
    fn post(&self, path: &str, key: &str, body: &Value) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).header("idempotency-key", key).json(body)
    }

    fn charge(&self, order: &str, token: &str) -> RequestBuilder {
        let body = json!({"reference": order, "amount_minor": 20000, "currency": "USD", "card_token": token});
        self.post("/card-network/charges", order, &body)
            .header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01"))
    }

    async fn get(&self, path: &str) -> Value {
        let reply = self.client.get(format!("{}{path}", self.url)).send().await.unwrap();
        assert!(reply.status().is_success(), "{path}: {}", reply.status());
        reply.json().await.unwrap()
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.server.await.unwrap().unwrap();
    }
}

async fn read(reply: Result<Response, reqwest::Error>) -> (StatusCode, Value) {
    let reply = reply.unwrap();
    let status = reply.status();
    (status, reply.json().await.unwrap())
}

async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut check: impl FnMut() -> F) -> T {
    for _ in 0..500 {
        if let Some(found) = check().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn a_repeated_charge_is_one_charge_and_another_body_under_the_same_key_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let world = start(data.path(), "", 0).await;
    let (status, first) = read(world.charge("A", "tok_visa").send().await).await;
    assert_eq!((status, &first["status"]), (StatusCode::CREATED, &json!("charged")));
    let (status, again) = read(world.charge("A", "tok_visa").send().await).await;
    assert_eq!((status, &again["charge_id"]), (StatusCode::CREATED, &first["charge_id"]));
    let (status, other) = read(world.charge("A", "tok_amex").send().await).await;
    assert_eq!(
        (status, &other["error"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("idempotency_key_reused"))
    );
    assert_eq!(world.get("/card-network/charges").await["charges"].as_array().unwrap().len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn many_charges_with_one_key_at_once_are_one_charge() {
    let data = tempfile::tempdir().unwrap();
    let world = start(data.path(), "", 0).await;
    let calls = (0..20).map(|_| tokio::spawn(world.charge("A", "tok_visa").send()));
    let mut ids = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        ids.push(read(call.await.unwrap()).await.1["charge_id"].clone());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn cards_are_declined_with_a_code_and_nonsense_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let world = start(data.path(), "", 0).await;
    for (token, code) in [("tok_declined", "do_not_honor"), ("tok_insufficient", "insufficient_funds")] {
        let (status, body) = read(world.charge(token, token).send().await).await;
        assert_eq!((status, &body["status"]), (StatusCode::CREATED, &json!("declined")));
        assert_eq!(body["decline_code"], code);
    }
    let (status, body) = read(world.charge("B", "4111111111111111").send().await).await;
    assert_eq!((status, &body["error"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid_card_token")));
    let charge = |body: Value| world.post("/card-network/charges", "C", &body).send();
    for bad in [
        json!({"reference": "C", "amount_minor": 0, "currency": "USD", "card_token": "tok_visa"}),
        json!({"reference": "C", "amount_minor": 1, "currency": "usd", "card_token": "tok_visa"}),
        json!({"reference": "C", "amount_minor": "1", "currency": "USD", "card_token": "tok_visa"}),
        json!([]),
    ] {
        assert_eq!(read(charge(bad).await).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let no_key =
        world.client.post(format!("{}/card-network/charges", world.url)).json(&json!({})).send().await;
    assert_eq!(read(no_key).await.0, StatusCode::BAD_REQUEST);
    let no_json = world.client.post(format!("{}/card-network/charges", world.url)).body("{").send().await;
    assert_eq!(read(no_json).await.0, StatusCode::BAD_REQUEST);
    let big = world
        .client
        .post(format!("{}/card-network/charges", world.url))
        .body("x".repeat(70_000))
        .send()
        .await;
    assert_eq!(read(big).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(
        world.client.get(format!("{}/nowhere", world.url)).send().await.unwrap().status(),
        StatusCode::NOT_FOUND
    );
    world.stop().await;
}

#[tokio::test]
async fn a_refund_is_made_once_and_only_of_what_was_charged() {
    let data = tempfile::tempdir().unwrap();
    let world = start(data.path(), "", 0).await;
    let id = |body: &Value| body["charge_id"].as_str().unwrap().to_owned();
    let (_, charged) = read(world.charge("A", "tok_visa").send().await).await;
    let (_, declined) = read(world.charge("B", "tok_declined").send().await).await;
    let refund = |charge: String, key: &str| {
        world
            .post(
                &format!("/card-network/charges/{charge}/refunds"),
                key,
                &json!({"reason": "courier_timeout"}),
            )
            .send()
    };
    let (status, first) = read(refund(id(&charged), "r1").await).await;
    assert_eq!((status, &first["amount_minor"]), (StatusCode::CREATED, &json!(20000)));
    let (status, again) = read(refund(id(&charged), "r1").await).await;
    assert_eq!((status, &again["refund_id"]), (StatusCode::CREATED, &first["refund_id"]));
    assert_eq!(read(refund(id(&charged), "r2").await).await.1["error"], "already_refunded");
    assert_eq!(read(refund(id(&declined), "r3").await).await.1["error"], "not_refundable");
    assert_eq!(read(refund("ch_none".to_owned(), "r4").await).await.0, StatusCode::NOT_FOUND);
    let found = world.get("/card-network/charges?idempotency_key=A").await;
    assert_eq!(found["refunds"][0]["refund_id"], first["refund_id"]);
    world.stop().await;
}

#[tokio::test]
async fn the_audit_pages_over_every_charge_with_its_refunds() {
    let data = tempfile::tempdir().unwrap();
    let world = start(data.path(), "", 0).await;
    for n in 0..5 {
        world.charge(&format!("order-{n}"), "tok_visa").send().await.unwrap();
    }
    let (mut seen, mut since) = (Vec::new(), json!(0));
    loop {
        let page = world.get(&format!("/card-network/charges?limit=2&since={since}")).await;
        seen.extend(
            page["charges"].as_array().unwrap().iter().map(|c| c["reference"].as_str().unwrap().to_owned()),
        );
        match page.get("next") {
            Some(next) => since = next.clone(),
            None => break,
        }
    }
    assert_eq!(seen, (0..5).map(|n| format!("order-{n}")).collect::<Vec<_>>());
    world.stop().await;
}

#[tokio::test]
async fn each_third_party_logs_the_trace_id_that_it_understands() {
    let data = tempfile::tempdir().unwrap();
    let world = start(data.path(), "", 0).await;
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    world.charge("A", "tok_visa").send().await.unwrap();
    let assign = json!({"order_id": "A", "zone": "riverside"});
    world
        .post("/courier-fleet/assignments", "k1", &assign)
        .header("traceparent", &parent)
        .send()
        .await
        .unwrap();
    assert_eq!(world.get(&format!("/courier-fleet/logs?trace_id={TRACE}")).await["entries"], json!([]));
    world.post("/courier-fleet/assignments", "k2", &assign).header("x-trace-id", TRACE).send().await.unwrap();
    let all = world.get(&format!("/logs?trace_id={TRACE}")).await;
    let names: Vec<_> =
        all["entries"].as_array().unwrap().iter().map(|e| e["partner"].as_str().unwrap()).collect();
    assert_eq!(names, ["card-network", "courier-fleet"]);
    let entry = &all["entries"][0];
    assert_eq!(
        (&entry["order_id"], &entry["status"], &entry["outcome"]),
        (&json!("A"), &json!(201), &json!("charged"))
    );
    assert!(entry["reference"].as_str().unwrap().starts_with("ch_"));
    world.stop().await;
}

#[tokio::test]
async fn the_fleet_gives_an_order_one_courier_and_none_after_a_cancellation() {
    let data = tempfile::tempdir().unwrap();
    let world = start(data.path(), "", 0).await;
    let assign = |order: &str, key: &str| {
        world.post("/courier-fleet/assignments", key, &json!({"order_id": order, "zone": "riverside"})).send()
    };
    let (status, first) = read(assign("A", "k1").await).await;
    assert_eq!((status, &first["ride_ms"]), (StatusCode::CREATED, &json!(1500)));
    assert_eq!(read(assign("A", "k2").await).await.1["courier_id"], first["courier_id"]);
    let cancel =
        world.client.delete(format!("{}/courier-fleet/assignments/B", world.url)).send().await.unwrap();
    assert_eq!(cancel.status(), StatusCode::OK);
    let (status, late) = read(assign("B", "k3").await).await;
    assert_eq!((status, &late["error"]), (StatusCode::CONFLICT, &json!("cancelled")));
    world.stop().await;
}

#[tokio::test]
async fn tills_take_tickets_and_customers_are_told_once() {
    let data = tempfile::tempdir().unwrap();
    let world = start(data.path(), "", 0).await;
    let ticket =
        json!({"order_id": "A", "restaurant_id": "sakura", "items": [{"sku": "sakura/miso", "quantity": 1}]});
    let (status, body) = read(world.post("/restaurant-pos/tickets", "A", &ticket).send().await).await;
    assert_eq!((status, &body["accepted"]), (StatusCode::CREATED, &json!(true)));
    let busy = world.post("/restaurant-pos/tickets", "B", &ticket).header("x-misbehave", "refuse");
    assert_eq!(read(busy.send().await).await.1["reason"], "kitchen_busy");
    let push =
        json!({"customer_id": "c1", "order_id": "A", "title": "On its way", "body": "Your courier rides"});
    for _ in 0..2 {
        assert_eq!(
            read(world.post("/push-provider/pushes", "p1", &push).send().await).await.0,
            StatusCode::ACCEPTED
        );
    }
    let told = world.get("/push-provider/pushes?order_id=A").await;
    assert_eq!(told["pushes"].as_array().unwrap().len(), 1);
    assert_eq!(world.get("/push-provider/pushes?customer_id=c1").await, told);
    world.stop().await;
}

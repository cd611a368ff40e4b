//! The gateway against the real stand-in of the card network, both on free ports.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::{net::SocketAddr, path::Path, time::Duration};

use chassis::{Running, Settings};
use contracts::http::{Payment, PaymentStatus};
use partners::{Options, Partners, Schedule};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::sync::oneshot;

struct World {
    url: String,
    _stop: oneshot::Sender<()>,
}

async fn world(data: &Path, schedule: &str) -> World {
    let options = Options {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        data: data.join("partners"),
        schedule: Schedule::load(schedule).unwrap(),
        ..Options::default()
    };
    let partners = Partners::bind(options).await.unwrap();
    let url = format!("http://{}/card-network", partners.local_addr());
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(partners.serve(async move { drop(stopped.await) }));
    World { url, _stop: stop }
}

impl World {
    async fn charges(&self) -> Vec<Value> {
        let page: Value = reqwest::get(format!("{}/charges", self.url)).await.unwrap().json().await.unwrap();
        page["charges"].as_array().unwrap().clone()
    }
}

async fn gateway(data: &Path, card_network: &str) -> Running {
    let database = format!("sqlite://{}/payments.db", data.display());
    let pairs = [
        ("WAYBILL_LISTEN", "127.0.0.1:0"),
        ("DATABASE_URL", database.as_str()),
        ("CARD_NETWORK_URL", card_network),
        ("WAYBILL_CARD_TIMEOUT", "500ms"),
    ];
    chassis::start(payment_gateway::SERVICE, Settings::from_pairs(pairs)).await.unwrap()
}

fn body(order: &str, card: &str) -> Value {
    json!({"order_id": order, "amount_minor": 20000, "currency": "USD", "card_token": card})
}

async fn pay(gateway: &Running, order: &str, card: &str) -> (StatusCode, Value) {
    let request = Client::new().post(format!("{}/payments", gateway.url)).header("idempotency-key", order);
    read(request.json(&body(order, card)).send().await).await
}

async fn refund(gateway: &Running, payment: &str) -> (StatusCode, Value) {
    let request = Client::new().post(format!("{}/payments/{payment}/refunds", gateway.url));
    read(request.json(&json!({"reason": "courier_timeout"})).send().await).await
}

async fn read(reply: reqwest::Result<reqwest::Response>) -> (StatusCode, Value) {
    let reply = reply.unwrap();
    (reply.status(), reply.json().await.unwrap())
}

async fn of_order(gateway: &Running, order: &str) -> Payment {
    reqwest::get(format!("{}/payments?order_id={order}", gateway.url)).await.unwrap().json().await.unwrap()
}

async fn becomes(gateway: &Running, order: &str, status: PaymentStatus) -> Payment {
    for _ in 0..750 {
        let payment = of_order(gateway, order).await;
        if payment.status == status {
            return payment;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never {status:?}: {:?}", of_order(gateway, order).await);
}

async fn kinds(gateway: &Running, payment: &str) -> Vec<String> {
    let url = format!("{}/payments/{payment}/entries", gateway.url);
    let entries: Vec<Value> = reqwest::get(url).await.unwrap().json().await.unwrap();
    entries.iter().map(|e| e["kind"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_order_is_charged_once_however_often_it_is_asked() {
    let data = tempfile::tempdir().unwrap();
    let world = world(data.path(), "").await;
    let gateway = gateway(data.path(), &world.url).await;
    let (status, first) = pay(&gateway, "A", "tok_visa").await;
    assert_eq!((status, &first["status"]), (StatusCode::CREATED, &json!("charged")));
    let (status, again) = pay(&gateway, "A", "tok_visa").await;
    assert_eq!((status, &again), (StatusCode::CREATED, &first));
    let (status, problem) = pay(&gateway, "A", "tok_amex").await;
    assert_eq!(
        (status, &problem["type"]),
        (StatusCode::CONFLICT, &json!("urn:waybill:problem:idempotency-key-reused"))
    );
    assert_eq!(world.charges().await.len(), 1);
    assert_eq!(kinds(&gateway, first["payment_id"].as_str().unwrap()).await, ["asked", "charged"]);
    gateway.stop().await.unwrap();
}

#[tokio::test]
async fn twenty_at_once_are_one_charge() {
    let data = tempfile::tempdir().unwrap();
    let world = world(data.path(), "").await;
    let gateway = gateway(data.path(), &world.url).await;
    let all = futures::future::join_all((0..20).map(|_| pay(&gateway, "A", "tok_visa"))).await;
    assert!(all.iter().all(|(status, body)| *status == StatusCode::CREATED && body["status"] == "charged"));
    assert_eq!(world.charges().await.len(), 1);
    gateway.stop().await.unwrap();
}

#[tokio::test]
async fn a_declined_card_is_a_402_and_stays_one() {
    let data = tempfile::tempdir().unwrap();
    let world = world(data.path(), "").await;
    let gateway = gateway(data.path(), &world.url).await;
    for _ in 0..2 {
        let (status, problem) = pay(&gateway, "A", "tok_insufficient").await;
        assert_eq!(
            (status, &problem["decline_code"]),
            (StatusCode::PAYMENT_REQUIRED, &json!("insufficient_funds"))
        );
    }
    let (status, problem) = pay(&gateway, "B", "tok_nonsense").await;
    assert_eq!(
        (status, &problem["decline_code"]),
        (StatusCode::PAYMENT_REQUIRED, &json!("invalid_card_token"))
    );
    let payment = of_order(&gateway, "A").await;
    let (status, problem) = refund(&gateway, &payment.payment_id).await;
    assert_eq!(
        (status, &problem["type"]),
        (StatusCode::CONFLICT, &json!("urn:waybill:problem:nothing-charged"))
    );
    gateway.stop().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_a_payment_is_refused_before_anyone_is_asked() {
    let data = tempfile::tempdir().unwrap();
    let world = world(data.path(), "").await;
    let gateway = gateway(data.path(), &world.url).await;
    let post = || Client::new().post(format!("{}/payments", gateway.url));
    let no_key = read(post().json(&body("A", "tok_visa")).send().await).await;
    assert_eq!(no_key.0, StatusCode::BAD_REQUEST);
    let other_key =
        read(post().header("idempotency-key", "B").json(&body("A", "tok_visa")).send().await).await;
    assert_eq!(other_key.0, StatusCode::BAD_REQUEST);
    let card =
        read(post().header("idempotency-key", "A").json(&body("A", "4111111111111111")).send().await).await;
    assert_eq!(card.0, StatusCode::BAD_REQUEST);
    let text = post().header("idempotency-key", "A").body("order").send().await.unwrap();
    assert_eq!(text.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(
        reqwest::get(format!("{}/payments/none", gateway.url)).await.unwrap().status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(refund(&gateway, "none").await.0, StatusCode::NOT_FOUND);
    assert!(world.charges().await.is_empty());
    gateway.stop().await.unwrap();
}

#[tokio::test]
async fn a_withheld_answer_leaves_the_payment_pending_until_it_is_asked_again() {
    let data = tempfile::tempdir().unwrap();
    let world = world(data.path(), "rules:\n- {partner: card-network, times: 1, do: withhold}").await;
    let gateway = gateway(data.path(), &world.url).await;
    let (status, body) = pay(&gateway, "A", "tok_visa").await;
    assert_eq!((status, &body["status"]), (StatusCode::ACCEPTED, &json!("pending")));
    let payment = becomes(&gateway, "A", PaymentStatus::Charged).await;
    let charges = world.charges().await;
    assert_eq!(charges.len(), 1);
    assert_eq!(payment.network_reference.as_deref(), charges[0]["charge_id"].as_str());
    gateway.stop().await.unwrap();
}

#[tokio::test]
async fn an_answer_that_is_none_leaves_the_payment_open_and_charges_once() {
    let data = tempfile::tempdir().unwrap();
    let rules = "rules:\n- {partner: card-network, times: 2, do: wrong}\n- {partner: card-network, times: 2, do: error=503}";
    let world = world(data.path(), rules).await;
    let gateway = gateway(data.path(), &world.url).await;
    pay(&gateway, "A", "tok_visa").await;
    becomes(&gateway, "A", PaymentStatus::Charged).await;
    assert_eq!(world.charges().await.len(), 1);
    gateway.stop().await.unwrap();
}

#[tokio::test]
async fn a_gateway_killed_while_the_answer_is_withheld_finds_the_charge_after_its_restart() {
    let data = tempfile::tempdir().unwrap();
    let world = world(data.path(), "rules:\n- {partner: card-network, times: 1, do: withhold}").await;
    let first = gateway(data.path(), &world.url).await;
    let url = format!("{}/payments", first.url);
    let asking = tokio::spawn(
        Client::new().post(url).header("idempotency-key", "A").json(&body("A", "tok_visa")).send(),
    );
    for _ in 0..500 {
        if !world.charges().await.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    first.kill().await;
    assert!(asking.await.unwrap().is_err());
    let second = gateway(data.path(), &world.url).await;
    becomes(&second, "A", PaymentStatus::Charged).await;
    assert_eq!(pay(&second, "A", "tok_visa").await.0, StatusCode::CREATED);
    assert_eq!(world.charges().await.len(), 1);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_refund_is_made_once() {
    let data = tempfile::tempdir().unwrap();
    let world = world(data.path(), "").await;
    let gateway = gateway(data.path(), &world.url).await;
    let (_, paid) = pay(&gateway, "A", "tok_visa").await;
    let id = paid["payment_id"].as_str().unwrap();
    let (status, body) = refund(&gateway, id).await;
    assert_eq!((status, &body["status"]), (StatusCode::CREATED, &json!("refunded")));
    assert_eq!(refund(&gateway, id).await.0, StatusCode::OK);
    assert_eq!(pay(&gateway, "A", "tok_visa").await.0, StatusCode::OK);
    assert_eq!(world.charges().await[0]["refunds"].as_array().unwrap().len(), 1);
    assert_eq!(kinds(&gateway, id).await, ["asked", "charged", "refund_asked", "refunded"]);
    gateway.stop().await.unwrap();
}

#[tokio::test]
async fn a_refund_that_got_no_answer_is_asked_for_until_it_is_made() {
    let data = tempfile::tempdir().unwrap();
    let world = world(data.path(), "rules:\n- {partner: card-network, match: {idempotency_key: A}, do: latency=0s}\n- {partner: card-network, times: 1, do: withhold}").await;
    let gateway = gateway(data.path(), &world.url).await;
    let (_, paid) = pay(&gateway, "A", "tok_visa").await;
    let (status, body) = refund(&gateway, paid["payment_id"].as_str().unwrap()).await;
    assert_eq!((status, &body["status"]), (StatusCode::ACCEPTED, &json!("refunding")));
    becomes(&gateway, "A", PaymentStatus::Refunded).await;
    assert_eq!(world.charges().await[0]["refunds"].as_array().unwrap().len(), 1);
    gateway.stop().await.unwrap();
}

#[tokio::test]
async fn a_refund_of_a_pending_payment_is_made_as_soon_as_the_charge_is_known() {
    let data = tempfile::tempdir().unwrap();
    let world = world(data.path(), "rules:\n- {partner: card-network, times: 2, do: withhold}").await;
    let gateway = gateway(data.path(), &world.url).await;
    let (status, pending) = pay(&gateway, "A", "tok_visa").await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let (status, _) = refund(&gateway, pending["payment_id"].as_str().unwrap()).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    becomes(&gateway, "A", PaymentStatus::Refunded).await;
    let charges = world.charges().await;
    assert_eq!((charges.len(), charges[0]["refunds"].as_array().unwrap().len()), (1, 1));
    gateway.stop().await.unwrap();
}

#[tokio::test]
async fn the_whole_ledger_can_be_read_page_by_page() {
    let data = tempfile::tempdir().unwrap();
    let world = world(data.path(), "").await;
    let gateway = gateway(data.path(), &world.url).await;
    for n in 0..5 {
        pay(&gateway, &format!("order-{n}"), "tok_visa").await;
    }
    let (mut seen, mut after) = (Vec::new(), json!(0));
    loop {
        let url = format!("{}/payments?limit=2&after={after}", gateway.url);
        let page: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        let payments = page["payments"].as_array().unwrap();
        seen.extend(payments.iter().map(|p| p["order_id"].as_str().unwrap().to_owned()));
        match page.get("next") {
            Some(next) => after = next.clone(),
            None => break,
        }
    }
    assert_eq!(seen, (0..5).map(|n| format!("order-{n}")).collect::<Vec<_>>());
    gateway.stop().await.unwrap();
}

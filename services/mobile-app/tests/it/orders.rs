//! Orders that go well, and orders that are asked for twice.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::street::{Mood, Street, read};

#[tokio::test]
async fn an_order_is_checked_charged_and_handed_over_and_can_be_looked_at() {
    let street = Street::open().await;
    let ada = street.customer("Ada").await;
    let cart = ada.cart().await;
    let (status, order) = ada.order(&cart, "tok_visa").await;
    assert_eq!((status, &order["state"]), (StatusCode::CREATED, &json!("accepted")));
    assert_eq!((&order["order_id"], &order["trace_id"]), (&cart["order_id"], &cart["trace_id"]));
    let placed = street.owner.kitchen().placed.clone();
    assert_eq!((placed.len(), placed[0].amount_minor, placed[0].refund_only), (1, 20000, false));
    assert!(!placed[0].payment_id.is_empty() && placed[0].payment_reference.starts_with("WB-"));
    assert_eq!(placed[0].zone, "old-harbour");
    street.owner.kitchen().state = "delivered".to_owned();
    let (status, seen) = ada.look(&order).await;
    assert_eq!((status, &seen["state"]), (StatusCode::OK, &json!("delivered")));
    assert_eq!(street.charges().await.len(), 1);
}

#[tokio::test]
async fn ids_are_read_however_they_are_typed() {
    let street = Street::open().await;
    let ada = street.customer("Ada").await;
    let mut cart = ada.cart().await;
    cart["cart_id"] = json!(cart["cart_id"].as_str().unwrap().to_lowercase().replace('-', ""));
    let (status, order) = ada.order(&cart, "tok_visa").await;
    assert_eq!(status, StatusCode::CREATED);
    let typed = json!({"order_id": order["order_id"].as_str().unwrap().to_lowercase()});
    assert_eq!(ada.look(&typed).await.0, StatusCode::OK);
}

#[tokio::test]
async fn the_same_idempotency_key_gets_the_same_order_and_another_request_under_it_is_refused() {
    let street = Street::open().await;
    let ada = street.customer("Ada").await;
    let cart = ada.cart().await;
    let with_key = |cart: &Value, card: &str| ada.ordering(cart, card).header("idempotency-key", "k1").send();
    let (status, first) = read(with_key(&cart, "tok_visa").await).await;
    assert_eq!(status, StatusCode::CREATED);
    let (status, again) = read(with_key(&cart, "tok_visa").await).await;
    assert_eq!((status, &again), (StatusCode::CREATED, &first));
    let (status, other_card) = read(with_key(&cart, "tok_amex").await).await;
    assert_eq!(
        (status, &other_card["type"]),
        (StatusCode::CONFLICT, &json!("urn:waybill:problem:idempotency-key-reused"))
    );
    let (status, other_cart) = read(with_key(&ada.cart().await, "tok_visa").await).await;
    assert_eq!(
        (status, &other_cart["type"]),
        (StatusCode::CONFLICT, &json!("urn:waybill:problem:idempotency-key-reused"))
    );
    assert_eq!((street.charges().await.len(), street.owner.kitchen().placed.len()), (1, 1));
}

#[tokio::test]
async fn a_cart_ordered_many_times_at_once_is_one_order_and_one_charge() {
    let street = Street::open().await;
    let ada = street.customer("Ada").await;
    let cart = ada.cart().await;
    let replies = futures::future::join_all((0..10).map(|_| ada.order(&cart, "tok_visa"))).await;
    let created = replies.iter().filter(|(status, _)| *status == StatusCode::CREATED).count();
    let conflicts =
        replies.iter().filter(|(_, body)| body["type"] == "urn:waybill:problem:cart-ordered").count();
    assert_eq!((created, conflicts), (1, 9), "{replies:?}");
    assert!(replies.iter().all(|(_, body)| body["order_id"] == cart["order_id"]));
    assert_eq!((street.charges().await.len(), street.owner.kitchen().placed.len()), (1, 1));
}

#[tokio::test]
async fn the_same_request_many_times_at_once_gets_one_order_each_time() {
    let street = Street::open().await;
    let ada = street.customer("Ada").await;
    let cart = ada.cart().await;
    let send =
        || async { read(ada.ordering(&cart, "tok_visa").header("idempotency-key", "k").send().await).await };
    let replies = futures::future::join_all((0..10).map(|_| send())).await;
    assert!(
        replies.iter().all(|(status, body)| *status == StatusCode::CREATED && body["state"] == "accepted"),
        "{replies:?}"
    );
    assert_eq!((street.charges().await.len(), street.owner.kitchen().placed.len()), (1, 1));
}

#[tokio::test]
async fn a_rejected_order_is_shown_as_failing_and_then_as_its_owner_says() {
    let street = Street::open().await;
    street.owner.kitchen().mood = Mood::Rejects;
    let ada = street.customer("Ada").await;
    let (status, order) = ada.order(&ada.cart().await, "tok_visa").await;
    assert_eq!(
        (status, &order["state"], &order["reason"]),
        (StatusCode::CREATED, &json!("failing"), &json!("kitchen_busy"))
    );
    street.owner.kitchen().state = "refunded".to_owned();
    assert_eq!(ada.look(&order).await.1["state"], "refunded");
}

#[tokio::test]
async fn events_come_to_the_end_and_can_be_taken_up_again() {
    let street = Street::open().await;
    let ada = street.customer("Ada").await;
    let (_, order) = ada.order(&ada.cart().await, "tok_visa").await;
    let path = format!("/orders/{}/events", order["order_id"].as_str().unwrap());
    let mut reply = ada.request(Method::GET, &path).send().await.unwrap();
    assert_eq!(reply.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    while let Some(chunk) = reply.chunk().await.unwrap() {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        let now = if text.contains("\"tracking\"") { "delivered" } else { "tracking" };
        if text.contains("\"accepted\"") {
            street.owner.kitchen().state = now.to_owned();
        }
    }
    assert_eq!(states(&text), ["placing", "paying", "accepted", "tracking", "delivered"]);
    let rest = ada
        .request(Method::GET, &path)
        .header("last-event-id", "3")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert_eq!(states(&rest), ["tracking", "delivered"]);
    assert!(rest.contains("id: 4\n") || rest.contains("id:4\n"), "{rest}");
}

fn states(text: &str) -> Vec<String> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
    data.map(|json| serde_json::from_str::<Value>(json).unwrap()["state"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn the_page_and_the_description_are_served_with_a_strict_policy() {
    let street = Street::with("", &[("WAYBILL_JAEGER_URL", "http://jaeger.example:1")]).await;
    let page = reqwest::get(street.url()).await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(page.text().await.unwrap().contains("data-jaeger=\"http://jaeger.example:1\""));
    for (path, kind) in
        [("/app.js", "text/javascript"), ("/app.css", "text/css"), ("/openapi.json", "application/json")]
    {
        let reply = reqwest::get(format!("{}{path}", street.url())).await.unwrap();
        assert_eq!(reply.status(), StatusCode::OK);
        assert!(reply.headers()["content-type"].to_str().unwrap().starts_with(kind), "{path}");
    }
    let menu: Value =
        reqwest::get(format!("{}/restaurants", street.url())).await.unwrap().json().await.unwrap();
    assert!(menu["restaurants"].as_array().unwrap().len() >= 8);
}

//! Neighbours that fail, partners that keep silent, and kills: no order is lost, none is charged twice.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::street::{Mood, Street, eventually, read};

#[tokio::test]
async fn a_card_network_that_withholds_its_answer_makes_the_order_wait_and_charges_once() {
    let withhold = "rules:\n- {partner: card-network, times: 2, do: withhold}";
    let street = Street::with(withhold, &[("WAYBILL_ORDER_WAIT", "200ms")]).await;
    let ada = street.customer("Ada").await;
    let (status, order) = ada.order(&ada.cart().await, "tok_visa").await;
    assert_eq!(status, StatusCode::ACCEPTED);
    // How far it came in that time is the machine's affair.
    assert!(matches!(order["state"].as_str(), Some("placing" | "paying")), "{order}");
    street.owner.kitchen().state = "accepted".to_owned();
    ada.becomes(&order, "accepted").await;
    assert_eq!((street.charges().await.len(), street.owner.kitchen().placed.len()), (1, 1));
}

#[tokio::test]
async fn an_owner_who_is_away_gets_the_order_when_he_is_back() {
    let street = Street::with("", &[("WAYBILL_ORDER_WAIT", "200ms")]).await;
    street.owner.kitchen().mood = Mood::Unavailable;
    let ada = street.customer("Ada").await;
    let (status, order) = ada.order(&ada.cart().await, "tok_visa").await;
    assert_eq!(status, StatusCode::ACCEPTED);
    // How far it came in that time is the machine's affair.
    assert!(matches!(order["state"].as_str(), Some("placing" | "paying")), "{order}");
    street.owner.kitchen().mood = Mood::Accepts;
    ada.becomes(&order, "accepted").await;
    assert!(street.owner.kitchen().placed.iter().all(|p| !p.refund_only));
}

#[tokio::test]
async fn an_order_that_waited_too_long_is_handed_over_for_its_refund_only() {
    let patience = [("WAYBILL_ORDER_WAIT", "100ms"), ("WAYBILL_ORDER_PATIENCE", "700ms")];
    let street = Street::with("", &patience).await;
    street.owner.kitchen().mood = Mood::Unavailable;
    let ada = street.customer("Ada").await;
    let (_, order) = ada.order(&ada.cart().await, "tok_visa").await;
    eventually("the order is too late", async || {
        street.owner.kitchen().placed.iter().any(|p| p.refund_only).then_some(())
    })
    .await;
    street.owner.kitchen().mood = Mood::Rejects;
    ada.becomes(&order, "failing").await;
    assert!(street.owner.kitchen().placed.last().unwrap().refund_only);
    assert_eq!(street.charges().await.len(), 1);
}

#[tokio::test]
async fn an_order_whose_hand_over_could_not_be_written_down_is_taken_up_again_without_a_restart() {
    let street = Street::open().await;
    street.owner.kitchen().mood = Mood::Unavailable;
    let ada = street.customer("Ada").await;
    let cart = ada.cart().await;
    let asking = tokio::spawn(ada.ordering(&cart, "tok_visa").send());
    eventually("the order is being handed over", async || {
        (!street.owner.kitchen().placed.is_empty()).then_some(())
    })
    .await;
    let mut disk = street.front_database().await;
    let full = "CREATE TRIGGER full BEFORE UPDATE ON orders WHEN NEW.stage = 'placed' \
                BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END";
    sqlx::query(full).execute(&mut disk).await.unwrap();
    street.owner.kitchen().mood = Mood::Accepts;
    // It is told that the order is under way, though its owner has it.
    let reply = asking.await.unwrap().unwrap();
    assert_eq!(reply.status(), StatusCode::ACCEPTED);
    sqlx::query("DROP TRIGGER full").execute(&mut disk).await.unwrap();
    ada.becomes(&cart, "accepted").await;
    assert_eq!(street.charges().await.len(), 1);
}

#[tokio::test]
async fn a_front_door_killed_while_placing_hands_the_order_over_after_its_restart() {
    let mut street = Street::open().await;
    street.owner.kitchen().mood = Mood::Hangs;
    let ada = street.customer("Ada").await;
    let cart = ada.cart().await;
    let request = ada.ordering(&cart, "tok_visa").send();
    let asking = tokio::spawn(request);
    eventually("the order is being handed over", async || {
        (!street.owner.kitchen().placed.is_empty()).then_some(())
    })
    .await;
    street.kill_front().await;
    assert!(asking.await.unwrap().is_err());
    street.owner.kitchen().mood = Mood::Accepts;
    street.restart_front(&[]).await;
    let ada = ada.at(&street);
    let order = ada.becomes(&cart, "accepted").await;
    assert_eq!(order["trace_id"], cart["trace_id"]);
    assert_eq!(street.charges().await.len(), 1);
}

#[tokio::test]
async fn a_front_door_killed_while_paying_finds_its_charge_and_refunds_it_when_it_is_too_late() {
    let mut street = Street::with("rules:\n- {partner: card-network, times: 1, do: withhold}", &[]).await;
    let ada = street.customer("Ada").await;
    let cart = ada.cart().await;
    let asking = tokio::spawn(ada.ordering(&cart, "tok_visa").send());
    eventually("the card network has charged", async || (!street.charges().await.is_empty()).then_some(()))
        .await;
    street.kill_front().await;
    assert!(asking.await.unwrap().is_err());
    street.owner.kitchen().mood = Mood::Rejects;
    street.restart_front(&[("WAYBILL_ORDER_PATIENCE", "1ms")]).await;
    ada.at(&street).becomes(&cart, "failing").await;
    let placed = street.owner.kitchen().placed.clone();
    assert!(placed.len() == 1 && placed[0].refund_only, "{placed:?}");
    assert_eq!(street.charges().await.len(), 1);
}

#[tokio::test]
async fn a_silent_auth_is_503_or_504_and_the_cart_stays_free() {
    let mut street = Street::open().await;
    let ada = street.customer("Ada").await;
    let cart = ada.cart().await;
    street.kill_front().await;
    street.restart_front(&[("AUTH_URL", "http://127.0.0.1:9")]).await;
    let (status, _) = ada.at(&street).order(&cart, "tok_visa").await;
    assert!(matches!(status.as_u16(), 503 | 504), "{status}");
    street.kill_front().await;
    street.restart_front(&[]).await;
    assert_eq!(ada.at(&street).order(&cart, "tok_visa").await.0, StatusCode::CREATED);
}

#[tokio::test]
async fn a_silent_restaurant_is_503_and_the_same_request_may_come_again() {
    let mut street = Street::open().await;
    let ada = street.customer("Ada").await;
    let cart = ada.cart().await;
    street.kill_front().await;
    street.restart_front(&[("RESTAURANT_AVAILABILITY_URL", "http://127.0.0.1:9")]).await;
    let with_key = async |street: &Street| {
        read(ada.at(street).ordering(&cart, "tok_visa").header("idempotency-key", "k").send().await).await
    };
    let (status, body) = with_key(&street).await;
    assert_eq!(
        (status, &body["type"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("urn:waybill:problem:unavailable"))
    );
    street.kill_front().await;
    street.restart_front(&[]).await;
    assert_eq!(with_key(&street).await.0, StatusCode::CREATED);
    assert_eq!(street.charges().await.len(), 1);
}

#[tokio::test]
async fn an_owner_who_is_silent_leaves_an_order_as_it_was_last_known() {
    let mut street = Street::open().await;
    let ada = street.customer("Ada").await;
    let (_, order) = ada.order(&ada.cart().await, "tok_visa").await;
    street.kill_front().await;
    street.restart_front(&[("RESTAURANT_ORDERS_URL", "http://127.0.0.1:9")]).await;
    let (status, seen) = ada.at(&street).look(&order).await;
    assert_eq!((status, &seen["state"]), (StatusCode::OK, &json!("accepted")));
    assert!(street.data.path().join("front.db").exists());
    let ready = ada.at(&street).request(Method::GET, "/restaurants").send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::OK);
}

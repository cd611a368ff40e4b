//! Every documented refusal: its status, its problem type, and nothing charged.

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::street::{Customer, Street, eventually, read};

fn kind(body: &Value) -> &str {
    body["type"].as_str().unwrap().trim_start_matches("urn:waybill:problem:")
}

#[tokio::test]
async fn accounts_and_sessions_refuse_what_they_document() {
    let street = Street::open().await;
    street.customer("Ada").await;
    let post = async |path: &str, body: Value| {
        let (status, body) =
            read(Client::new().post(format!("{}{path}", street.url())).json(&body).send().await).await;
        (status.as_u16(), kind(&body).to_owned())
    };
    let who = |name: &str, password: &str| json!({"name": name, "password": password});
    assert_eq!(post("/accounts", who("ADA", "correct horse")).await, (409, "name-taken".into()));
    assert_eq!(post("/accounts", who("x", "correct horse")).await, (400, "invalid".into()));
    assert_eq!(post("/accounts", who("Grace", "short")).await, (400, "invalid".into()));
    assert_eq!(post("/accounts", json!({"name": "Grace"})).await, (400, "invalid".into()));
    assert_eq!(post("/accounts", json!({"name": 7, "password": []})).await, (400, "invalid".into()));
    assert_eq!(post("/sessions", who("Ada", "wrong password")).await, (401, "wrong-credentials".into()));
    for _ in 0..9 {
        post("/sessions", who("Ada", "wrong password")).await;
    }
    assert_eq!(post("/sessions", who("Ada", "correct horse")).await, (429, "too-many-failures".into()));
}

#[tokio::test]
async fn bodies_that_are_no_json_of_the_right_kind_and_size_are_refused() {
    let street = Street::open().await;
    let ada = street.customer("Ada").await;
    for path in ["/accounts", "/sessions", "/carts", "/orders"] {
        let json = || ada.request(Method::POST, path).header("content-type", "application/json");
        let status = async |request: reqwest::RequestBuilder| read(request.send().await).await.0.as_u16();
        assert_eq!(status(json().body("{")).await, 400, "{path}");
        assert_eq!(status(json().body("[]")).await, 400, "{path}");
        assert_eq!(status(json().body("")).await, 400, "{path}");
        assert_eq!(status(json().body("{\"surprise\":1}")).await, 400, "{path}");
        assert_eq!(status(json().body(vec![b' '; 1_100_000])).await, 413, "{path}");
        assert_eq!(status(ada.request(Method::POST, path).body("{}")).await, 415, "{path}");
        assert_eq!(status(ada.request(Method::PUT, path)).await, 405, "{path}");
    }
    assert_eq!(read(ada.request(Method::GET, "/nowhere").send().await).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn carts_refuse_what_is_not_on_the_menu() {
    let street = Street::open().await;
    let ada = street.customer("Ada").await;
    let cart = async |restaurant: &str, items: Value| {
        let body = json!({"restaurant_id": restaurant, "items": items});
        let (status, body) = read(ada.request(Method::POST, "/carts").json(&body).send().await).await;
        (status.as_u16(), kind(&body).to_owned())
    };
    let miso = |quantity: Value| json!([{"sku": "sakura/miso", "quantity": quantity}]);
    assert_eq!(cart("nowhere", miso(json!(1))).await, (404, "no-such-restaurant".into()));
    assert_eq!(cart("bella-napoli", miso(json!(1))).await, (404, "no-such-dish".into()));
    for quantity in [json!(0), json!(-1), json!(51), json!(1.5), json!("2"), json!(9_999_999_999_i64)] {
        assert_eq!(cart("sakura", miso(quantity.clone())).await, (400, "invalid".into()), "{quantity}");
    }
    assert_eq!(cart("sakura", json!([])).await, (400, "invalid".into()));
}

#[tokio::test]
async fn orders_refuse_unknown_carts_odd_cards_and_odd_keys() {
    let street = Street::open().await;
    let ada = street.customer("Ada").await;
    let cart = ada.cart().await;
    let (status, body) = ada.order(&json!({"cart_id": "7F3K-9QZD-XM42"}), "tok_visa").await;
    assert_eq!((status, kind(&body)), (StatusCode::NOT_FOUND, "no-such-cart"));
    let (status, body) = ada.order(&json!({"cart_id": "' OR 1=1 --"}), "tok_visa").await;
    assert_eq!((status, kind(&body)), (StatusCode::NOT_FOUND, "no-such-cart"));
    for card in ["", "4111 1111 1111 1111"] {
        assert_eq!(ada.order(&cart, card).await.0, StatusCode::BAD_REQUEST, "{card}");
    }
    let key = "x".repeat(201);
    let odd = ada.ordering(&cart, "tok_visa").header("idempotency-key", key).send().await;
    assert_eq!(read(odd).await.0, StatusCode::BAD_REQUEST);
    assert!(street.charges().await.is_empty());
    assert_eq!(ada.order(&cart, "tok_visa").await.0, StatusCode::CREATED);
}

#[tokio::test]
async fn closed_and_sold_out_leave_the_cart_and_the_card_alone() {
    let street = Street::open().await;
    let ada = street.customer("Ada").await;
    for (restaurant, sku, slug) in [
        ("night-owl", "night-owl/pancakes", "restaurant-closed"),
        ("bella-napoli", "bella-napoli/truffle", "out-of-stock"),
    ] {
        let cart = ada.cart_of(restaurant, sku).await;
        // Twice: the cart is not used up by a no.
        for _ in 0..2 {
            let (status, body) = ada.order(&cart, "tok_visa").await;
            assert_eq!((status, kind(&body)), (StatusCode::CONFLICT, slug));
            assert_eq!(body["order_id"], cart["order_id"]);
        }
        assert_eq!(ada.look(&cart).await.1["state"], "failed");
    }
    assert!(street.charges().await.is_empty());
    assert!(street.owner.kitchen().placed.is_empty());
}

#[tokio::test]
async fn a_declined_card_is_402_with_the_networks_code() {
    let street = Street::open().await;
    let ada = street.customer("Ada").await;
    let cart = ada.cart().await;
    let (status, body) = ada.order(&cart, "tok_insufficient").await;
    assert_eq!((status, kind(&body)), (StatusCode::PAYMENT_REQUIRED, "declined"));
    assert_eq!(body["decline_code"], "insufficient_funds");
    assert_eq!(ada.look(&cart).await.1["state"], "declined");
    let (status, body) = ada.order(&cart, "tok_visa").await;
    assert_eq!((status, kind(&body)), (StatusCode::CONFLICT, "cart-ordered"));
    assert!(street.owner.kitchen().placed.is_empty());
}

#[tokio::test]
async fn missing_malformed_forged_and_expired_tokens_are_401_and_do_not_block_a_cart() {
    let mut street = Street::open().await;
    let stranger = Street::open().await;
    let ada = street.customer("Ada").await;
    let cart = ada.cart().await;
    let forged = stranger.customer("Eve").await.token;
    let body = json!({"cart_id": cart["cart_id"], "card_token": "tok_visa"});
    let post = || Client::new().post(format!("{}/orders", street.url())).json(&body);
    for (request, slug) in [
        (post(), "unauthenticated"),
        (post().header("authorization", "Basic YTpi"), "token-malformed"),
        (post().bearer_auth("x.y.z"), "token-malformed"),
        (post().bearer_auth("x".repeat(5000)), "token-malformed"),
        (post().bearer_auth(&forged), "token-forged"),
    ] {
        let reply = request.send().await.unwrap();
        assert_eq!(reply.headers()["www-authenticate"], "Bearer");
        let (status, body) = read(Ok(reply)).await;
        assert_eq!((status, kind(&body)), (StatusCode::UNAUTHORIZED, slug));
    }
    assert_eq!(ada.order(&cart, "tok_visa").await.0, StatusCode::CREATED);
    street.kill_front().await;
}

#[tokio::test]
async fn other_peoples_orders_are_403_and_unknown_ones_404() {
    let street = Street::open().await;
    let ada = street.customer("Ada").await;
    let eve = street.customer("Eve").await;
    let (_, order) = ada.order(&ada.cart().await, "tok_visa").await;
    let events = |who: &Customer, id: &str| who.request(Method::GET, &format!("/orders/{id}/events")).send();
    let id = order["order_id"].as_str().unwrap();
    assert_eq!(eve.look(&order).await.0, StatusCode::FORBIDDEN);
    assert_eq!(read(events(&eve, id).await).await.0, StatusCode::FORBIDDEN);
    for unknown in ["7F3K-9QZD-XM42", "nonsense"] {
        assert_eq!(ada.look(&json!({"order_id": unknown})).await.0, StatusCode::NOT_FOUND);
        assert_eq!(read(events(&ada, unknown).await).await.0, StatusCode::NOT_FOUND);
    }
    // A cart that no one has ordered is no order yet.
    assert_eq!(ada.look(&ada.cart().await).await.0, StatusCode::NOT_FOUND);
    let odd = ada
        .request(Method::GET, &format!("/orders/{id}/events"))
        .header("last-event-id", "soon")
        .send()
        .await;
    assert_eq!(read(odd).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn event_streams_are_limited() {
    let street = Street::with("", &[("WAYBILL_EVENT_STREAMS", "1")]).await;
    let ada = street.customer("Ada").await;
    let (_, order) = ada.order(&ada.cart().await, "tok_visa").await;
    let path = format!("/orders/{}/events", order["order_id"].as_str().unwrap());
    let first = ada.request(Method::GET, &path).send().await.unwrap();
    assert_eq!(first.status(), StatusCode::OK);
    let (status, body) = read(ada.request(Method::GET, &path).send().await).await;
    assert_eq!((status, kind(&body)), (StatusCode::TOO_MANY_REQUESTS, "too-many-streams"));
    drop(first);
    eventually("the place is free again", async || {
        let reply = ada.request(Method::GET, &path).send().await.unwrap();
        reply.status().is_success().then_some(())
    })
    .await;
}

//! The service as its callers see it: over HTTP, on a free port.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::path::Path;

use chassis::{Running, Settings};
use contracts::http::Availability;
use reqwest::{Client, StatusCode};

async fn start(data: &Path, more: &[(&str, &str)]) -> Running {
    let database = format!("sqlite://{}/kitchens.db", data.display());
    let mut pairs = vec![("WAYBILL_LISTEN", "127.0.0.1:0"), ("DATABASE_URL", database.as_str())];
    pairs.extend(more);
    chassis::start(restaurant_availability::SERVICE, Settings::from_pairs(pairs)).await.unwrap()
}

async fn ask(running: &Running, restaurant: &str, items: &str, order: Option<&str>) -> (StatusCode, String) {
    let mut url =
        reqwest::Url::parse(&format!("{}/restaurants/{restaurant}/availability", running.url)).unwrap();
    url.query_pairs_mut().append_pair("items", items);
    let mut request = Client::new().get(url);
    if let Some(order) = order {
        request = request.header("baggage", format!("order.id={order}"));
    }
    let reply = request.send().await.unwrap();
    (reply.status(), reply.text().await.unwrap())
}

async fn told(running: &Running, restaurant: &str, items: &str, order: Option<&str>) -> Availability {
    let (status, body) = ask(running, restaurant, items, order).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// Makes the kitchen of Sakura as small as a test needs it.
async fn shrink(data: &Path, capacity: i64, miso: i64) {
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(&format!("sqlite://{}/kitchens.db", data.display())).await.unwrap();
    let kitchen = "UPDATE restaurants SET kitchen_capacity = $1 WHERE restaurant_id = 'sakura'";
    sqlx::query(kitchen).bind(capacity).execute(&pool).await.unwrap();
    let stock = "UPDATE stock SET portions = $1 WHERE sku = 'sakura/miso'";
    sqlx::query(stock).bind(miso).execute(&pool).await.unwrap();
    pool.close().await;
}

#[tokio::test]
async fn an_open_restaurant_with_stock_says_yes() {
    let data = tempfile::tempdir().unwrap();
    let running = start(data.path(), &[]).await;
    let answer = told(&running, "sakura", "sakura/miso:2,sakura/omakase:1", Some("A")).await;
    assert!(answer.available && answer.reason.is_none() && answer.missing.is_empty());
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_closed_restaurant_and_an_empty_shelf_say_no_and_why() {
    let data = tempfile::tempdir().unwrap();
    let running = start(data.path(), &[]).await;
    let closed = told(&running, "night-owl", "night-owl/pancakes:1", Some("A")).await;
    assert_eq!((closed.available, closed.reason.as_deref()), (false, Some("closed")));
    let empty =
        told(&running, "bella-napoli", "bella-napoli/truffle:1,bella-napoli/tiramisu:1", Some("A")).await;
    assert_eq!(empty.reason.as_deref(), Some("out_of_stock"));
    assert_eq!(empty.missing, ["bella-napoli/truffle"]);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_unknown_is_404_and_what_cannot_be_read_is_400() {
    let data = tempfile::tempdir().unwrap();
    let running = start(data.path(), &[]).await;
    for (restaurant, items, status, slug) in [
        ("nowhere", "sakura/miso:1", 404, "no-such-restaurant"),
        ("sakura", "bella-napoli/tiramisu:1", 404, "no-such-dish"),
        ("sakura", "sakura/miso", 400, "invalid-items"),
        ("sakura", "", 400, "invalid-items"),
    ] {
        let (got, body) = ask(&running, restaurant, items, None).await;
        assert_eq!(got.as_u16(), status, "{restaurant} {items}");
        assert!(body.contains(&format!("urn:waybill:problem:{slug}")), "{body}");
    }
    let url = format!("{}/restaurants/sakura/availability", running.url);
    assert_eq!(reqwest::get(url).await.unwrap().status(), StatusCode::BAD_REQUEST);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_kitchen_takes_as_many_orders_as_it_can_cook_and_knows_its_own() {
    let data = tempfile::tempdir().unwrap();
    let running = start(data.path(), &[]).await;
    shrink(data.path(), 2, 100).await;
    for order in ["A", "B", "B"] {
        assert!(told(&running, "sakura", "sakura/miso:1", Some(order)).await.available);
    }
    let full = told(&running, "sakura", "sakura/miso:1", Some("C")).await;
    assert_eq!((full.reason.as_deref(), full.kitchen_load), (Some("kitchen_full"), 2));
    // An order that is in the kitchen is not turned away from it.
    assert!(told(&running, "sakura", "sakura/miso:1", Some("A")).await.available);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn the_last_portion_is_promised_once_and_a_question_without_an_order_promises_nothing() {
    let data = tempfile::tempdir().unwrap();
    let running = start(data.path(), &[]).await;
    shrink(data.path(), 100, 3).await;
    assert!(told(&running, "sakura", "sakura/miso:3", None).await.available);
    let told = |order| told(&running, "sakura", "sakura/miso:2", Some(order));
    let (a, b, c, d) = tokio::join!(told("A"), told("B"), told("C"), told("D"));
    assert_eq!([a, b, c, d].iter().filter(|answer| answer.available).count(), 1);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn holds_survive_a_kill_and_end_with_the_window() {
    let data = tempfile::tempdir().unwrap();
    let running = start(data.path(), &[]).await;
    shrink(data.path(), 1, 100).await;
    assert!(told(&running, "sakura", "sakura/miso:1", Some("A")).await.available);
    running.kill().await;
    let running = start(data.path(), &[]).await;
    assert!(!told(&running, "sakura", "sakura/miso:1", Some("B")).await.available);
    running.stop().await.unwrap();
    // The capacity above is still there: a restart seeds only what is missing.
    let running = start(data.path(), &[("WAYBILL_KITCHEN_WINDOW", "1ms")]).await;
    assert!(told(&running, "sakura", "sakura/miso:1", Some("B")).await.available);
    running.stop().await.unwrap();
}

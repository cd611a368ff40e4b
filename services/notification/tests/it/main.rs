//! notification in process, with a fake push provider.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use chassis::{Running, Settings};
use serde_json::{Value, json};

/// The provider: the statuses that it answers with first, and what was pushed, with the key.
#[derive(Debug, Default)]
struct Provider {
    troubles: Mutex<Vec<u16>>,
    hangs: Mutex<u32>,
    pushes: Mutex<Vec<(String, Value)>>,
}

async fn push(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    assert!(headers.get("baggage").is_none(), "baggage went to a third party");
    let hangs = std::mem::take(&mut *provider.hangs.lock().unwrap());
    if hangs > 0 {
        std::future::pending::<()>().await;
    }
    let trouble = provider.troubles.lock().unwrap().pop();
    if let Some(status) = trouble {
        return (StatusCode::from_u16(status).unwrap(), Json(json!({})));
    }
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    provider.pushes.lock().unwrap().push((key, body));
    (StatusCode::ACCEPTED, Json(json!({"push_id": "pu-1"})))
}

async fn provider() -> (Arc<Provider>, String) {
    let provider = Arc::new(Provider::default());
    let routes = Router::new().route("/pushes", post(push)).with_state(provider.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (provider, url)
}

async fn start(folder: &Path, url: &str) -> Running {
    let database = format!("sqlite://{}/notification.db", folder.display());
    let settings = Settings::from_pairs([
        ("WAYBILL_LISTEN", "127.0.0.1:0"),
        ("DATABASE_URL", &database),
        ("PUSH_PROVIDER_URL", url),
        ("WAYBILL_PUSH_DEADLINE", "500ms"),
        ("WAYBILL_DRAIN_TIMEOUT", "2s"),
    ]);
    chassis::start(notification::SERVICE, settings).await.expect("notification starts")
}

async fn tell(running: &Running, id: &str, kind: &str, order: &str) -> u16 {
    let body = json!({"order_id": order, "customer_id": "u-1", "ride_id": "r-1", "courier_id": "c-7",
                      "reason": "courier_timeout", "amount_minor": 20000, "currency": "USD"});
    let request = reqwest::Client::new()
        .post(format!("{}/events", running.url))
        .header("ce-specversion", "1.0")
        .header("ce-source", "/test")
        .header("ce-id", id)
        .header("ce-type", kind)
        .header("ce-subject", order)
        .json(&body);
    request.send().await.unwrap().status().as_u16()
}

async fn book(running: &Running, path: &str) -> Value {
    reqwest::get(format!("{}{path}", running.url)).await.unwrap().json().await.unwrap()
}

/// Waits until as many pieces of news are in the book of the order.
async fn told(running: &Running, order: &str, want: usize) -> Vec<Value> {
    for _ in 0..400 {
        let book = book(running, &format!("/pushes?order_id={order}")).await;
        let pushes = book["pushes"].as_array().unwrap().clone();
        if pushes.len() >= want {
            return pushes;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{order} was never told {want} times");
}

#[tokio::test]
async fn each_event_has_its_own_text_and_the_failed_order_names_the_refund() {
    let (dir, (provider, url)) = (tempfile::tempdir().unwrap(), provider().await);
    let running = start(dir.path(), &url).await;
    for (id, kind) in [("e-1", "tracking.started"), ("e-2", "order.delivered"), ("e-3", "order.failed")] {
        assert_eq!(tell(&running, id, kind, "o-1").await, 202);
    }
    assert_eq!(told(&running, "o-1", 3).await[0]["push_id"], "pu-1");
    let pushes = provider.pushes.lock().unwrap().clone();
    let keys: Vec<_> = pushes.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["e-1", "e-2", "e-3"]);
    for ((_, push), words) in pushes.iter().zip(["c-7", "delivered", "$200.00"]) {
        assert!(push["body"].as_str().unwrap().contains(words), "{push}");
        assert_eq!((&push["customer_id"], &push["order_id"]), (&json!("u-1"), &json!("o-1")));
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn an_event_that_comes_twice_is_told_once() {
    let (dir, (provider, url)) = (tempfile::tempdir().unwrap(), provider().await);
    let running = start(dir.path(), &url).await;
    assert_eq!(tell(&running, "e-1", "order.delivered", "o-1").await, 202);
    told(&running, "o-1", 1).await;
    assert_eq!(tell(&running, "e-1", "order.delivered", "o-1").await, 200);
    tell(&running, "e-2", "order.delivered", "o-2").await;
    told(&running, "o-2", 1).await;
    assert_eq!(provider.pushes.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_provider_that_fails_or_hangs_is_asked_again_and_holds_up_nobody_else() {
    let (dir, (provider, url)) = (tempfile::tempdir().unwrap(), provider().await);
    let running = start(dir.path(), &url).await;
    *provider.troubles.lock().unwrap() = vec![429, 503, 500];
    tell(&running, "e-1", "tracking.started", "o-1").await;
    told(&running, "o-1", 1).await;
    *provider.hangs.lock().unwrap() = 1;
    tell(&running, "e-2", "tracking.started", "o-2").await;
    tell(&running, "e-3", "tracking.started", "o-3").await;
    told(&running, "o-3", 1).await;
    told(&running, "o-2", 1).await;
    assert_eq!(provider.pushes.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_customer_who_is_gone_is_written_down_and_a_refused_push_set_aside() {
    let (dir, (provider, url)) = (tempfile::tempdir().unwrap(), provider().await);
    let running = start(dir.path(), &url).await;
    *provider.troubles.lock().unwrap() = vec![410];
    tell(&running, "e-1", "tracking.started", "o-1").await;
    assert_eq!(told(&running, "o-1", 1).await[0]["state"], "unregistered");
    *provider.troubles.lock().unwrap() = vec![422];
    tell(&running, "e-2", "tracking.started", "o-2").await;
    tell(&running, "e-3", "order.delivered", "o-2").await;
    assert_eq!(told(&running, "o-2", 1).await[0]["event_type"], "order.delivered");
    let inbox = book(&running, "/inbox").await;
    assert_eq!(inbox["dead"], 1);
    assert_eq!(inbox["messages"][0]["event_id"], "e-2");
    let told = book(&running, "/book?order_id=o-1,o-2,o-3").await;
    let says =
        |n: usize| (told["entries"][n]["says"].as_str().unwrap(), told["entries"][n]["state"].as_str());
    assert_eq!(says(0), ("stopped", Some("unregistered")));
    assert_eq!(says(1), ("begun", Some("told_end")));
    assert_eq!(says(2), ("not_seen", None));
    assert_eq!(told["messages"][0]["order_id"], "o-2");
}

#[tokio::test]
async fn killed_before_the_provider_answered_it_tells_afterwards() {
    let (dir, (provider, url)) = (tempfile::tempdir().unwrap(), provider().await);
    let running = start(dir.path(), &url).await;
    *provider.hangs.lock().unwrap() = 1;
    tell(&running, "e-1", "order.failed", "o-1").await;
    while *provider.hangs.lock().unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    running.kill().await;
    let running = start(dir.path(), &url).await;
    told(&running, "o-1", 1).await;
    assert_eq!(provider.pushes.lock().unwrap()[0].0, "e-1");
    running.stop().await.unwrap();
}

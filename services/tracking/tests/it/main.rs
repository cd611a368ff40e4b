//! tracking in process, between fake neighbours.

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
use contracts::tracking_v1::{StartRequest, tracking_client::TrackingClient};
use serde_json::{Value, json};
use tonic::Code;

/// What the neighbours were told: type, order, body.
type Told = Arc<Mutex<Vec<(String, String, Value)>>>;

async fn neighbours() -> (Told, String) {
    let told = Told::default();
    let take = async |State(told): State<Told>, headers: HeaderMap, Json(body): Json<Value>| {
        let text = |name: &str| headers[name].to_str().unwrap().to_owned();
        told.lock().unwrap().push((text("ce-type"), text("ce-subject"), body));
        StatusCode::ACCEPTED
    };
    let routes = Router::new().route("/events", post(take)).with_state(told.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (told, url)
}

async fn start(folder: &Path, url: &str, more: &[(&str, &str)]) -> Running {
    let database = format!("sqlite://{}/tracking.db", folder.display());
    let base = [
        ("WAYBILL_LISTEN", "127.0.0.1:0"),
        ("DATABASE_URL", database.as_str()),
        ("NOTIFICATION_URL", url),
        ("RESTAURANT_ORDERS_URL", url),
        ("WAYBILL_RIDE_TICK", "20ms"),
    ];
    let settings = Settings::from_pairs(base.into_iter().chain(more.iter().copied()));
    chassis::start(tracking::SERVICE, settings).await.expect("tracking starts")
}

fn ride(order: &str, ride_ms: i64) -> StartRequest {
    StartRequest {
        order_id: order.into(),
        customer_id: "u-1".into(),
        courier_id: "c-1".into(),
        zone: "old-harbour".into(),
        ride_ms,
    }
}

async fn begin(running: &Running, request: StartRequest) -> Result<String, Code> {
    let mut client = TrackingClient::connect(running.url.clone()).await.unwrap();
    client.start(request).await.map(|reply| reply.into_inner().ride_id).map_err(|status| status.code())
}

async fn get(running: &Running, path: &str) -> (u16, Value) {
    let reply = reqwest::get(format!("{}{path}", running.url)).await.unwrap();
    (reply.status().as_u16(), reply.json().await.unwrap())
}

fn types(told: &Told, order: &str) -> Vec<String> {
    told.lock().unwrap().iter().filter(|t| t.1 == order).map(|t| t.0.clone()).collect()
}

async fn eventually<Fut: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> Fut) {
    for _ in 0..400 {
        if check().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("never happened: {what}");
}

#[tokio::test]
async fn a_ride_moves_to_the_door_and_both_neighbours_hear_of_its_start_before_its_end() {
    let (dir, (told, url)) = (tempfile::tempdir().unwrap(), neighbours().await);
    let running = start(dir.path(), &url, &[]).await;
    let id = begin(&running, ride("o-1", 300)).await.unwrap();
    eventually("both hear of both", async || types(&told, "o-1").len() == 4).await;
    // One after the other to each; the two neighbours are independent of each other.
    let types = types(&told, "o-1");
    assert_eq!(types.iter().filter(|t| *t == "tracking.started").count(), 2);
    assert_eq!(types[0], "tracking.started");
    assert_eq!(types[3], "order.delivered");
    let body = json!({"order_id": "o-1", "customer_id": "u-1", "ride_id": id, "courier_id": "c-1"});
    assert!(told.lock().unwrap().iter().all(|t| t.2 == body));
    let (_, shown) = get(&running, "/rides/o-1").await;
    assert_eq!((&shown["state"], &shown["progress_percent"]), (&json!("delivered"), &json!(100)));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn starting_twice_is_one_ride_told_once() {
    let (dir, (told, url)) = (tempfile::tempdir().unwrap(), neighbours().await);
    let running = start(dir.path(), &url, &[]).await;
    let (first, second) =
        tokio::join!(begin(&running, ride("o-1", 60_000)), begin(&running, ride("o-1", 60_000)));
    assert_eq!(first.unwrap(), second.unwrap());
    begin(&running, ride("o-1", 1)).await.unwrap();
    running.stop().await.unwrap();
    assert_eq!(types(&told, "o-1"), ["tracking.started", "tracking.started"], "one for each neighbour");
}

#[tokio::test]
async fn a_ride_goes_on_after_a_kill_from_where_it_was() {
    let (dir, (told, url)) = (tempfile::tempdir().unwrap(), neighbours().await);
    let running = start(dir.path(), &url, &[]).await;
    begin(&running, ride("o-1", 2_000)).await.unwrap();
    let percent =
        async |running: &Running| get(running, "/rides/o-1").await.1["progress_percent"].as_i64().unwrap();
    eventually("half of the way is done", async || percent(&running).await >= 50).await;
    running.kill().await;
    let running = start(dir.path(), &url, &[]).await;
    assert!(percent(&running).await >= 50);
    eventually("it is delivered", async || {
        types(&told, "o-1").iter().filter(|t| *t == "order.delivered").count() == 2
    })
    .await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_ride_whose_news_could_not_leave_is_told_after_the_restart() {
    let (dir, (told, url)) = (tempfile::tempdir().unwrap(), neighbours().await);
    let running = start(dir.path(), "http://127.0.0.1:9", &[("WAYBILL_RIDE_TIME", "50ms")]).await;
    begin(&running, ride("o-1", 60_000)).await.unwrap();
    eventually("it is delivered", async || get(&running, "/rides/o-1").await.1["state"] == "delivered").await;
    running.kill().await;
    let running = start(dir.path(), &url, &[]).await;
    eventually("both hear of both", async || types(&told, "o-1").len() == 4).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn bad_requests_are_refused_and_unknown_rides_not_found() {
    let (dir, (_, url)) = (tempfile::tempdir().unwrap(), neighbours().await);
    let running = start(dir.path(), &url, &[]).await;
    let mut nobody = ride("o-1", 1);
    nobody.courier_id.clear();
    for bad in [nobody, ride("", 1), ride("o-1", -1), ride("o-1", i64::MAX), ride(&"o".repeat(200), 1)] {
        assert_eq!(begin(&running, bad).await, Err(Code::InvalidArgument));
    }
    let (status, problem) = get(&running, "/rides/o-9").await;
    assert_eq!((status, &problem["type"]), (404, &json!("urn:waybill:problem:no-such-ride")));
    let (_, summary) = get(&running, "/rides").await;
    assert_eq!(summary, json!({"states": {}, "open": []}));
}

//! A service that is told to stop, has too much to do, or loses a part.

use std::time::Duration;

use axum::{Router, routing::get};
use chassis::{App, RunError, Start};
use tokio::sync::Notify;

use crate::support::{eventually, service, settings, start};

/// `/slow` never answers.
fn app(_: &Start) -> App {
    App::new().http(Router::new().route("/slow", get(async || std::future::pending::<()>().await)))
}

#[tokio::test]
async fn a_request_in_flight_is_answered_before_the_service_stops() {
    static AT_WORK: Notify = Notify::const_new();
    fn slow(_: &Start) -> App {
        App::new().http(Router::new().route(
            "/slow",
            get(async || {
                AT_WORK.notify_one();
                tokio::time::sleep(Duration::from_millis(500)).await;
                "done"
            }),
        ))
    }
    let dir = tempfile::tempdir().unwrap();
    let running = start(service("a", slow), settings(dir.path(), "a", &[])).await;
    let url = running.url.clone();
    let call =
        tokio::spawn(async move { reqwest::get(format!("{url}/slow")).await.unwrap().text().await.unwrap() });
    AT_WORK.notified().await;
    running.stop().await.unwrap();
    assert_eq!(call.await.unwrap(), "done");
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_keep_the_service_from_stopping() {
    let dir = tempfile::tempdir().unwrap();
    let running =
        start(service("a", app), settings(dir.path(), "a", &[("WAYBILL_DRAIN_TIMEOUT", "200ms")])).await;
    let url = running.url.clone();
    let call = tokio::spawn(async move { reqwest::get(format!("{url}/slow")).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.stop().await.unwrap();
    assert!(call.await.unwrap().is_err(), "the connection was cut");
}

#[tokio::test]
async fn more_requests_than_allowed_are_turned_away_and_served_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(service("a", app), settings(dir.path(), "a", &[("WAYBILL_MAX_REQUESTS", "1")])).await;
    let ask = |path: &str| {
        let url = format!("{}{path}", running.url);
        async move { reqwest::get(url).await.unwrap() }
    };
    let first = tokio::spawn(ask("/slow"));
    let turned_away = eventually("one is turned away", async || {
        let reply = ask("/nowhere").await;
        (reply.status() == 503).then_some(reply)
    });
    let problem: serde_json::Value = turned_away.await.json().await.unwrap();
    assert_eq!(problem["type"], "urn:waybill:problem:overloaded");
    assert_eq!(reqwest::get(format!("{}/livez", running.url)).await.unwrap().status(), 200);
    first.abort();
    eventually("there is room again", async || (ask("/nowhere").await.status() == 404).then_some(())).await;
}

#[tokio::test]
async fn a_worker_that_ends_takes_the_service_along() {
    fn frail(_: &Start) -> App {
        App::new().worker("frail", async |_| {})
    }
    let dir = tempfile::tempdir().unwrap();
    let mut running = start(service("a", frail), settings(dir.path(), "a", &[])).await;
    assert!(matches!(running.ended().await, Err(RunError::Worker("frail"))));
    assert!(reqwest::get(format!("{}/livez", running.url)).await.is_err());
}

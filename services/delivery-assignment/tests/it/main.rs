//! delivery-assignment in process, between fake neighbours.

#![allow(clippy::unwrap_used, reason = "tests")]

mod world;

use serde_json::json;
use world::{Says, TRACE, World, eventually, send, sender, states};

#[tokio::test]
async fn a_courier_is_found_and_the_ride_handed_on_once() {
    let (dir, world) = (tempfile::tempdir().unwrap(), World::new().await);
    let running = world.start(dir.path(), &[]).await;
    let sender = sender(dir.path(), &running).await;
    send(&sender, "o-1").await;
    eventually("the ride starts", || world.rides_for("o-1") == 1).await;
    let ride = world.rides.lock().unwrap()[0].clone();
    assert_eq!((ride.courier_id.as_str(), ride.ride_ms, ride.customer_id.as_str()), ("c-1", 50, "u-1"));
    assert_eq!(world.questions.lock().unwrap()[0]["x-trace-id"], TRACE);
    sender.stop().await.unwrap();
    running.stop().await.unwrap();
    assert!(world.events.lock().unwrap().is_empty());
    assert_eq!(world.rides_for("o-1"), 1);
}

#[tokio::test]
async fn when_nobody_rides_in_time_those_concerned_are_told_and_the_fleet_is_called_off() {
    for (says, reason) in [
        (Says::Nothing, "courier_timeout"),
        (Says::Nobody, "no_courier"),
        (Says::Error, "courier_fleet_unavailable"),
        (Says::Nonsense, "courier_fleet_unavailable"),
    ] {
        let (dir, world) = (tempfile::tempdir().unwrap(), World::new().await);
        world.says(says);
        *world.cancel_troubles.lock().unwrap() = 1;
        let running = world.start(dir.path(), &[]).await;
        let sender = sender(dir.path(), &running).await;
        send(&sender, "o-1").await;
        eventually("both are told", || world.failed("o-1").len() == 2).await;
        let told = world.failed("o-1");
        assert_eq!(
            told[0],
            json!({"order_id": "o-1", "customer_id": "u-1", "reason": reason, "amount_minor": 20000, "currency": "USD"})
        );
        eventually("the fleet is called off", || world.cancelled.lock().unwrap().contains(&"o-1".to_owned()))
            .await;
        assert!(world.questions.lock().unwrap().len() > 1, "{says:?}: the fleet was asked only once");
        assert_eq!(world.rides_for("o-1"), 0);
    }
}

#[tokio::test]
async fn a_fleet_that_comes_round_within_the_deadline_is_not_given_up() {
    let (dir, world) = (tempfile::tempdir().unwrap(), World::new().await);
    world.says(Says::Error);
    let running = world.start(dir.path(), &[("WAYBILL_COURIER_DEADLINE", "20s")]).await;
    let sender = sender(dir.path(), &running).await;
    send(&sender, "o-1").await;
    eventually("the fleet is asked", || !world.questions.lock().unwrap().is_empty()).await;
    world.says(Says::Rides);
    eventually("the ride starts", || world.rides_for("o-1") == 1).await;
    assert!(world.failed("o-1").is_empty());
}

#[tokio::test]
async fn the_naive_pipeline_drops_the_order_and_the_cured_one_picks_it_up() {
    let (dir, world) = (tempfile::tempdir().unwrap(), World::new().await);
    world.says(Says::Nothing);
    let naive = world.start(dir.path(), &[("WAYBILL_RESILIENCE", "off")]).await;
    let sender = sender(dir.path(), &naive).await;
    send(&sender, "o-1").await;
    for _ in 0..400 {
        if states(&naive).await["dropped"] == 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    assert_eq!(states(&naive).await, json!({"dropped": 1}));
    assert_eq!(world.questions.lock().unwrap().len(), 1);
    let mut inbox = json!(null);
    for _ in 0..400 {
        inbox = reqwest::get(format!("{}/inbox", naive.url)).await.unwrap().json().await.unwrap();
        if inbox["open"] == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    assert_eq!(
        (&inbox["open"], &inbox["done"]),
        (&json!(0), &json!(1)),
        "the message is lost, as the tale goes"
    );
    naive.stop().await.unwrap();
    assert!(world.failed("o-1").is_empty() && world.cancelled.lock().unwrap().is_empty());

    let cured = world.start(dir.path(), &[]).await;
    eventually("both are told", || world.failed("o-1").len() == 2).await;
    assert_eq!(world.failed("o-1")[0]["reason"], "courier_timeout");
    cured.stop().await.unwrap();
}

#[tokio::test]
async fn a_silent_fleet_holds_up_only_the_orders_it_is_silent_about() {
    let (dir, world) = (tempfile::tempdir().unwrap(), World::new().await);
    let silent: Vec<String> = (0..30).map(|n| format!("o-silent-{n}")).collect();
    *world.silent_for.lock().unwrap() = silent.clone();
    let long = [("WAYBILL_COURIER_DEADLINE", "45s"), ("WAYBILL_DRAIN_TIMEOUT", "100ms")];
    let running = world.start(dir.path(), &long).await;
    let sender = sender(dir.path(), &running).await;
    for order in &silent {
        send(&sender, order).await;
    }
    eventually("all are asked for", || world.questions.lock().unwrap().len() >= 30).await;
    send(&sender, "o-1").await;
    eventually("the ride starts", || world.rides_for("o-1") == 1).await;
    running.stop().await.unwrap();
    // Started again it goes on looking, and what came before the stop is not lost.
    world.silent_for.lock().unwrap().clear();
    let running = world.start(dir.path(), &long).await;
    eventually("all ride", || silent.iter().all(|order| world.rides_for(order) == 1)).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn killed_while_the_fleet_thinks_it_begins_again() {
    let (dir, world) = (tempfile::tempdir().unwrap(), World::new().await);
    world.says(Says::Nothing);
    let running = world.start(dir.path(), &[("WAYBILL_COURIER_DEADLINE", "45s")]).await;
    let sender = sender(dir.path(), &running).await;
    send(&sender, "o-1").await;
    eventually("the fleet is asked", || !world.questions.lock().unwrap().is_empty()).await;
    running.kill().await;
    world.says(Says::Rides);
    let running = world.start(dir.path(), &[]).await;
    eventually("the ride starts", || world.rides_for("o-1") == 1).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn an_order_with_a_courier_waits_for_tracking_and_is_not_given_up() {
    let (dir, world) = (tempfile::tempdir().unwrap(), World::new().await);
    *world.tracking_troubles.lock().unwrap() = 3;
    let running = world.start(dir.path(), &[]).await;
    let sender = sender(dir.path(), &running).await;
    send(&sender, "o-1").await;
    eventually("the ride starts", || world.rides_for("o-1") == 1).await;
    assert!(world.failed("o-1").is_empty());
    let questions = world.questions.lock().unwrap().len();
    assert_eq!(questions, 1, "a courier was there already");
}

//! restaurant-orders in process, between fake neighbours.

#![allow(clippy::unwrap_used, reason = "tests")]

mod world;

use contracts::orders_v1::GetRequest;
use tonic::Code;
use world::{Till, World, client, get, nobody_rides, pizza, reaches, ride, tell};

#[tokio::test]
async fn an_order_that_the_restaurant_takes_is_handed_on_and_delivered() {
    let (dir, world) = (tempfile::tempdir().unwrap(), World::new().await);
    let running = world.start(dir.path()).await;
    let reply = client(&running).await.place(pizza("o-1")).await.unwrap().into_inner();
    assert_eq!((reply.state.as_str(), reply.reason.as_str()), ("accepted", ""));
    let event = loop {
        if let Some(event) = world.events.lock().unwrap().first().cloned() {
            break event;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    assert_eq!(event.0["ce-type"], "order.accepted");
    assert_eq!(event.0["ce-subject"], "o-1");
    assert_eq!(event.0["ce-source"], "/restaurant-orders");
    assert_eq!(event.1["zone"], "old-harbour");
    assert_eq!(event.1["amount_minor"], 20_000);

    assert_eq!(tell(&running, "e-1", "tracking.started", "o-1", ride("o-1")).await, 202);
    reaches(&running, "o-1", "tracking").await;
    assert_eq!(tell(&running, "e-2", "order.delivered", "o-1", ride("o-1")).await, 202);
    reaches(&running, "o-1", "delivered").await;
    assert!(world.refunds.lock().unwrap().is_empty());
    running.stop().await.unwrap();
}

#[tokio::test]
async fn placing_twice_is_placing_once_and_another_order_under_the_same_id_is_refused() {
    let (dir, world) = (tempfile::tempdir().unwrap(), World::new().await);
    let running = world.start(dir.path()).await;
    let (mut a, mut b) = (client(&running).await, client(&running).await);
    let (first, second) = tokio::join!(a.place(pizza("o-1")), b.place(pizza("o-1")));
    assert_eq!(first.unwrap().into_inner(), second.unwrap().into_inner());
    a.place(pizza("o-1")).await.unwrap();
    assert_eq!(world.tickets.lock().unwrap()["o-1"], 1);
    let mut other = pizza("o-1");
    other.amount_minor = 1;
    assert_eq!(a.place(other).await.unwrap_err().code(), Code::FailedPrecondition);
    running.stop().await.unwrap();
    assert_eq!(world.events.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn bad_requests_are_refused_and_unknown_orders_not_found() {
    let (dir, world) = (tempfile::tempdir().unwrap(), World::new().await);
    let running = world.start(dir.path()).await;
    let mut client = client(&running).await;
    let bad: [fn(&mut contracts::orders_v1::PlaceRequest); 5] = [
        |r| r.order_id.clear(),
        |r| r.amount_minor = 0,
        |r| r.currency = "usd".into(),
        |r| r.items.clear(),
        |r| r.payment_id = "x".repeat(200),
    ];
    for spoil in bad {
        let mut request = pizza("o-1");
        spoil(&mut request);
        assert_eq!(client.place(request).await.unwrap_err().code(), Code::InvalidArgument);
    }
    let unknown = client.get(GetRequest { order_id: "o-9".into() }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert!(world.tickets.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_order_that_the_restaurant_rejects_is_refunded_once() {
    let (dir, world) = (tempfile::tempdir().unwrap(), World::new().await);
    world.is(Till::Rejects);
    let running = world.start(dir.path()).await;
    let reply = client(&running).await.place(pizza("o-1")).await.unwrap().into_inner();
    assert_eq!((reply.state.as_str(), reply.reason.as_str()), ("rejected", "kitchen_busy"));
    reaches(&running, "o-1", "refunded").await;
    let refunds = world.refunds.lock().unwrap().clone();
    assert_eq!(refunds.len(), 1);
    assert_eq!(refunds[0].0, "p-o-1");
    assert_eq!(refunds[0].1["reason"], "kitchen_busy");
}

#[tokio::test]
async fn a_till_that_hangs_or_fails_is_a_no_by_its_deadline() {
    for till in [Till::Hangs, Till::Fails] {
        let (dir, world) = (tempfile::tempdir().unwrap(), World::new().await);
        world.is(till);
        let running = world.start(dir.path()).await;
        let reply = client(&running).await.place(pizza("o-1")).await.unwrap().into_inner();
        assert_eq!(
            (reply.state.as_str(), reply.reason.as_str()),
            ("rejected", "restaurant_unavailable"),
            "{till:?}"
        );
        assert!(world.tickets.lock().unwrap()["o-1"] > 1, "{till:?}: it was asked only once");
        reaches(&running, "o-1", "refunded").await;
    }
}

#[tokio::test]
async fn an_order_that_came_too_late_is_refunded_and_never_cooked() {
    let (dir, world) = (tempfile::tempdir().unwrap(), World::new().await);
    let running = world.start(dir.path()).await;
    let mut late = pizza("o-1");
    late.refund_only = true;
    let reply = client(&running).await.place(late).await.unwrap().into_inner();
    assert_eq!((reply.state.as_str(), reply.reason.as_str()), ("rejected", "too_late"));
    reaches(&running, "o-1", "refunded").await;
    assert!(world.tickets.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_refund_is_asked_for_until_it_is_made_even_over_a_kill() {
    let (dir, world) = (tempfile::tempdir().unwrap(), World::new().await);
    *world.refund_troubles.lock().unwrap() = vec![202, 500, 503];
    let running = world.start(dir.path()).await;
    client(&running).await.place(pizza("o-1")).await.unwrap();
    assert_eq!(tell(&running, "e-1", "order.failed", "o-1", nobody_rides("o-1")).await, 202);
    while world.refunds.lock().unwrap().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    running.kill().await;
    let running = world.start(dir.path()).await;
    reaches(&running, "o-1", "refunded").await;
    assert_eq!(get(&running, "o-1").await.reason, "courier_timeout");
    let refunds = world.refunds.lock().unwrap().clone();
    assert!(
        refunds.len() >= 4
            && refunds.iter().all(|(id, body)| id == "p-o-1" && body["reason"] == "courier_timeout")
    );
}

#[tokio::test]
async fn an_order_whose_service_was_killed_before_the_restaurant_answered_goes_on_afterwards() {
    let (dir, world) = (tempfile::tempdir().unwrap(), World::new().await);
    world.is(Till::Hangs);
    let running = world.start(dir.path()).await;
    let mut caller = client(&running).await;
    let call = tokio::spawn(async move { caller.place(pizza("o-1")).await });
    while world.tickets.lock().unwrap().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    running.kill().await;
    assert!(call.await.unwrap().is_err());
    world.is(Till::Accepts);
    let running = world.start(dir.path()).await;
    reaches(&running, "o-1", "accepted").await;
    let again = client(&running).await.place(pizza("o-1")).await.unwrap().into_inner();
    assert_eq!(again.state, "accepted");
    running.stop().await.unwrap();
    assert_eq!(world.events.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_the_state_forbids_is_set_aside_and_shown() {
    let (dir, world) = (tempfile::tempdir().unwrap(), World::new().await);
    let running = world.start(dir.path()).await;
    client(&running).await.place(pizza("o-1")).await.unwrap();
    tell(&running, "e-1", "tracking.started", "o-1", ride("o-1")).await;
    tell(&running, "e-2", "order.failed", "o-1", nobody_rides("o-1")).await;
    tell(&running, "e-3", "order.delivered", "o-1", ride("o-1")).await;
    assert_eq!(
        tell(&running, "e-4", "order.delivered", "o-1", serde_json::json!({"order_id": 1})).await,
        400
    );
    reaches(&running, "o-1", "delivered").await;
    assert!(world.refunds.lock().unwrap().is_empty());
    let inbox: serde_json::Value =
        reqwest::get(format!("{}/inbox", running.url)).await.unwrap().json().await.unwrap();
    assert_eq!(inbox["dead"], 1);
    assert_eq!(inbox["messages"][0]["event_type"], "order.failed");
    let orders: serde_json::Value =
        reqwest::get(format!("{}/orders", running.url)).await.unwrap().json().await.unwrap();
    assert_eq!(orders["states"]["delivered"], 1);
}

//! Messages: at least once, in order per order, nothing lost, nobody held up by another's trouble.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex},
};

use axum::{
    Json, Router,
    extract::Path as Param,
    http::StatusCode,
    routing::{get, post},
};
use chassis::{App, Error, Kind, Message, Running, Settings, Start};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    broker::left_in_stream,
    support::{eventually, nobody, service, start},
    world::{World, on_every_database, on_every_engine},
};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Body {
    text: String,
}

on_every_engine! {
    messages_of_an_order_arrive_once_and_in_order,
    a_rolled_back_transaction_sends_nothing,
    what_was_committed_before_a_kill_is_sent_after_the_restart,
    a_receiver_killed_at_work_begins_again_with_a_higher_delivery_number,
    a_hanging_message_holds_up_only_its_own_order,
    a_failure_is_tried_again_and_a_hopeless_one_is_set_aside,
    a_handler_that_panics_once_is_called_again_and_the_message_is_done,
    a_known_event_is_acknowledged_and_done_once_and_bad_ones_are_refused,
}

on_every_database! {
    a_refused_message_does_not_hold_up_the_next,
}

pub(crate) type Seen = HashMap<String, Vec<(String, u32)>>;

/// What receivers saw, by order: the tests of this file run in one process, so each uses order ids of its own.
pub(crate) static SEEN: LazyLock<Mutex<Seen>> = LazyLock::new(Mutex::default);

pub(crate) fn seen(order: &str) -> Vec<String> {
    SEEN.lock().unwrap().get(order).into_iter().flatten().map(|(text, _)| text.clone()).collect()
}

pub(crate) fn sender(start: &Start) -> App {
    start.subscribe("thing.done", "notification");
    let (bus, database) = (start.bus.clone(), start.database.clone());
    let publish = move |Param((order, text)): Param<(String, String)>| {
        let (bus, database) = (bus.clone(), database.clone());
        async move {
            let mut tx = database.begin().await?;
            bus.publish(&mut tx, "thing.done", &order, &Body { text: text.clone() }).await?;
            if text == "rollback" {
                return Err(Error::conflict("rolled back"));
            }
            tx.commit().await?;
            Ok::<_, Error>(())
        }
    };
    App::new().http(Router::new().route("/send/{order}/{text}", post(publish)))
}

pub(crate) fn receiver(_: &Start) -> App {
    App::new().on("thing.done", |message: Message<Body>| async move {
        let text = message.body.text.clone();
        match text.as_str() {
            "hang" => std::future::pending::<()>().await,
            "fails-once" if message.delivery == 1 => {
                return Err(Error::new(Kind::Unavailable, "not now"));
            }
            "cut-down" if message.delivery == 1 => std::future::pending::<()>().await,
            "fails-late" if message.delivery == 1 => {
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                return Err(Error::new(Kind::Unavailable, "too late"));
            }
            "slow" => tokio::time::sleep(std::time::Duration::from_secs(5)).await,
            "fails-for-ever" => return Err(Error::new(Kind::Unavailable, "still not")),
            "hopeless" => return Err(Error::invalid("never")),
            "panics-once" if message.delivery == 1 => panic!("this once"),
            "panics" => panic!("by request"),
            _ => {}
        }
        SEEN.lock().unwrap().entry(message.order_id).or_default().push((text, message.delivery));
        Ok(())
    })
}

pub(crate) async fn send(url: &str, order: &str, text: &str) -> StatusCode {
    reqwest::Client::new().post(format!("{url}/send/{order}/{text}")).send().await.unwrap().status()
}

pub(crate) async fn book(running: &Running, name: &str) -> Value {
    reqwest::get(format!("{}/{name}", running.url)).await.unwrap().json().await.unwrap()
}

pub(crate) fn to(world: &World, notification: &str) -> Settings {
    world.settings("sender", &[("NOTIFICATION_URL", notification)])
}

pub(crate) async fn delivered(order: &str, want: &[&str]) {
    eventually(&format!("{order} gets {want:?}"), async || (seen(order) == want).then_some(())).await;
}

async fn messages_of_an_order_arrive_once_and_in_order(world: &World) {
    let receiving = start(service("notification", receiver), world.settings("r", &[])).await;
    let sending = start(service("tracking", sender), to(world, &receiving.url)).await;
    let texts: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    for text in &texts {
        assert_eq!(send(&sending.url, &world.id("o-order"), text).await, 200);
    }
    delivered(&world.id("o-order"), &texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    eventually("the outbox is empty", async || (book(&sending, "outbox").await["open"] == 0).then_some(()))
        .await;
    sending.stop().await.unwrap();
    receiving.stop().await.unwrap();
}

async fn a_rolled_back_transaction_sends_nothing(world: &World) {
    let receiving = start(service("notification", receiver), world.settings("r", &[])).await;
    let sending = start(service("tracking", sender), to(world, &receiving.url)).await;
    assert_eq!(send(&sending.url, &world.id("o-rollback"), "rollback").await, 409);
    assert_eq!(send(&sending.url, &world.id("o-rollback"), "kept").await, 200);
    delivered(&world.id("o-rollback"), &["kept"]).await;
    eventually("it is settled", async || (book(&receiving, "inbox").await["done"] == 1).then_some(())).await;
    assert_eq!(seen(&world.id("o-rollback")), ["kept"]);
}

async fn what_was_committed_before_a_kill_is_sent_after_the_restart(world: &World) {
    // Nobody listens there yet: the event is committed and cannot leave.
    let address = nobody().to_string();
    let url = format!("http://{address}");
    let sending = start(service("tracking", sender), to(world, &url)).await;
    assert_eq!(send(&sending.url, &world.id("o-kill"), "survives").await, 200);
    sending.kill().await;

    let sending = start(service("tracking", sender), to(world, &url)).await;
    if !world.has_broker() {
        let failing = eventually("a failed attempt is in the book", async || {
            let outbox = book(&sending, "outbox").await;
            (outbox["messages"][0]["attempts"].as_i64()? > 0).then_some(outbox)
        });
        let failing = failing.await;
        assert_eq!(failing["open"], 1);
        assert_eq!(failing["messages"][0]["order_id"], world.id("o-kill"));
    }
    let receiving =
        start(service("notification", receiver), world.settings("r", &[("WAYBILL_LISTEN", &address)])).await;
    delivered(&world.id("o-kill"), &["survives"]).await;
    receiving.stop().await.unwrap();
}

async fn a_receiver_killed_at_work_begins_again_with_a_higher_delivery_number(world: &World) {
    let receiving = start(service("notification", receiver), world.settings("r", &[])).await;
    let sending = start(service("tracking", sender), to(world, &receiving.url)).await;
    assert_eq!(send(&sending.url, &world.id("o-cut"), "cut-down").await, 200);
    eventually("the receiver has it", async || (book(&receiving, "inbox").await["open"] == 1).then_some(()))
        .await;
    receiving.kill().await;
    let receiving = start(service("notification", receiver), world.settings("r", &[])).await;
    delivered(&world.id("o-cut"), &["cut-down"]).await;
    assert_eq!(SEEN.lock().unwrap()[&world.id("o-cut")][0].1, 2);
    receiving.stop().await.unwrap();
}

async fn a_hanging_message_holds_up_only_its_own_order(world: &World) {
    let quick = world.settings("r", &[("WAYBILL_DRAIN_TIMEOUT", "100ms")]);
    let receiving = start(service("notification", receiver), quick).await;
    let sending = start(service("tracking", sender), to(world, &receiving.url)).await;
    send(&sending.url, &world.id("o-hang"), "hang").await;
    send(&sending.url, &world.id("o-hang"), "behind").await;
    for n in 0..10 {
        send(&sending.url, &world.id(&format!("o-free-{n}")), "passes").await;
    }
    for n in 0..10 {
        delivered(&world.id(&format!("o-free-{n}")), &["passes"]).await;
    }
    assert_eq!(seen(&world.id("o-hang")), Vec::<String>::new());
    eventually("only the hanging order is open", async || {
        (book(&receiving, "inbox").await["open"] == 2).then_some(())
    })
    .await;
    receiving.stop().await.unwrap();
}

async fn a_failure_is_tried_again_and_a_hopeless_one_is_set_aside(world: &World) {
    let receiving = start(service("notification", receiver), world.settings("r", &[])).await;
    let sending = start(service("tracking", sender), to(world, &receiving.url)).await;
    send(&sending.url, &world.id("o-again"), "fails-once").await;
    send(&sending.url, &world.id("o-never"), "hopeless").await;
    send(&sending.url, &world.id("o-never"), "after").await;
    send(&sending.url, &world.id("o-panic"), "panics").await;
    delivered(&world.id("o-again"), &["fails-once"]).await;
    assert_eq!(SEEN.lock().unwrap()[&world.id("o-again")][0].1, 2);
    delivered(&world.id("o-never"), &["after"]).await;
    let inbox = eventually("both troubles are in the book", async || {
        let inbox = book(&receiving, "inbox").await;
        (inbox["messages"].as_array()?.iter().filter(|m| m["last_error"] != "").count() == 2).then_some(inbox)
    });
    assert_eq!(inbox.await["dead"], 1);
}

async fn a_handler_that_panics_once_is_called_again_and_the_message_is_done(world: &World) {
    let receiving = start(service("notification", receiver), world.settings("r", &[])).await;
    let sending = start(service("tracking", sender), to(world, &receiving.url)).await;
    send(&sending.url, &world.id("o-panics-once"), "panics-once").await;
    send(&sending.url, &world.id("o-panics-once"), "behind").await;
    delivered(&world.id("o-panics-once"), &["panics-once", "behind"]).await;
    assert_eq!(SEEN.lock().unwrap()[&world.id("o-panics-once")][0].1, 2);
    eventually("nothing of it is under way any more", async || {
        let inbox = book(&receiving, "inbox").await;
        let left = if world.has_broker() { left_in_stream(world).await } else { 0 };
        (inbox["done"] == 2 && inbox["open"] == 0 && inbox["dead"] == 0 && left == 0).then_some(())
    })
    .await;
}

async fn event(
    world: &World,
    url: &str,
    id: &str,
    headers: &[(&'static str, &str)],
    body: &'static str,
) -> StatusCode {
    let order = world.id("o-raw");
    let base = [
        ("ce-specversion", "1.0"),
        ("ce-source", "/test"),
        ("ce-type", "thing.done"),
        ("ce-subject", &order),
        ("content-type", "application/json"),
    ];
    let mut all = http::HeaderMap::new();
    for (name, value) in base.iter().chain(headers) {
        all.insert(*name, value.parse().unwrap());
    }
    if !id.is_empty() {
        all.insert("ce-id", id.parse().unwrap());
    }
    reqwest::Client::new()
        .post(format!("{url}/events"))
        .headers(all)
        .body(body)
        .send()
        .await
        .unwrap()
        .status()
}

async fn a_known_event_is_acknowledged_and_done_once_and_bad_ones_are_refused(world: &World) {
    let receiving = start(service("notification", receiver), world.settings("r", &[])).await;
    let url = &receiving.url;
    let good = r#"{"text":"raw"}"#;
    assert_eq!(event(world, url, "e-1", &[], good).await, 202);
    assert_eq!(event(world, url, "e-1", &[], good).await, 200);
    delivered(&world.id("o-raw"), &["raw"]).await;
    assert_eq!(event(world, url, "e-1", &[], good).await, 200);
    for (id, headers, body) in [
        ("", &[][..], good),
        ("e-2", &[("ce-specversion", "0.3")][..], good),
        ("e-3", &[("ce-type", "thing.unheard-of")][..], good),
        ("e-4", &[][..], "{"),
        ("e-5", &[][..], r#"{"text":1}"#),
        ("e-6", &[("ce-subject", "")][..], good),
    ] {
        assert_eq!(event(world, url, id, headers, body).await, 400, "{id}");
    }
    assert_eq!(event(world, url, "e-7", &[("content-type", "text/plain")], good).await, 415);
    assert_eq!(event(world, url, "e-8", &[], good).await, 202);
    delivered(&world.id("o-raw"), &["raw", "raw"]).await;
}

async fn a_refused_message_does_not_hold_up_the_next(world: &World) {
    let picky = |_: &Start| {
        let take = async |headers: http::HeaderMap, Json(v): Json<Value>| {
            let order = headers["ce-subject"].to_str().unwrap().to_owned();
            if v["text"] == "poison" {
                return Err(Error::invalid("poison"));
            }
            SEEN.lock().unwrap().entry(order).or_default().push((v["text"].to_string(), 1));
            Ok(())
        };
        App::new().http(Router::new().route("/events", post(take)).route("/x", get(async || "")))
    };
    let receiving = start(service("picky", picky), world.settings("p", &[])).await;
    let sending = start(service("tracking", sender), to(world, &receiving.url)).await;
    send(&sending.url, &world.id("o-picky"), "poison").await;
    send(&sending.url, &world.id("o-picky"), "next").await;
    delivered(&world.id("o-picky"), &["\"next\""]).await;
    let left = eventually("only the poison is left", async || {
        let outbox = book(&sending, "outbox").await;
        (outbox["open"] == 1).then_some(outbox)
    });
    let left = left.await;
    assert_eq!(left["messages"][0]["refused"], true);
    assert_eq!(left["messages"][0]["last_error"], "answered 400");
}

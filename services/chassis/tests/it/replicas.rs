//! Two processes of one service on one PostgreSQL database: everything is done, nothing twice, and one takes over from the
//! other.

use std::time::Duration;

use chassis::Running;
use sqlx::{AnyConnection, Connection};

use crate::{
    bus::{SEEN, book, delivered, receiver, seen, send, sender, to},
    support::{eventually, service, start},
    world::{World, tests_on},
};

tests_on!(
    postgres,
    two_share_the_work_and_none_is_done_twice,
    what_a_killed_process_had_in_hand_is_taken_over,
    what_another_has_done_meanwhile_stays_done_when_this_one_fails,
);
tests_on!(nats, two_share_the_work_and_none_is_done_twice,);

async fn two(world: &World) -> [Running; 2] {
    let one = start(service("notification", receiver), world.settings("r", &[])).await;
    let other = start(service("notification", receiver), world.settings("r", &[])).await;
    [one, other]
}

async fn two_share_the_work_and_none_is_done_twice(world: &World) {
    let receivers = two(world).await;
    // Each sender has one of the receivers for its HTTP messages; both relays empty the same outbox.
    let senders = [
        start(service("tracking", sender), to(world, &receivers[0].url)).await,
        start(service("tracking", sender), to(world, &receivers[1].url)).await,
    ];
    let orders: Vec<_> = (0..40).map(|n| world.id(&format!("o-shared-{n}"))).collect();
    for text in ["one", "two", "three"] {
        for (n, order) in orders.iter().enumerate() {
            assert_eq!(send(&senders[n % 2].url, order, text).await, 200);
        }
    }
    for order in &orders {
        delivered(order, &["one", "two", "three"]).await;
    }
    eventually("all is settled", async || {
        let (outbox, inbox) = (book(&senders[0], "outbox").await, book(&receivers[0], "inbox").await);
        (outbox["open"] == 0 && inbox["open"] == 0).then_some(())
    })
    .await;
    // Nothing comes after the end, either.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for order in &orders {
        assert_eq!(seen(order), ["one", "two", "three"]);
        let deliveries: Vec<_> = SEEN.lock().unwrap()[order].iter().map(|(_, d)| *d).collect();
        assert_eq!(deliveries, [1, 1, 1]);
    }
}

async fn what_a_killed_process_had_in_hand_is_taken_over(world: &World) {
    let [one, other] = two(world).await;
    let sending = start(service("tracking", sender), to(world, &one.url)).await;
    // The process that is told works on it at once, and does not come to an end.
    send(&sending.url, &world.id("o-in-hand"), "cut-down").await;
    eventually("it is in hand", async || (book(&one, "inbox").await["open"] == 1).then_some(())).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    one.kill().await;
    // A third process counts what is open as delivered again, and either of the two may have it.
    let third = start(service("notification", receiver), world.settings("r", &[])).await;
    eventually("it is settled", async || (book(&third, "inbox").await["open"] == 0).then_some(())).await;
    assert_eq!(seen(&world.id("o-in-hand")), ["cut-down"]);
    other.stop().await.unwrap();
}

async fn what_another_has_done_meanwhile_stays_done_when_this_one_fails(world: &World) {
    let one = start(service("notification", receiver), world.settings("r", &[])).await;
    let sending = start(service("tracking", sender), to(world, &one.url)).await;
    let order = world.id("o-both");
    send(&sending.url, &order, "fails-late").await;
    eventually("it is in hand", async || (book(&one, "inbox").await["open"] == 1).then_some(())).await;
    // Another process thought this one gone, took the message over and came to its end.
    let mut other = AnyConnection::connect(&world.database("r")).await.unwrap();
    let settle = "UPDATE inbox SET state = 'done', body = '' WHERE state = 'open'";
    sqlx::query(settle).execute(&mut other).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    send(&sending.url, &order, "after").await;
    delivered(&order, &["after"]).await;
    eventually("both are settled", async || (book(&one, "inbox").await["open"] == 0).then_some(())).await;
    let inbox = book(&one, "inbox").await;
    assert_eq!((&inbox["done"], &inbox["dead"]), (&2.into(), &0.into()), "{inbox}");
    one.stop().await.unwrap();
}

//! What only a broker has: acknowledgement after the work, progress while it lasts, dead letters, and a server of its own
//! that dies or cannot be reached.

use async_nats::jetstream;
use chassis::{
    Settings,
    bus::{DeadLetter, DeadLetterBox},
};

use crate::{
    bus::{SEEN, book, delivered, receiver, seen, send, sender},
    proxy::Proxy,
    support::{eventually, service, start},
    world::World,
};

macro_rules! world {
    () => {
        match World::nats() {
            Some(world) => world,
            None => return,
        }
    };
}

async fn stream(world: &World, name: &str) -> jetstream::stream::Stream {
    let client = async_nats::connect(world.nats_url()).await.unwrap();
    jetstream::new(client).get_stream(name).await.unwrap()
}

fn dead_letter_box(world: &World) -> DeadLetterBox {
    DeadLetterBox::from_settings(&Settings::from_pairs([("NATS_URL", world.nats_url())])).unwrap()
}

async fn dead_letters(world: &World, since_ms: i64) -> Vec<DeadLetter> {
    dead_letter_box(world).read(since_ms, 10).await.unwrap().letters
}

async fn left_in_stream(world: &World) -> u64 {
    stream(world, "waybill-notification").await.info().await.unwrap().state.messages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_longer_than_the_ack_wait_is_done_once_and_acknowledged_when_done() {
    let world = world!();
    let receiving = start(service("notification", receiver), world.settings("r", &[])).await;
    let sending = start(service("tracking", sender), world.settings("sender", &[])).await;
    assert_eq!(send(&sending.url, &world.id("o-slow"), "slow").await, 200);
    eventually("it is being worked on", async || {
        (book(&receiving, "inbox").await["open"] == 1).then_some(())
    })
    .await;
    assert_eq!(left_in_stream(&world).await, 1, "not acknowledged before the work is done");
    delivered(&world.id("o-slow"), &["slow"]).await;
    eventually("it is acknowledged", async || (left_in_stream(&world).await == 0).then_some(())).await;
    let stream = stream(&world, "waybill-notification").await;
    let mut consumer: jetstream::consumer::PullConsumer = stream.get_consumer("notification").await.unwrap();
    let info = consumer.info().await.unwrap();
    assert_eq!(
        (info.num_redelivered, info.delivered.consumer_sequence),
        (0, 1),
        "delivered once, in 5 s of work"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_handled_in_vain_is_a_dead_letter_and_terminated() {
    let world = world!();
    assert_eq!(dead_letters(&world, 0).await, []);
    let three = world.settings("r", &[("WAYBILL_MESSAGE_ATTEMPTS", "3")]);
    let receiving = start(service("notification", receiver), three).await;
    let sending = start(service("tracking", sender), world.settings("sender", &[])).await;
    send(&sending.url, &world.id("o-hopeless"), "hopeless").await;
    send(&sending.url, &world.id("o-tries"), "fails-for-ever").await;
    let mut letters = eventually("both are among the dead letters", async || {
        Some(dead_letters(&world, 0).await).filter(|letters| letters.len() == 2)
    })
    .await;
    letters.sort_by_key(|letter| letter.attempts);
    let told: Vec<_> = letters.iter().map(|l| (l.order_id.as_str(), l.attempts, l.error.as_str())).collect();
    let (hopeless, tries) = (world.id("o-hopeless"), world.id("o-tries"));
    assert_eq!(told, [(hopeless.as_str(), 1, "never"), (tries.as_str(), 3, "still not")]);
    for letter in &letters {
        assert_eq!((letter.service.as_str(), letter.source.as_str()), ("notification", "tracking"));
        assert_eq!(letter.event_type, "thing.done");
        assert!(letter.created_ms.is_some() && letter.created_ms <= letter.failed_ms, "{letter:?}");
    }
    let kept = stream(&world, "waybill-dead").await.get_last_raw_message_by_subject("dead.>").await.unwrap();
    assert!(kept.payload.starts_with(b"{\"text\""), "the data is kept: {:?}", kept.payload);
    let later = letters.iter().filter_map(|l| l.failed_ms).max().unwrap() + 60_000;
    assert_eq!(dead_letters(&world, later).await, [], "only what was given up since");
    let newest = dead_letter_box(&world).read(0, 1).await.unwrap();
    assert_eq!((newest.letters.len(), newest.unread), (1, 1), "no more than is asked for");
    eventually("nothing is left", async || (left_in_stream(&world).await == 0).then_some(())).await;
    assert_eq!(book(&receiving, "inbox").await["dead"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_makes_no_sense_is_a_dead_letter_and_holds_up_nobody() {
    let world = world!();
    let receiving = start(service("notification", receiver), world.settings("r", &[])).await;
    let sending = start(service("tracking", sender), world.settings("sender", &[])).await;
    send(&sending.url, &world.id("o-first"), "first").await;
    delivered(&world.id("o-first"), &["first"]).await;
    let jetstream = jetstream::new(async_nats::connect(world.nats_url()).await.unwrap());
    let sent = jetstream.publish("waybill.notification.x.thing.done", "{".into()).await.unwrap();
    sent.await.unwrap();
    send(&sending.url, &world.id("o-next"), "next").await;
    delivered(&world.id("o-next"), &["next"]).await;
    let letters = eventually("it is among the dead letters", async || {
        Some(dead_letters(&world, 0).await).filter(|letters| letters.len() == 1)
    });
    assert!(letters.await[0].error.contains("ce-"), "it says what is missing");
    eventually("nothing is left", async || (left_in_stream(&world).await == 0).then_some(())).await;
    receiving.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_dies_or_comes_late_holds_messages_up_and_loses_none() {
    let mut world = world!();
    world.broker().kill();
    let receiving = start(service("notification", receiver), world.settings("r", &[])).await;
    let sending = start(service("tracking", sender), world.settings("sender", &[])).await;
    let order = world.id("o-outage");
    let mut sent = Vec::new();
    for round in 0..3 {
        for n in 0..5 {
            let text = format!("{round}-{n}");
            assert_eq!(send(&sending.url, &order, &text).await, 200, "orders are taken all the same");
            sent.push(text);
        }
        let ready = book(&sending, "readyz").await;
        assert_eq!((&ready["status"], &ready["nats"]), (&"ready".into(), &"away: messages wait".into()));
        assert_eq!(book(&sending, "outbox").await["open"], 5);
        world.broker().run();
        delivered(&order, &sent.iter().map(String::as_str).collect::<Vec<_>>()).await;
        eventually("the outbox is empty", async || {
            (book(&sending, "outbox").await["open"] == 0).then_some(())
        })
        .await;
        world.broker().kill();
        eventually("it is missed", async || {
            (book(&sending, "readyz").await["nats"] != "connected").then_some(())
        })
        .await;
    }
    receiving.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_to_the_broker_loses_nothing_and_repeats_nothing() {
    let mut world = world!();
    let proxy = Proxy::to(world.broker().address());
    let through = format!("nats://{}", proxy.address);
    let quick = [("NATS_URL", through.as_str()), ("WAYBILL_DELIVERY_TIMEOUT", "2s")];
    let receiving = start(service("notification", receiver), world.settings("r", &quick)).await;
    let sending = start(service("tracking", sender), world.settings("sender", &quick)).await;
    let order = world.id("o-cut-off");
    send(&sending.url, &order, "before").await;
    delivered(&order, &["before"]).await;
    proxy.cut();
    for text in ["during-1", "during-2"] {
        assert_eq!(send(&sending.url, &order, text).await, 200);
    }
    eventually("an attempt has failed", async || {
        (book(&sending, "outbox").await["messages"][0]["attempts"].as_i64()? > 0).then_some(())
    })
    .await;
    proxy.mend();
    delivered(&order, &["before", "during-1", "during-2"]).await;
    eventually("all are settled", async || {
        let done =
            book(&receiving, "inbox").await["done"] == 3 && book(&sending, "outbox").await["open"] == 0;
        done.then_some(())
    })
    .await;
    assert_eq!(seen(&order).len(), 3, "{:?}", SEEN.lock().unwrap()[&order]);
}

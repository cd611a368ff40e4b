//! What only a broker has: acknowledgement after the work, progress while it lasts, dead letters, and a server of its own
//! that dies or cannot be reached.

use async_nats::{
    HeaderMap,
    header::NATS_MESSAGE_ID,
    jetstream::{
        self,
        consumer::PullConsumer,
        message::StreamMessage,
        stream::{Config as StreamConfig, DiscardPolicy},
    },
};
use chassis::{
    Settings,
    bus::{DeadLetter, DeadLetterBox},
};
use futures::{FutureExt, StreamExt};

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

async fn jetstream(world: &World) -> jetstream::Context {
    jetstream::new(async_nats::connect(world.nats_url()).await.unwrap())
}

async fn stream(world: &World, name: &str) -> jetstream::stream::Stream {
    jetstream(world).await.get_stream(name).await.unwrap()
}

/// How often the broker has handed a message to the receiver, the same one again included.
async fn deliveries(world: &World) -> u64 {
    let stream = stream(world, "waybill-notification").await;
    let mut consumer: PullConsumer = stream.get_consumer("notification").await.unwrap();
    consumer.info().await.unwrap().delivered.consumer_sequence
}

fn dead_letter_box(world: &World) -> DeadLetterBox {
    DeadLetterBox::from_settings(&Settings::from_pairs([("NATS_URL", world.nats_url())])).unwrap()
}

async fn dead_letters(world: &World, since_ms: i64) -> Vec<DeadLetter> {
    dead_letter_box(world).read(since_ms, 10).await.unwrap().letters
}

pub(crate) async fn left_in_stream(world: &World) -> u64 {
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
    let mut consumer: PullConsumer = stream.get_consumer("notification").await.unwrap();
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
    let jetstream = jetstream(&world).await;
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

/// The first message in the receiver's stream, as its sender has published it.
async fn published(world: &World) -> StreamMessage {
    eventually("it is in the stream", async || {
        let stream = jetstream(world).await.get_stream("waybill-notification").await.ok()?;
        stream.get_first_raw_message_by_subject("waybill.>", 1).await.ok()
    })
    .await
}

/// Publishes the same event once more, under the message id `id`; whether JetStream calls it a duplicate.
async fn published_again(world: &World, first: &StreamMessage, id: &str) -> bool {
    let mut headers: HeaderMap = first.headers.clone();
    headers.insert(NATS_MESSAGE_ID, id);
    let jetstream = jetstream(world).await;
    let sent = jetstream.publish_with_headers(first.subject.clone(), headers, first.payload.clone());
    sent.await.unwrap().await.unwrap().duplicate
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_published_again_is_dropped_by_the_broker_and_delivered_once() {
    let world = world!();
    let sending = start(service("tracking", sender), world.settings("sender", &[])).await;
    assert_eq!(send(&sending.url, &world.id("o-twice"), "twice").await, 200);
    let first = published(&world).await;
    let id = first.headers.get("ce-id").unwrap().to_string();
    assert!(published_again(&world, &first, &id).await, "while the first waits");
    assert_eq!(left_in_stream(&world).await, 1);
    let receiving = start(service("notification", receiver), world.settings("r", &[])).await;
    delivered(&world.id("o-twice"), &["twice"]).await;
    eventually("it is acknowledged", async || (left_in_stream(&world).await == 0).then_some(())).await;
    assert!(published_again(&world, &first, &id).await, "when the first is long done");
    let state = stream(&world, "waybill-notification").await.info().await.unwrap().state.clone();
    assert_eq!((state.messages, state.last_sequence), (0, 1), "no other was ever there to be delivered");
    assert_eq!(book(&receiving, "inbox").await["done"], 1);
    assert_eq!(seen(&world.id("o-twice")), ["twice"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_the_broker_has_forgotten_and_delivers_again_is_handled_once() {
    let world = world!();
    let sending = start(service("tracking", sender), world.settings("sender", &[])).await;
    assert_eq!(send(&sending.url, &world.id("o-forgotten"), "forgotten").await, 200);
    let first = published(&world).await;
    // Another message id is a new message to JetStream, as the same one is when its window of ten minutes is over.
    assert!(!published_again(&world, &first, "later-1").await);
    assert_eq!(left_in_stream(&world).await, 2);
    let receiving = start(service("notification", receiver), world.settings("r", &[])).await;
    eventually("both are acknowledged", async || (left_in_stream(&world).await == 0).then_some(())).await;
    assert_eq!(seen(&world.id("o-forgotten")), ["forgotten"]);
    let before = deliveries(&world).await;
    assert!(!published_again(&world, &first, "later-2").await);
    eventually("so is one that comes when it is done", async || {
        (deliveries(&world).await > before && left_in_stream(&world).await == 0).then_some(())
    })
    .await;
    assert_eq!(seen(&world.id("o-forgotten")), ["forgotten"]);
    let inbox = book(&receiving, "inbox").await;
    assert_eq!((&inbox["done"], &inbox["open"], &inbox["dead"]), (&1.into(), &0.into(), &0.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_terminated_only_when_it_is_among_the_dead_letters_and_tried_again_until_then() {
    let world = world!();
    // As large as an operator has made it, and full: one letter of somebody else.
    let full = StreamConfig {
        name: "waybill-dead".to_owned(),
        subjects: vec!["dead.>".to_owned()],
        max_messages: 1,
        discard: DiscardPolicy::New,
        ..StreamConfig::default()
    };
    let jetstream = jetstream(&world).await;
    let dead = jetstream.create_stream(full).await.unwrap();
    jetstream.publish("dead.somebody.else", "{}".into()).await.unwrap().await.unwrap();
    let advisory = "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.waybill-notification.notification";
    let mut terminated = jetstream.client().subscribe(advisory).await.unwrap();

    let receiving = start(service("notification", receiver), world.settings("r", &[])).await;
    let sending = start(service("tracking", sender), world.settings("sender", &[])).await;
    send(&sending.url, &world.id("o-unburied"), "hopeless").await;
    eventually("it was handed out again", async || {
        let again = book(&receiving, "inbox").await["dead"] == 1 && deliveries(&world).await > 1;
        again.then_some(())
    })
    .await;
    send(&sending.url, &world.id("o-beside"), "passes").await;
    delivered(&world.id("o-beside"), &["passes"]).await;
    eventually("it alone is left", async || (left_in_stream(&world).await == 1).then_some(())).await;
    assert_eq!(dead.get_info().await.unwrap().state.messages, 1, "the other's letter");
    assert!(terminated.next().now_or_never().is_none(), "nothing is terminated that is not buried");

    dead.purge().await.unwrap();
    let told = tokio::time::timeout(std::time::Duration::from_secs(30), terminated.next()).await;
    assert!(told.unwrap().is_some(), "JetStream says that it was terminated, not acknowledged");
    let letters = dead_letters(&world, 0).await;
    let told: Vec<_> = letters.iter().map(|l| (l.order_id.as_str(), l.attempts, l.error.as_str())).collect();
    assert_eq!(told, [(world.id("o-unburied").as_str(), 1, "never")], "handled once, buried once, by then");
    eventually("nothing is left", async || (left_in_stream(&world).await == 0).then_some(())).await;
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

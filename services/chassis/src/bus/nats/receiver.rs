//! The receiving side over NATS: each message is committed to the inbox, held while it is worked on, and acknowledged when
//! the work is done. A process that dies lets go of what it held; JetStream delivers it again, and the inbox knows it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_nats::{
    HeaderMap,
    jetstream::{
        self, AckKind,
        consumer::{AckPolicy, pull::Config as PullConfig},
        message::Acker,
    },
};
use futures::{FutureExt, StreamExt};
use telemetry::{context, messaging};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Nats, ROOT, Trouble, word};
use crate::{
    Error, Kind,
    bus::{
        Bus, Event, cloudevents,
        inbox::{self, Consumers, Known},
    },
    error::Result,
};

/// Messages asked for at once.
const BATCH: usize = 64;
/// Messages that are delivered and not yet acknowledged, at most; further ones wait in the stream.
const UNACKNOWLEDGED: i64 = 10_000;
/// Pause before a message is delivered again that the database could not take.
const AGAIN: Duration = Duration::from_secs(2);
/// The same for one that has overtaken another of its order.
const TOO_EARLY: Duration = Duration::from_millis(100);
/// Messages of one order that are looked at for that.
const EARLIER: usize = 100;

type Key = (String, String);

/// Messages that are being worked on, by source and id.
#[derive(Debug, Default)]
pub(in crate::bus) struct Held(Mutex<HashMap<Key, Holding>>);

struct Holding {
    acker: Arc<Acker>,
    headers: HeaderMap,
    body: bytes::Bytes,
    since: Instant,
}

/// Receives until `stop`.
pub(in crate::bus) async fn receive(
    bus: Bus,
    nats: Arc<Nats>,
    consumers: Consumers,
    stop: CancellationToken,
) {
    let pull = async {
        let mut told = false;
        while !stop.is_cancelled() {
            if let Err(e) = pull(&bus, &nats, &consumers, &stop).await {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(error = %e, "no messages from NATS for now; tried again every second");
                }
                let _ = stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(1))).await;
            } else {
                told = false;
            }
        }
    };
    futures::join!(pull, beat(&bus, &nats, &stop));
}

/// One life of the subscription: ends with the connection, with what lies on the server, or with `stop`.
async fn pull(
    bus: &Bus,
    nats: &Nats,
    consumers: &Consumers,
    stop: &CancellationToken,
) -> Result<(), Trouble> {
    let stream = nats.stream(nats.name).await?;
    let config = PullConfig {
        durable_name: Some(nats.name.to_owned()),
        filter_subject: format!("{ROOT}.{}.>", nats.name),
        ack_policy: AckPolicy::Explicit,
        ack_wait: nats.ack_wait,
        // How often something is tried is ours to count: JetStream would drop it without a word.
        max_deliver: -1,
        max_ack_pending: UNACKNOWLEDGED,
        ..PullConfig::default()
    };
    let consumer = stream.create_consumer(config).await.map_err(Trouble::of)?;
    let messages = consumer
        .stream()
        .max_messages_per_batch(BATCH)
        .expires(Duration::from_secs(30))
        .heartbeat(Duration::from_secs(5));
    let mut messages = messages.messages().await.map_err(Trouble::of)?;
    loop {
        let next = tokio::select! {
            next = messages.next() => next,
            () = stop.cancelled() => {
                // What was delivered already would be missed for as long as an ack may take.
                for _ in 0..BATCH {
                    match messages.next().now_or_never() {
                        Some(Some(Ok(message))) => take(bus, nats, consumers, message).await,
                        _ => break,
                    }
                }
                return Ok(());
            }
        };
        match next {
            Some(Ok(message)) => take(bus, nats, consumers, message).await,
            Some(Err(e)) => return Err(Trouble::of(e)),
            None => return Err(Trouble("the subscription has ended".to_owned())),
        }
    }
}

/// Takes one message as far as the inbox.
async fn take(bus: &Bus, nats: &Nats, consumers: &Consumers, message: jetstream::Message) {
    let at = message.info().ok().map(|info| info.stream_sequence);
    let (message, acker) = message.split();
    let acker = Arc::new(acker);
    let headers = message.headers.unwrap_or_default();
    let http = as_http(&headers);
    let scope = context::extract(&http, true);
    let work = async {
        let read = cloudevents::read(&http, &message.payload);
        let checked = read.and_then(|event| inbox::check(consumers, &event).map(|()| event));
        let event = match checked {
            Ok(event) => event,
            Err(e) => {
                tracing::error!(error.type = e.slug(), subject = %message.subject, "a message that nobody here can read: {e}");
                let holding = Holding { acker, headers, body: message.payload, since: Instant::now() };
                return nats.end_dead(&holding, e.detail(), 1).await;
            }
        };
        let span = bus.span_of(&event.event_type, &event.id, &event.subject).consumer_group(nats.name);
        let accept = async {
            if nats.overtakes(bus, &event, at).await? {
                Ok(None)
            } else {
                inbox::accept(bus, &event).await.map(Some)
            }
        };
        let known = messaging::receive(&span, &event.created, accept).await;
        let holding = Holding { acker, headers, body: message.payload, since: Instant::now() };
        match known {
            Ok(Some(Known::Open)) => nats.hold(&event, holding),
            Ok(Some(Known::Done)) => acknowledge(&holding.acker, AckKind::Ack).await,
            Ok(Some(Known::Dead { error, delivery })) => nats.end_dead(&holding, &error, delivery).await,
            Ok(None) => acknowledge(&holding.acker, AckKind::Nak(Some(TOO_EARLY))).await,
            Err(e) => {
                tracing::warn!(causes = e.causes(), "a message could not be committed; it comes again: {e}");
                acknowledge(&holding.acker, AckKind::Nak(Some(AGAIN))).await;
            }
        }
    };
    scope.run(work).await;
}

/// While the work on a message lasts JetStream is told so, well within its patience. What another process of this service
/// has done meanwhile is acknowledged here, where the message is held.
async fn beat(bus: &Bus, nats: &Nats, stop: &CancellationToken) {
    let pause = nats.ack_wait / 3;
    while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        let old = nats.held.older_than(pause);
        if old.is_empty() {
            continue;
        }
        let open: HashSet<Key> = match inbox::open_keys(bus).await {
            Ok(open) => open.into_iter().collect(),
            // The database is away: whoever works on them does so still.
            Err(_) => old.iter().cloned().collect(),
        };
        for key in old {
            if open.contains(&key) {
                if let Some(acker) = nats.held.acker(&key) {
                    acknowledge(&acker, AckKind::Progress).await;
                }
                continue;
            }
            match inbox::known(bus, &key.0, &key.1).await {
                Ok(known) => nats.settled(&key.0, &key.1, known.unwrap_or(Known::Done)).await,
                Err(e) => tracing::warn!(error = %e, "cannot tell how a message went"),
            }
        }
    }
}

// === impl Nats ===

impl Nats {
    /// Whether an earlier message of the same order is still in the stream and not in the inbox: another process has it in
    /// its hands, or had when it died. Then this one waits, so that an order's events stay in order. `at` is this one's place
    /// in the stream.
    async fn overtakes(&self, bus: &Bus, event: &Event, at: Option<u64>) -> Result<bool> {
        let Some(at) = at else { return Ok(false) };
        let name = format!("{ROOT}-{}", self.name);
        let jetstream = self.jetstream().await.map_err(away)?;
        let stream = jetstream.get_stream_no_info(name).await.map_err(away)?;
        let subject = format!("{ROOT}.{}.{}.>", self.name, word(&event.subject));
        let mut next = 1;
        for _ in 0..EARLIER {
            let Ok(earlier) = stream.get_first_raw_message_by_subject(&subject, next).await else {
                // Nothing is there, this one included: it was acknowledged elsewhere, and the inbox knows it.
                return Ok(false);
            };
            if earlier.sequence >= at {
                return Ok(false);
            }
            let text =
                |name: &str| earlier.headers.get(name).map(|v| v.as_str().to_owned()).unwrap_or_default();
            let (source, id) = (text("ce-source"), text("ce-id"));
            let known = inbox::known(bus, source.trim_start_matches('/'), &id).await?;
            if known.is_none() && !id.is_empty() {
                return Ok(true);
            }
            next = earlier.sequence + 1;
        }
        Ok(false)
    }

    fn hold(&self, event: &Event, holding: Holding) {
        let key = (event.source.clone(), event.id.clone());
        self.held.lock().insert(key, holding);
    }

    /// The work on a message is over, if it is held here: acknowledged, or buried and terminated.
    pub(in crate::bus) async fn settled(&self, source: &str, id: &str, known: Known) {
        let key = (source.to_owned(), id.to_owned());
        let Some(holding) = self.held.lock().remove(&key) else { return };
        match known {
            Known::Open => drop(self.held.lock().insert(key, holding)),
            Known::Done => acknowledge(&holding.acker, AckKind::Ack).await,
            Known::Dead { error, delivery } => self.end_dead(&holding, &error, delivery).await,
        }
    }

    /// Terminated only when it is safe among the dead letters; else it comes again.
    async fn end_dead(&self, holding: &Holding, error: &str, delivery: u32) {
        let buried = self.bury(holding.headers.clone(), holding.body.clone(), error, delivery).await;
        match buried {
            Ok(()) => acknowledge(&holding.acker, AckKind::Term).await,
            Err(e) => {
                tracing::warn!(error = %e, "a dead letter could not be written; again later");
                acknowledge(&holding.acker, AckKind::Nak(Some(AGAIN))).await;
            }
        }
    }
}

// === impl Held ===

impl Held {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Holding>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn older_than(&self, age: Duration) -> Vec<Key> {
        self.lock().iter().filter(|(_, h)| h.since.elapsed() >= age / 2).map(|(key, _)| key.clone()).collect()
    }

    fn acker(&self, key: &Key) -> Option<Arc<Acker>> {
        self.lock().get(key).map(|holding| holding.acker.clone())
    }
}

impl std::fmt::Debug for Holding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Holding").field("since", &self.since).finish_non_exhaustive()
    }
}

/// A broker that does not answer, as every other part that does not.
fn away(e: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::upstream_kind("nats", Kind::Unavailable).source(e)
}

/// An acknowledgement that is lost only means that the message comes once more, and the inbox knows it.
async fn acknowledge(acker: &Acker, kind: AckKind) {
    if let Err(e) = acker.ack_with(kind).await {
        tracing::debug!(error = %e, ?kind, "an acknowledgement did not leave");
    }
}

/// The headers as HTTP has them, so that both transports are read alike. What cannot be a header there is no use to us.
fn as_http(headers: &HeaderMap) -> http::HeaderMap {
    let mut all = http::HeaderMap::new();
    for (name, values) in headers.iter() {
        let name = name.to_string().to_ascii_lowercase();
        let (Ok(name), Some(value)) = (http::HeaderName::try_from(name), values.first()) else { continue };
        if let Ok(value) = http::HeaderValue::from_str(value.as_str()) {
            all.insert(name, value);
        }
    }
    if let Some(data) = all.get("ce-datacontenttype").cloned() {
        all.insert(http::header::CONTENT_TYPE, data);
    }
    all
}

//! Messages between services: at least once, in order per order, nothing lost by a kill.
//!
//! The sender writes the event to its outbox in the transaction that changes its state ([`Bus::publish`]). A relay hands it
//! to each subscriber as a CloudEvent and deletes it when the subscriber has said that it is safe. The receiver commits it
//! to its inbox, replies at once, and works on it afterwards; an event it knows already is acknowledged and dropped.
//!
//! What carries events is behind [`Transport`]: HTTP ([`cloudevents`]), or NATS JetStream when `NATS_URL` is set (`nats`).

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use serde::Serialize;
use telemetry::context::{Scope, StoredContext};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{Database, Error, Settings, Start, Tx, carried, due::now_ms, error::Result};

pub mod cloudevents;
mod inbox;
mod letters;
mod nats;
mod outbox;

pub use inbox::Message;
pub(crate) use inbox::{Consumer, consumer, routes, work};
pub(crate) use letters::letters;
pub use nats::{DeadLetter, DeadLetterBox, DeadLetters, DeadLettersError};
pub(crate) use outbox::relay;

/// The service's way to send messages. Clones share everything.
#[derive(Debug, Clone)]
pub struct Bus(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: &'static str,
    database: Database,
    destinations: Mutex<HashMap<&'static str, Destination>>,
    transport: Box<dyn Transport>,
    nats: Option<Arc<nats::Nats>>,
    /// After so many deliveries a message is dead.
    attempts: u32,
    arrived: Arc<Notify>,
    at_once: usize,
    retention: Duration,
}

#[derive(Debug, Clone)]
struct Destination {
    url: String,
    types: Vec<&'static str>,
    wake: Arc<Notify>,
}

/// An event on its way.
#[derive(Debug, Clone)]
pub struct Event {
    /// Unique together with `source`.
    pub id: String,
    /// The sender's name.
    pub source: String,
    /// Such as `order.accepted`.
    pub event_type: String,
    /// The order's id.
    pub subject: String,
    /// JSON.
    pub body: String,
    /// The `create` span.
    pub created: StoredContext,
    /// What travels with the order.
    pub baggage: BTreeMap<String, String>,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created_unix_ms: i64,
}

/// Carries events. `deliver` returns `Ok` only when the receiver has made the event durable.
#[async_trait]
pub trait Transport: std::fmt::Debug + Send + Sync {
    /// Hands `event` to `receiver`, which listens at `url`, in the running context, whose span is the transport's.
    async fn deliver(&self, receiver: &str, url: &str, event: &Event) -> Result<(), Undelivered>;

    /// Whether it is worth trying now.
    async fn ready(&self) -> bool {
        true
    }

    /// `messaging.system`.
    fn system(&self) -> &'static str {
        "cloudevents"
    }
}

/// Why an event was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// It may be later.
    #[error("{0}")]
    Later(String),
    /// The receiver says that it never will take it.
    #[error("{0}")]
    Refused(String),
}

// === impl Bus ===

impl Bus {
    pub(crate) fn new(settings: &Settings, source: &'static str, database: Database) -> Self {
        let nats = nats::Nats::from_settings(settings, source).map(Arc::new);
        let transport: Box<dyn Transport> = match &nats {
            Some(nats) => Box::new(nats::OverNats(nats.clone())),
            None => Box::new(cloudevents::OverHttp::new(settings)),
        };
        Self(Arc::new(Inner {
            source,
            database,
            destinations: Mutex::default(),
            transport,
            // About eight hours.
            attempts: settings.number(
                "WAYBILL_MESSAGE_ATTEMPTS",
                if nats.is_some() { 1000 } else { u32::MAX },
                1..=u32::MAX,
            ),
            nats,
            arrived: Arc::default(),
            at_once: settings.number("WAYBILL_MESSAGES_AT_ONCE", 256, 1..=10_000),
            retention: settings.duration("WAYBILL_INBOX_RETENTION", "7days"),
        }))
    }

    /// Writes an event for each of its subscribers into the outbox, within the caller's transaction. Its `create` span is
    /// over before the transaction is; the relay starts when that commits.
    ///
    /// # Errors
    /// Internal: the body cannot be written as JSON, or the database failed; the transaction must not be committed then.
    pub async fn publish<T: Serialize>(
        &self,
        tx: &mut Tx,
        event_type: &'static str,
        order_id: &str,
        body: &T,
    ) -> Result<()> {
        let id = Uuid::now_v7().to_string();
        let created = telemetry::messaging::create(&self.span_of(event_type, &id, order_id));
        let event = Event {
            id,
            source: self.0.source.to_owned(),
            event_type: event_type.to_owned(),
            subject: order_id.to_owned(),
            body: serde_json::to_string(body).map_err(Error::internal)?,
            created,
            baggage: carried::baggage(order_id),
            created_unix_ms: now_ms(),
        };
        let subscribers = self.destinations();
        for (name, destination) in subscribers.iter().filter(|(_, d)| d.types.contains(&event_type)) {
            outbox::insert(tx, name, &event).await?;
            tx.wake_on_commit(destination.wake.clone());
        }
        Ok(())
    }

    /// Whether NATS carries the messages, and is connected now.
    pub(crate) fn broker(&self) -> Option<bool> {
        self.0.nats.as_ref().map(|nats| nats.connected())
    }

    fn span_of(&self, event_type: &str, id: &str, order_id: &str) -> telemetry::messaging::Message {
        let message = telemetry::messaging::Message::new(event_type.to_owned(), id);
        message.system(self.0.transport.system()).conversation(order_id)
    }

    fn destinations(&self) -> HashMap<&'static str, Destination> {
        self.0.destinations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Start {
    /// Sends every event of the type to `subscriber`, a part of ours.
    pub fn subscribe(&self, event_type: &'static str, subscriber: &'static str) {
        let url = self.url_of(subscriber);
        let mut all = self.bus.0.destinations.lock().unwrap_or_else(PoisonError::into_inner);
        let destination = all.entry(subscriber).or_insert_with(|| Destination {
            url,
            types: Vec::new(),
            wake: Arc::default(),
        });
        destination.types.push(event_type);
    }
}

// === impl Event ===

impl Event {
    /// A context that bears the event's baggage and no span.
    fn scope(&self) -> Scope {
        carried::scope(&self.baggage)
    }

    fn baggage_text(&self) -> String {
        serde_json::to_string(&self.baggage).unwrap_or_default()
    }
}

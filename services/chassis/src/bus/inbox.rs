//! The receiving side: `POST /events` commits and replies, a worker does the work.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use futures::{FutureExt, future::BoxFuture};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sqlx::{Row, any::AnyRow};
use telemetry::{context, context::StoredContext, messaging};
use tokio_util::sync::CancellationToken;

use super::{Bus, Event, cloudevents, nats, outbox};
use crate::{
    Traced,
    database::limited,
    due::{ms, now_ms, pause},
    edge::panic_text,
    errands::{Errand, Errands},
    error::{Error, Result},
};

/// A message as its handler sees it.
#[derive(Debug, Clone)]
pub struct Message<T> {
    /// The event's id: the same at every delivery.
    pub id: String,
    /// The order's id.
    pub order_id: String,
    /// 1 the first time. After a restart every open message counts as delivered again.
    pub delivery: u32,
    /// The data.
    pub body: T,
}

/// A handler with its type erased.
pub(crate) trait Consumer: Send + Sync {
    fn event_type(&self) -> &'static str;
    fn check(&self, body: &str) -> Result<()>;
    fn handle(&self, event: &Event, delivery: u32) -> BoxFuture<'static, Result<()>>;
}

/// All handlers of a service.
pub(crate) type Consumers = Arc<Vec<Arc<dyn Consumer>>>;

struct Typed<T, F> {
    event_type: &'static str,
    handler: F,
    body: std::marker::PhantomData<fn() -> T>,
}

/// How far an event has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// To be worked on.
    Open,
    /// Handled.
    Done,
    /// Handled in vain.
    Dead { error: String, delivery: u32 },
}

/// Longest pause between two tries of one message.
const LATER: Duration = Duration::from_secs(30);

pub(crate) fn consumer<T, F, Fut>(event_type: &'static str, handler: F) -> Arc<dyn Consumer>
where
    T: DeserializeOwned + Send + 'static,
    F: Fn(Message<T>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    Arc::new(Typed { event_type, handler, body: std::marker::PhantomData })
}

/// `POST /events` where there are handlers; `GET /outbox` and `GET /inbox`, the service's books about messages.
pub(crate) fn routes(bus: Bus, consumers: Consumers) -> Router {
    let books = Router::new()
        .route("/outbox", get(async |State(bus): State<Bus>| outbox::summary(&bus).await.map(Json)))
        .route("/inbox", get(async |State(bus): State<Bus>| summary(&bus).await.map(Json)))
        .with_state(bus.clone());
    if consumers.is_empty() {
        return books;
    }
    books.merge(Router::new().route("/events", post(receive)).with_state((bus, consumers)))
}

/// 202 for an event that is safe now, 200 for one that was before.
async fn receive(
    State((bus, consumers)): State<(Bus, Consumers)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode> {
    let event = cloudevents::read(&headers, &body)?;
    context::set_attribute(contracts::keys::ORDER_ID, event.subject.clone());
    check(&consumers, &event)?;
    let inserted = insert(&bus, &event).await?;
    Ok(if inserted { StatusCode::ACCEPTED } else { StatusCode::OK })
}

/// Whether this service takes such an event, and its data is what it should be.
pub(super) fn check(consumers: &Consumers, event: &Event) -> Result<()> {
    let Some(consumer) = consumers.iter().find(|c| c.event_type() == event.event_type) else {
        let detail = format!("this service does not take events of type {:?}", event.event_type);
        return Err(Error::invalid(detail).typed("unknown-event-type"));
    };
    consumer.check(&event.body)
}

/// Commits an event that a broker has delivered, and says how far it has come, if it was known before.
pub(super) async fn accept(bus: &Bus, event: &Event) -> Result<Known> {
    if insert(bus, event).await? {
        return Ok(Known::Open);
    }
    Ok(known(bus, &event.source, &event.id).await?.unwrap_or(Known::Done))
}

/// How far an event of the inbox has come. One that is not there any more was done long ago.
pub(super) async fn known(bus: &Bus, source: &str, id: &str) -> Result<Option<Known>, sqlx::Error> {
    let row =
        sqlx::query("SELECT state, last_error, delivery FROM inbox WHERE source = $1 AND event_id = $2");
    let row = row.bind(source).bind(id).fetch_optional(bus.0.database.read()).traced("SELECT inbox").await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(match row.try_get::<String, _>("state")?.as_str() {
        "open" => Known::Open,
        "dead" => Known::Dead {
            error: row.try_get("last_error")?,
            delivery: u32::try_from(row.try_get::<i64, _>("delivery")?).unwrap_or(u32::MAX),
        },
        _ => Known::Done,
    }))
}

/// Source and id of every event that is still open.
pub(super) async fn open_keys(bus: &Bus) -> Result<Vec<(String, String)>, sqlx::Error> {
    let rows = sqlx::query("SELECT source, event_id FROM inbox WHERE state = 'open'");
    let rows = limited(rows.fetch_all(bus.0.database.read())).await?;
    rows.iter().map(|row| Ok((row.try_get("source")?, row.try_get("event_id")?))).collect()
}

/// Commits the event; `false`: it was there before.
async fn insert(bus: &Bus, event: &Event) -> Result<bool> {
    // Its place behind the order's other events is counted here.
    let mut tx = bus.0.database.begin_for(&event.subject).await?;
    let inserted = sqlx::query(
        "INSERT INTO inbox (source, event_id, event_type, subject, seq, body, traceparent, tracestate, baggage, \
         received_unix_ms, due_unix_ms) \
         VALUES ($1, $2, $3, $4, (SELECT COALESCE(MAX(seq), 0) + 1 FROM inbox WHERE subject = $4 AND state = 'open'), \
         $5, $6, $7, $8, $9, $9) ON CONFLICT DO NOTHING",
    )
    .bind(&event.source)
    .bind(&event.id)
    .bind(&event.event_type)
    .bind(&event.subject)
    .bind(&event.body)
    .bind(&event.created.traceparent)
    .bind(&event.created.tracestate)
    .bind(event.baggage_text())
    .bind(event.created_unix_ms)
    .execute(&mut *tx)
    .traced("INSERT inbox")
    .await?;
    tx.wake_on_commit(bus.0.arrived.clone());
    tx.commit().await?;
    Ok(inserted.rows_affected() == 1)
}

/// Works on what is in the inbox until `stop`, then waits for what is under way, for at most `drain`. What is cut then, or
/// by a crash, is begun again after the next start.
pub(crate) async fn work(bus: Bus, consumers: Consumers, stop: CancellationToken, drain: Duration) {
    if consumers.is_empty() {
        return stop.cancelled().await;
    }
    if let Err(e) = reopen(&bus).await {
        tracing::warn!(error = %e, "cannot prepare the inbox");
    }
    let errands = Errands::with_bell("inbox", bus.0.at_once, drain, bus.0.arrived.clone(), &bus.0.database);
    let load = |rows| {
        let (bus, consumers) = (bus.clone(), consumers.clone());
        async move {
            let open = due(&bus, rows).await?;
            Ok(open
                .into_iter()
                .filter_map(|(event, delivery)| {
                    // A type that an older version took stays in the inbox, where `GET /inbox` shows it.
                    let consumer = consumers.iter().find(|c| c.event_type() == event.event_type)?.clone();
                    let (bus, key) = (bus.clone(), format!("{} {}", event.source, event.id));
                    Some(Errand {
                        key,
                        work: Box::pin(async move { process(&bus, consumer, event, delivery).await }),
                    })
                })
                .collect())
        }
    };
    match &bus.0.nats {
        Some(nats) => {
            let receive = nats::receive(bus.clone(), nats.clone(), consumers.clone(), stop.clone());
            futures::join!(errands.run(stop, load), receive);
        }
        None => errands.run(stop, load).await,
    }
}

/// One delivery, in its `process` span.
async fn process(bus: &Bus, consumer: Arc<dyn Consumer>, event: Event, delivery: u32) {
    let span = bus
        .span_of(&event.event_type, &event.id, &event.subject)
        .consumer_group(bus.0.source)
        .delivery(delivery);
    let work = async {
        let run = AssertUnwindSafe(async { consumer.handle(&event, delivery).await }).catch_unwind();
        let outcome = match run.await {
            Ok(outcome) => outcome,
            Err(panic) => Err(Error::internal(panic_text(panic.as_ref())).typed("panic")),
        };
        let settled = messaging::settle(&span, settle(bus, &event, delivery, &outcome)).await;
        if let Err(e) = outcome {
            context::fail(e.slug(), e.detail().to_owned());
            let again = e.kind().is_transient() && delivery < bus.0.attempts;
            tracing::error!(error.type = e.slug(), causes = e.causes(), delivery, again, "{e}");
        }
        if let Err(e) = settled {
            // The message is still open: it is processed once more, which its handler must bear.
            tracing::error!(error = %e, "a message could not be settled");
        }
        Ok::<_, Error>(())
    };
    // The failure is on the span already, with its type; this one cannot fail.
    let _ = event.scope().run(messaging::process(&span, &event.created, work)).await;
}

/// Writes down how it went: done, again later, or dead. What another process has settled meanwhile stays as it is: it had
/// taken the message over when this one seemed to be gone.
async fn settle(bus: &Bus, event: &Event, delivery: u32, outcome: &Result<()>) -> Result<(), sqlx::Error> {
    let (state, error, due) = match outcome {
        Ok(()) => ("done", String::new(), 0),
        Err(e) if e.kind().is_transient() && delivery < bus.0.attempts => {
            ("open", e.to_string(), now_ms() + ms(pause(i64::from(delivery) - 1, LATER)))
        }
        Err(e) => ("dead", e.to_string(), 0),
    };
    let mut tx = bus.0.database.begin_quiet().await?;
    let written = sqlx::query(
        "UPDATE inbox SET state = $3, last_error = $4, due_unix_ms = $5, delivery = $6, \
         body = CASE WHEN $3 = 'done' THEN '' ELSE body END WHERE source = $1 AND event_id = $2 AND state = 'open'",
    )
    .bind(&event.source)
    .bind(&event.id)
    .bind(state)
    .bind(&error)
    .bind(due)
    .bind(i64::from(delivery) + i64::from(state == "open"))
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    if written.rows_affected() == 0 {
        return Ok(());
    }
    if let Some(nats) = &bus.0.nats {
        let known = match state {
            "done" => Known::Done,
            "dead" => Known::Dead { error, delivery },
            _ => return Ok(()),
        };
        nats.settled(&event.source, &event.id, known).await;
    }
    Ok(())
}

/// After a start: what is open may have been under way, so it counts as delivered again; what is old and done is forgotten.
async fn reopen(bus: &Bus) -> Result<(), sqlx::Error> {
    let mut tx = bus.0.database.begin_quiet().await?;
    sqlx::query(
        "UPDATE inbox SET delivery = delivery + 1, due_unix_ms = received_unix_ms WHERE state = 'open'",
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query("DELETE FROM inbox WHERE state = 'done' AND received_unix_ms < $1")
        .bind(now_ms() - ms(bus.0.retention))
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

/// What is due, the oldest event of each order only.
async fn due(bus: &Bus, rows: i64) -> Result<Vec<(Event, u32)>, sqlx::Error> {
    let now = now_ms();
    let rows = sqlx::query(
        "SELECT source, event_id, event_type, subject, body, traceparent, tracestate, baggage, received_unix_ms, delivery \
         FROM inbox o WHERE state = 'open' AND (due_unix_ms <= $1 OR due_unix_ms > $2) \
         AND NOT EXISTS (SELECT 1 FROM inbox p WHERE p.state = 'open' AND p.subject = o.subject AND p.seq < o.seq) \
         ORDER BY due_unix_ms LIMIT $3",
    )
    .bind(now)
    .bind(now + ms(LATER) * 2)
    .bind(rows)
    .fetch_all(bus.0.database.read())
    .await?;
    rows.iter().map(open).collect()
}

fn open(row: &AnyRow) -> Result<(Event, u32), sqlx::Error> {
    let event = Event {
        id: row.try_get("event_id")?,
        source: row.try_get("source")?,
        event_type: row.try_get("event_type")?,
        subject: row.try_get("subject")?,
        body: row.try_get("body")?,
        created: StoredContext {
            traceparent: row.try_get("traceparent")?,
            tracestate: row.try_get("tracestate")?,
        },
        baggage: serde_json::from_str(&row.try_get::<String, _>("baggage")?).unwrap_or_default(),
        created_unix_ms: row.try_get("received_unix_ms")?,
    };
    Ok((event, u32::try_from(row.try_get::<i64, _>("delivery")?).unwrap_or(u32::MAX)))
}

async fn summary(bus: &Bus) -> Result<Value> {
    let read = bus.0.database.read();
    let counts = sqlx::query("SELECT state, COUNT(*) AS n FROM inbox GROUP BY state");
    let counts = counts.fetch_all(read).traced("SELECT inbox").await?;
    let rows = sqlx::query(
        "SELECT source, event_id, event_type, subject, state, delivery, last_error, received_unix_ms FROM inbox \
         WHERE state <> 'done' ORDER BY received_unix_ms LIMIT 100",
    )
    .fetch_all(read)
    .traced("SELECT inbox")
    .await?;
    let mut all = json!({"open": 0, "done": 0, "dead": 0});
    for row in &counts {
        all[row.try_get::<String, _>("state")?] = json!(row.try_get::<i64, _>("n")?);
    }
    let mut messages = Vec::new();
    for row in &rows {
        messages.push(json!({
            "event_id": row.try_get::<String, _>("event_id")?,
            "event_type": row.try_get::<String, _>("event_type")?,
            "source": row.try_get::<String, _>("source")?,
            "order_id": row.try_get::<String, _>("subject")?,
            "state": row.try_get::<String, _>("state")?,
            "delivery": row.try_get::<i64, _>("delivery")?,
            "last_error": row.try_get::<String, _>("last_error")?,
            "received_unix_ms": row.try_get::<i64, _>("received_unix_ms")?,
        }));
    }
    all["messages"] = json!(messages);
    Ok(all)
}

// === impl Typed ===

impl<T, F, Fut> Consumer for Typed<T, F>
where
    T: DeserializeOwned + Send + 'static,
    F: Fn(Message<T>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    fn event_type(&self) -> &'static str {
        self.event_type
    }

    fn check(&self, body: &str) -> Result<()> {
        match serde_json::from_str::<T>(body) {
            Ok(_) => Ok(()),
            Err(e) => {
                let detail = format!("the data is not that of {}: {e}", self.event_type);
                Err(Error::invalid(detail).typed("malformed-event"))
            }
        }
    }

    fn handle(&self, event: &Event, delivery: u32) -> BoxFuture<'static, Result<()>> {
        let body = serde_json::from_str::<T>(&event.body);
        let message = body.map(|body| Message {
            id: event.id.clone(),
            order_id: event.subject.clone(),
            delivery,
            body,
        });
        match message {
            Ok(message) => Box::pin((self.handler)(message)),
            Err(e) => Box::pin(async move { Err(Error::invalid("the data cannot be read").source(e)) }),
        }
    }
}

//! The sending side: the outbox table and the relay that empties it.

use std::{collections::HashSet, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use serde_json::{Value, json};
use sqlx::{Row, any::AnyRow};
use telemetry::context::StoredContext;
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{Bus, Destination, Event, Undelivered};
use crate::{
    Traced, Tx,
    database::limited,
    due::{ms, now_ms, pause},
    edge::panic_text,
    error::Result,
};

/// Deliveries to one subscriber at once.
const AT_ONCE: usize = 64;
/// The relay looks again after this time even if nobody woke it.
const SWEEP: Duration = Duration::from_secs(1);
/// Longest pause between two attempts.
const LATER: Duration = Duration::from_secs(30);
/// Longest pause where the subscriber has refused the event.
const REFUSED: Duration = Duration::from_secs(300);

struct Flight {
    event: Event,
    attempts: i64,
}

type Landed = (Flight, std::result::Result<(), Undelivered>);

/// Adds `event` for one subscriber, behind what is still to be sent about the same order.
pub(super) async fn insert(tx: &mut Tx, destination: &str, event: &Event) -> Result<()> {
    tx.alone_for(&event.subject).await?;
    sqlx::query(
        "INSERT INTO outbox (event_id, destination, event_type, subject, seq, body, traceparent, tracestate, baggage, \
         created_unix_ms, due_unix_ms) \
         VALUES ($1, $2, $3, $4, (SELECT COALESCE(MAX(seq), 0) + 1 FROM outbox WHERE destination = $2 AND subject = $4), \
         $5, $6, $7, $8, $9, $9)",
    )
    .bind(&event.id)
    .bind(destination)
    .bind(&event.event_type)
    .bind(&event.subject)
    .bind(&event.body)
    .bind(&event.created.traceparent)
    .bind(&event.created.tracestate)
    .bind(event.baggage_text())
    .bind(event.created_unix_ms)
    .execute(&mut **tx)
    .traced("INSERT outbox")
    .await?;
    Ok(())
}

/// Delivers until `stop`, then what is still due, for at most `drain`. One task per subscriber: one that is down holds up
/// nobody else's messages.
pub(crate) async fn relay(bus: Bus, stop: CancellationToken, drain: Duration) {
    let mut tasks = JoinSet::new();
    for (name, destination) in bus.destinations() {
        tasks.spawn(relay_to(bus.clone(), name, destination, stop.clone()));
    }
    stop.cancelled().await;
    let rest = async { while tasks.join_next().await.is_some() {} };
    if timeout(drain, rest).await.is_err() {
        tracing::info!("messages are left in the outbox; they leave after the next start");
    }
}

async fn relay_to(bus: Bus, name: &'static str, destination: Destination, stop: CancellationToken) {
    if let Err(e) = all_due(&bus, name).await {
        tracing::warn!(destination = name, error = %e, "cannot prepare the outbox");
    }
    let mut flights: JoinSet<Landed> = JoinSet::new();
    let mut flying = HashSet::new();
    loop {
        let due =
            if bus.0.transport.ready().await { ours(&bus, name, &flying).await } else { Ok(Vec::new()) };
        match due {
            Ok(due) => {
                for flight in due {
                    flying.insert(flight.event.id.clone());
                    flights.spawn(fly(bus.clone(), name, destination.url.clone(), flight));
                }
            }
            Err(e) => tracing::warn!(destination = name, error = %e, "cannot read the outbox"),
        }
        if flights.is_empty() && stop.is_cancelled() {
            return;
        }
        let first = tokio::select! {
            landed = flights.join_next(), if !flights.is_empty() => landed,
            () = destination.wake.notified() => None,
            () = tokio::time::sleep(SWEEP) => None,
            () = stop.cancelled(), if !stop.is_cancelled() => None,
        };
        // All that have landed by now are written down in one transaction.
        let mut landed: Vec<Landed> = first.into_iter().filter_map(std::result::Result::ok).collect();
        while let Some(next) = flights.try_join_next() {
            landed.extend(next);
        }
        if !landed.is_empty() {
            if let Err(e) = limited(write_down(&bus, name, &landed)).await {
                // They are still in the outbox: they will be sent once more, and the receiver knows them.
                tracing::warn!(destination = name, error = %e, "cannot write down what was sent");
            }
            let over: Vec<_> = landed.into_iter().map(|(flight, _)| flight.event.id).collect();
            flying.retain(|id| !over.contains(id));
            bus.0.database.claims().give_back(name, over).await;
        }
    }
}

/// What is due, not under way, and, of several processes, ours.
async fn ours(
    bus: &Bus,
    name: &'static str,
    flying: &HashSet<String>,
) -> std::result::Result<Vec<Flight>, sqlx::Error> {
    let room = AT_ONCE.saturating_sub(flying.len());
    let mut due = limited(self::due(bus, name)).await?;
    due.retain(|flight| !flying.contains(&flight.event.id));
    let claims = bus.0.database.claims();
    if !claims.shared() || due.is_empty() {
        due.truncate(room);
        return Ok(due);
    }
    let wanted = due.into_iter().map(|flight| flight.event.id).collect();
    let mut ours = claims.take(name, wanted, room).await?;
    if ours.is_empty() {
        return Ok(Vec::new());
    }
    // Whoever had it until now may have sent it between our look and our claim.
    let due = limited(self::due(bus, name)).await.map(|mut due| {
        due.retain(|flight| ours.remove(&flight.event.id));
        due
    });
    // All of it where the second look failed: what is claimed and not sent nobody else would ever send.
    claims.give_back(name, ours.into_iter().collect()).await;
    due
}

/// One delivery, in its `send` span.
async fn fly(bus: Bus, name: &'static str, url: String, flight: Flight) -> Landed {
    let Flight { event, attempts } = &flight;
    let span = bus.span_of(&event.event_type, &event.id, &event.subject).consumer_group(name);
    let attempt = async {
        let delivered = AssertUnwindSafe(bus.0.transport.deliver(name, &url, event)).catch_unwind().await;
        let outcome = delivered.unwrap_or_else(|panic| Err(Undelivered::Later(panic_text(panic.as_ref()))));
        if let Err(e) = &outcome
            && (attempts + 1).count_ones() == 1
        {
            let (event_type, attempt) = (event.event_type.as_str(), attempts + 1);
            tracing::warn!(destination = name, event_type, attempt, error = %e, "message not delivered, will be again");
        }
        outcome
    };
    let outcome = event.scope().run(telemetry::messaging::send(&span, &event.created, attempt)).await;
    (flight, outcome)
}

async fn all_due(bus: &Bus, name: &str) -> std::result::Result<(), sqlx::Error> {
    let mut tx = bus.0.database.begin_quiet().await?;
    sqlx::query("UPDATE outbox SET due_unix_ms = created_unix_ms WHERE destination = $1 AND due_unix_ms > created_unix_ms")
        .bind(name)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

/// What is due, the oldest event of each order only.
async fn due(bus: &Bus, name: &str) -> std::result::Result<Vec<Flight>, sqlx::Error> {
    let now = now_ms();
    let rows = sqlx::query(
        "SELECT event_id, event_type, subject, body, traceparent, tracestate, baggage, created_unix_ms, attempts \
         FROM outbox o WHERE destination = $1 AND (due_unix_ms <= $2 OR due_unix_ms > $3) \
         AND NOT EXISTS (SELECT 1 FROM outbox p WHERE p.destination = $1 AND p.subject = o.subject \
         AND p.seq < o.seq AND p.refused = 0) ORDER BY due_unix_ms LIMIT $4",
    )
    .bind(name)
    .bind(now)
    .bind(now + ms(REFUSED) * 2)
    .bind(2 * AT_ONCE as i64)
    .fetch_all(bus.0.database.read())
    .await?;
    rows.iter()
        .map(|row| Ok(Flight { event: event(bus, row)?, attempts: row.try_get("attempts")? }))
        .collect()
}

fn event(bus: &Bus, row: &AnyRow) -> std::result::Result<Event, sqlx::Error> {
    Ok(Event {
        id: row.try_get("event_id")?,
        source: bus.0.source.to_owned(),
        event_type: row.try_get("event_type")?,
        subject: row.try_get("subject")?,
        body: row.try_get("body")?,
        created: StoredContext {
            traceparent: row.try_get("traceparent")?,
            tracestate: row.try_get("tracestate")?,
        },
        baggage: serde_json::from_str(&row.try_get::<String, _>("baggage")?).unwrap_or_default(),
        created_unix_ms: row.try_get("created_unix_ms")?,
    })
}

async fn write_down(bus: &Bus, name: &str, landed: &[Landed]) -> std::result::Result<(), sqlx::Error> {
    let mut tx = bus.0.database.begin_quiet().await?;
    for (Flight { event, attempts }, outcome) in landed {
        let (refused, error, most) = match outcome {
            Ok(()) => {
                sqlx::query("DELETE FROM outbox WHERE event_id = $1 AND destination = $2")
                    .bind(&event.id)
                    .bind(name)
                    .execute(&mut *tx)
                    .await?;
                continue;
            }
            Err(Undelivered::Later(e)) => (0_i64, e, LATER),
            Err(Undelivered::Refused(e)) => (1, e, REFUSED),
        };
        sqlx::query(
            "UPDATE outbox SET attempts = attempts + 1, refused = $3, last_error = $4, due_unix_ms = $5 \
             WHERE event_id = $1 AND destination = $2",
        )
        .bind(&event.id)
        .bind(name)
        .bind(refused)
        .bind(error)
        .bind(now_ms() + ms(pause(*attempts, most)))
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await
}

/// `GET /outbox`: how many messages wait, and those that wait longest.
pub(super) async fn summary(bus: &Bus) -> Result<Value> {
    let read = bus.0.database.read();
    let count =
        sqlx::query("SELECT COUNT(*) AS n FROM outbox").fetch_one(read).traced("SELECT outbox").await?;
    let rows = sqlx::query(
        "SELECT event_id, event_type, subject, destination, attempts, refused, last_error, created_unix_ms FROM outbox \
         ORDER BY created_unix_ms LIMIT 100",
    )
    .fetch_all(read)
    .traced("SELECT outbox")
    .await?;
    let mut waiting = Vec::new();
    for row in &rows {
        waiting.push(json!({
            "event_id": row.try_get::<String, _>("event_id")?,
            "event_type": row.try_get::<String, _>("event_type")?,
            "order_id": row.try_get::<String, _>("subject")?,
            "destination": row.try_get::<String, _>("destination")?,
            "attempts": row.try_get::<i64, _>("attempts")?,
            "refused": row.try_get::<i64, _>("refused")? != 0,
            "last_error": row.try_get::<String, _>("last_error")?,
            "created_unix_ms": row.try_get::<i64, _>("created_unix_ms")?,
        }));
    }
    Ok(json!({"open": count.try_get::<i64, _>("n")?, "messages": waiting}))
}

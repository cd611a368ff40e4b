//! `GET /book`: what the service itself has on record of an order, in one form for every service, for those who hold traces
//! against books.
//!
//! | query | answers |
//! |--|--|
//! | `?order_id=A,B,…` (200 at most) | one entry for each, `not_seen` where there is none, and its messages |
//! | `?after=&since=&limit=` | all entries begun at `since` (Unix ms) or later, by order id, page by page: `next` is the next `after` |
//!
//! It makes no spans: reading the books must not fill the trace store. No entry names a person.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{AssertSqlSafe, Row, any::AnyRow};
use tokio::sync::Semaphore;

use crate::{Database, bus};

/// A service's book, as a constant of its crate.
#[derive(Debug, Clone, Copy)]
pub struct Book {
    /// A `SELECT`, without `ORDER BY`, of one row for each order with these columns: `order_id`, `state`, `reason`,
    /// `began_ms`, `at_ms` (of the last change; Unix milliseconds), `amount_minor`, `currency`, `traceparent` (the last
    /// three may be NULL).
    pub rows: &'static str,
    /// What a state means.
    pub says: fn(&str) -> Says,
}

/// How far a service has come with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// Its step is done.
    Done,
    /// At work on it.
    Begun,
    /// It gave up.
    Stopped,
    /// It has never seen the order.
    NotSeen,
    /// The order has come to rest.
    Ended,
}

/// What one book says of one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Public order id.
    pub order_id: String,
    /// How far the service has come.
    pub says: Says,
    /// The same in the service's own word; empty when not seen.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub state: String,
    /// Short word for why, where there is a why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When the service first saw it, Unix milliseconds by its own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_ms: Option<i64>,
    /// When it last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<i64>,
    /// Minor units of `currency`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount_minor: Option<i64>,
    /// ISO 4217.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// The order's trace, 32 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// A message about an order that is not done with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Public order id.
    pub order_id: String,
    /// Such as `order.accepted`.
    pub event_type: String,
    /// What it waits for.
    pub state: LetterState,
    /// Who sent it (in the inbox), or whom it is for (in the outbox).
    pub peer: String,
    /// Deliveries so far.
    pub attempts: i64,
    /// How the last one ended; empty when there was none.
    pub reason: String,
    /// When it was written, Unix milliseconds.
    pub since_ms: i64,
}

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterState {
    /// In the outbox: not delivered yet.
    Waiting,
    /// In the outbox: the receiver says that it never will take it.
    Refused,
    /// In the inbox: being worked on, or to be tried again.
    Open,
    /// In the inbox: worked on in vain; needs a human.
    Dead,
}

/// An answer of `GET /book`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Page {
    /// Whose book.
    pub service: String,
    /// What it says.
    pub entries: Vec<Entry>,
    /// Messages of these orders that are not done with.
    pub messages: Vec<Letter>,
    /// Pass as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    order_id: Option<String>,
    #[serde(default)]
    after: String,
    #[serde(default)]
    since: i64,
    limit: Option<i64>,
}

#[derive(Clone)]
struct Desk {
    service: &'static str,
    book: Book,
    database: Database,
    bus: bus::Bus,
    free: Arc<Semaphore>,
}

/// Readers at once: they share the database with the orders.
const READERS: usize = 4;
/// Longest time for one answer.
const LIMIT: Duration = Duration::from_secs(5);
/// Orders asked for by id at once, and longest page.
const MOST: usize = 200;
/// Longest id.
const LONGEST: usize = 128;

/// The face of `book`.
pub(crate) fn routes(service: &'static str, book: Option<Book>, database: Database, bus: bus::Bus) -> Router {
    let Some(book) = book else { return Router::new() };
    let desk = Desk { service, book, database, bus, free: Arc::new(Semaphore::new(READERS)) };
    Router::new().route("/book", get(answer)).with_state(desk)
}

async fn answer(State(desk): State<Desk>, Query(asked): Query<Asked>) -> Response {
    let ids: Vec<String> =
        asked.order_id.iter().flat_map(|ids| ids.split(',')).map(|id| id.trim().to_owned()).collect();
    if ids.len() > MOST || ids.iter().any(|id| id.is_empty() || id.len() > LONGEST) {
        let why = format!("order_id: 1 to {MOST} ids, comma between, each of 1 to {LONGEST} characters");
        return refuse(StatusCode::BAD_REQUEST, &why);
    }
    let read = async {
        let _permit = desk.free.acquire().await;
        match asked.order_id {
            Some(_) => desk.of(&ids).await,
            None => desk.page(&asked).await,
        }
    };
    match tokio::time::timeout(LIMIT, read).await {
        Ok(Ok(page)) => Json(page).into_response(),
        Ok(Err(error)) => {
            tracing::warn!(error = %error, "the book cannot be read");
            refuse(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer")
        }
        Err(_) => refuse(StatusCode::SERVICE_UNAVAILABLE, "the database did not answer in time"),
    }
}

fn refuse(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({"error": why}))).into_response()
}

// === impl Desk ===

impl Desk {
    async fn of(&self, ids: &[String]) -> Result<Page, sqlx::Error> {
        let sql = format!(
            "SELECT * FROM ({}) AS book WHERE order_id IN ({})",
            self.book.rows,
            places(ids.len(), 1)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for id in ids {
            query = query.bind(id);
        }
        let rows = query.fetch_all(self.database.read()).await?;
        let known = rows.iter().map(|row| self.entry(row)).collect::<Result<Vec<_>, _>>()?;
        let mut known: HashMap<_, _> = known.into_iter().map(|e| (e.order_id.clone(), e)).collect();
        let entries = ids.iter().map(|id| known.remove(id).unwrap_or_else(|| Entry::not_seen(id))).collect();
        let messages = bus::letters(&self.bus, ids).await?;
        Ok(Page { service: self.service.to_owned(), entries, messages, next: None })
    }

    async fn page(&self, asked: &Asked) -> Result<Page, sqlx::Error> {
        let most = i64::try_from(MOST).unwrap_or(i64::MAX);
        let limit = asked.limit.unwrap_or(most).clamp(1, most);
        let sql = format!(
            "SELECT * FROM ({}) AS book WHERE order_id > $1 AND began_ms >= $2 ORDER BY order_id LIMIT $3",
            self.book.rows
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(&asked.after).bind(asked.since).bind(limit);
        let rows = query.fetch_all(self.database.read()).await?;
        let entries = rows.iter().map(|row| self.entry(row)).collect::<Result<Vec<_>, _>>()?;
        let ids: Vec<_> = entries.iter().map(|e| e.order_id.clone()).collect();
        let full = i64::try_from(entries.len()).is_ok_and(|n| n == limit);
        let next = ids.last().filter(|_| full).cloned();
        let messages = bus::letters(&self.bus, &ids).await?;
        Ok(Page { service: self.service.to_owned(), entries, messages, next })
    }

    fn entry(&self, row: &AnyRow) -> Result<Entry, sqlx::Error> {
        let state: String = row.try_get("state")?;
        let traceparent: Option<String> = row.try_get("traceparent")?;
        Ok(Entry {
            order_id: row.try_get("order_id")?,
            says: (self.book.says)(&state),
            state,
            reason: row.try_get::<Option<String>, _>("reason")?.unwrap_or_default(),
            began_ms: Some(row.try_get("began_ms")?),
            at_ms: Some(row.try_get("at_ms")?),
            amount_minor: row.try_get("amount_minor")?,
            currency: row.try_get("currency")?,
            trace_id: traceparent.as_deref().and_then(trace_id),
        })
    }
}

// === impl Entry ===

impl Entry {
    /// What a book says of an order that it does not know.
    pub fn not_seen(order_id: &str) -> Self {
        Self {
            order_id: order_id.to_owned(),
            says: Says::NotSeen,
            state: String::new(),
            reason: String::new(),
            began_ms: None,
            at_ms: None,
            amount_minor: None,
            currency: None,
            trace_id: None,
        }
    }
}

/// `$first, $first+1, …`: places for `count` values.
pub(crate) fn places(count: usize, first: usize) -> String {
    (first..first + count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

/// The second field of a `traceparent` (W3C Trace Context, 3.2.2).
pub(crate) fn trace_id(traceparent: &str) -> Option<String> {
    traceparent.split('-').nth(1).filter(|id| id.len() == 32).map(str::to_owned)
}

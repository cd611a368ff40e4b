//! Pushes: through the provider, a third party, and written down.

use chassis::{Database, Error, Http, Kind, Traced, due::now_ms, retry};
use contracts::keys;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::Row;
use telemetry::context;

use crate::news::News;

/// The way to the customers.
#[derive(Debug, Clone)]
pub(crate) struct Pushes {
    database: Database,
    provider: Http,
}

#[derive(Debug, Deserialize)]
struct Sent {
    push_id: String,
}

// === impl Pushes ===

impl Pushes {
    pub(crate) fn new(database: Database, provider: Http) -> Self {
        Self { database, provider }
    }

    /// Tells the customer, once per event however often it comes: the book knows what was told, and the provider knows the
    /// event by its id.
    pub(crate) async fn tell(&self, event_id: &str, event_type: &str, news: &News) -> Result<(), Error> {
        if self.known(event_id).await? {
            return Ok(());
        }
        let (state, push_id) = match retry(|attempt| self.push(event_id, news, attempt)).await? {
            Some(push_id) => ("sent", push_id),
            None => {
                context::fail("unregistered", "the customer cannot be reached");
                tracing::warn!(error.type = "unregistered", "the customer has removed the app and is not told");
                ("unregistered", String::new())
            }
        };
        if !push_id.is_empty() {
            context::set_attribute(keys::PARTNER_REFERENCE, push_id.clone());
        }
        let mut tx = self.database.begin().await?;
        sqlx::query(
            "INSERT INTO pushes (event_id, event_type, order_id, state, push_id, created_unix_ms) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        )
        .bind(event_id)
        .bind(event_type)
        .bind(&news.order_id)
        .bind(state)
        .bind(&push_id)
        .bind(now_ms())
        .execute(&mut *tx)
        .traced("INSERT pushes")
        .await?;
        Ok(tx.commit().await?)
    }

    /// One question to the provider: its reference, or `None` when it has nobody by that id.
    async fn push(&self, event_id: &str, news: &News, attempt: u32) -> Result<Option<String>, Error> {
        let call = self.provider.post("/pushes").idempotency_key(event_id).attempt(attempt).json(&json!({
            "customer_id": news.customer_id,
            "order_id": news.order_id,
            "title": news.title,
            "body": news.body,
        }));
        let reply = call.send().await?;
        match reply.status {
            StatusCode::GONE => Ok(None),
            // Asking again would not help; a human has to look, and finds it in the inbox.
            s if s.is_client_error() && !matches!(s.as_u16(), 408 | 409 | 425 | 429) => {
                let error =
                    Error::new(Kind::Conflict, "the push provider refuses the push").typed("push-refused");
                Err(error.source(format!("it answered {}", s.as_u16())))
            }
            _ => Ok(Some(reply.ok()?.json::<Sent>()?.push_id)),
        }
    }

    async fn known(&self, event_id: &str) -> Result<bool, sqlx::Error> {
        let row = sqlx::query("SELECT state FROM pushes WHERE event_id = $1").bind(event_id);
        Ok(row.fetch_optional(self.database.read()).traced("SELECT pushes").await?.is_some())
    }

    /// What was told about an order, oldest first.
    pub(crate) async fn of(&self, order_id: &str) -> Result<Value, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT event_id, event_type, state, push_id, created_unix_ms FROM pushes WHERE order_id = $1 \
             ORDER BY created_unix_ms LIMIT 100",
        )
        .bind(order_id)
        .fetch_all(self.database.read())
        .traced("SELECT pushes")
        .await?;
        let mut pushes = Vec::new();
        for row in &rows {
            pushes.push(json!({
                "event_id": row.try_get::<String, _>("event_id")?,
                "event_type": row.try_get::<String, _>("event_type")?,
                "state": row.try_get::<String, _>("state")?,
                "push_id": row.try_get::<String, _>("push_id")?,
                "created_unix_ms": row.try_get::<i64, _>("created_unix_ms")?,
            }));
        }
        Ok(json!({"order_id": order_id, "pushes": pushes}))
    }
}

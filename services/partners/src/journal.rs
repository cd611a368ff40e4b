//! Each third party's own request log: what it was asked, under which trace id, and what it did.

use std::{str::FromStr, sync::Arc};

use axum::{
    Json,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;

use crate::{Partner, answer::Answer, world::World};

/// A line of a request log.
#[derive(Debug, Clone, Serialize, sqlx::FromRow)]
pub(crate) struct Entry {
    /// Rises with time; pages continue `after` it.
    id: i64,
    /// Milliseconds since the Unix epoch, by the partner's clock.
    at_ms: i64,
    pub(crate) partner: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) trace_id: Option<String>,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) order_id: Option<String>,
    pub(crate) reference: Option<String>,
    /// Status of the answer; null when there was none.
    pub(crate) status: Option<i64>,
    pub(crate) outcome: String,
}

/// How often the log is cut to its limit, in entries.
const CUT_EVERY: i64 = 512;

impl Entry {
    pub(crate) fn new(partner: Partner, method: &str, path: &str) -> Self {
        Self {
            id: 0,
            at_ms: crate::world::now_ms(),
            partner: partner.name().to_owned(),
            method: method.to_owned(),
            path: path.to_owned(),
            trace_id: None,
            idempotency_key: None,
            order_id: None,
            reference: None,
            status: None,
            outcome: String::new(),
        }
    }

    /// Writes the line, or completes it when it is there already.
    pub(crate) async fn write(&mut self, tx: &mut SqliteConnection, limit: u32) -> Result<(), sqlx::Error> {
        if self.id != 0 {
            sqlx::query("UPDATE log SET order_id = ?, reference = ?, status = ?, outcome = ? WHERE id = ?")
                .bind(&self.order_id)
                .bind(&self.reference)
                .bind(self.status)
                .bind(&self.outcome)
                .bind(self.id)
                .execute(tx)
                .await?;
            return Ok(());
        }
        self.id = sqlx::query_scalar(
            "INSERT INTO log (at_ms, partner, method, path, trace_id, idempotency_key, order_id, reference, status, outcome)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        )
        .bind(self.at_ms)
        .bind(&self.partner)
        .bind(&self.method)
        .bind(&self.path)
        .bind(&self.trace_id)
        .bind(&self.idempotency_key)
        .bind(&self.order_id)
        .bind(&self.reference)
        .bind(self.status)
        .bind(&self.outcome)
        .fetch_one(&mut *tx)
        .await?;
        if self.id % CUT_EVERY == 0 {
            let oldest = self.id - i64::from(limit);
            sqlx::query("DELETE FROM log WHERE id <= ?").bind(oldest).execute(tx).await?;
        }
        Ok(())
    }
}

/// How often a partner has been asked about an order, or with a key where the request names no order: which attempt comes
/// now.
pub(crate) async fn attempts(world: &World, partner: Partner, subject: &str) -> Result<u64, sqlx::Error> {
    let select = "SELECT count(*) FROM log WHERE partner = ?1 AND (order_id = ?2 OR idempotency_key = ?2)";
    let count: i64 =
        sqlx::query_scalar(select).bind(partner.name()).bind(subject).fetch_one(&world.read).await?;
    Ok(u64::try_from(count).unwrap_or_default())
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    trace_id: Option<String>,
    order_id: Option<String>,
    after: Option<i64>,
    limit: Option<i64>,
}

#[derive(Serialize)]
struct Page {
    entries: Vec<Entry>,
    /// Pass as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<i64>,
}

/// `GET /logs`: over all third parties.
pub(crate) async fn all(State(world): State<Arc<World>>, Query(filter): Query<Filter>) -> Response {
    list(&world, None, filter).await
}

/// `GET /{partner}/logs`: one third party's own.
pub(crate) async fn own(
    State(world): State<Arc<World>>,
    Path(partner): Path<String>,
    Query(filter): Query<Filter>,
) -> Response {
    match Partner::from_str(&partner) {
        Ok(partner) => list(&world, Some(partner), filter).await,
        Err(message) => Answer::no(StatusCode::NOT_FOUND, "not_found", message).into_response(),
    }
}

async fn list(world: &World, partner: Option<Partner>, filter: Filter) -> Response {
    let limit = filter.limit.unwrap_or(1000).clamp(1, 10_000);
    // Each filter that is given has an index of its own; the planner picks it because the query names no other.
    let mut query = sqlx::QueryBuilder::new("SELECT * FROM log WHERE id > ");
    query.push_bind(filter.after.unwrap_or(0));
    if let Some(partner) = partner {
        query.push(" AND partner = ").push_bind(partner.name());
    }
    if let Some(trace_id) = filter.trace_id {
        query.push(" AND trace_id = ").push_bind(trace_id);
    }
    if let Some(order_id) = filter.order_id {
        query.push(" AND order_id = ").push_bind(order_id);
    }
    query.push(" ORDER BY id LIMIT ").push_bind(limit);
    match query.build_query_as::<Entry>().fetch_all(&world.read).await {
        Ok(entries) => {
            let full = i64::try_from(entries.len()).is_ok_and(|n| n == limit);
            let next = entries.last().filter(|_| full).map(|e| e.id);
            Json(Page { entries, next }).into_response()
        }
        Err(error) => Answer::broken(&error).into_response(),
    }
}

//! Messages of given orders that are not done with: what waits in the outbox, what is open or dead in the inbox.

use sqlx::{AssertSqlSafe, Row, any::AnyRow};

use super::Bus;
use crate::book::{Letter, LetterState, places};

/// Most messages of one answer.
const MOST: &str = "1000";

/// Those of `orders`. Each statement has an index of its own, however long the boxes are.
pub(crate) async fn letters(bus: &Bus, orders: &[String]) -> Result<Vec<Letter>, sqlx::Error> {
    if orders.is_empty() {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for (state, means) in [("open", LetterState::Open), ("dead", LetterState::Dead)] {
        let sql = format!(
            "SELECT event_type, subject, source AS peer, delivery AS attempts, last_error, received_unix_ms AS since_ms \
             FROM inbox WHERE state = '{state}' AND subject IN ({}) LIMIT {MOST}",
            places(orders.len(), 1)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for order in orders {
            query = query.bind(order);
        }
        for row in &query.fetch_all(bus.0.database.read()).await? {
            all.push(letter(row, means)?);
        }
    }
    for destination in bus.destinations().into_keys() {
        let sql = format!(
            "SELECT event_type, subject, destination AS peer, attempts, refused, last_error, created_unix_ms AS since_ms \
             FROM outbox WHERE destination = $1 AND subject IN ({}) LIMIT {MOST}",
            places(orders.len(), 2)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(destination);
        for order in orders {
            query = query.bind(order);
        }
        for row in &query.fetch_all(bus.0.database.read()).await? {
            let refused = row.try_get::<i64, _>("refused")? != 0;
            all.push(letter(row, if refused { LetterState::Refused } else { LetterState::Waiting })?);
        }
    }
    Ok(all)
}

fn letter(row: &AnyRow, state: LetterState) -> Result<Letter, sqlx::Error> {
    Ok(Letter {
        order_id: row.try_get("subject")?,
        event_type: row.try_get("event_type")?,
        state,
        peer: row.try_get("peer")?,
        attempts: row.try_get("attempts")?,
        reason: row.try_get("last_error")?,
        since_ms: row.try_get("since_ms")?,
    })
}

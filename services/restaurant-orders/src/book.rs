//! The orders on disk. Each change of state is one transaction, with the message that it causes.

use chassis::{
    Bus, Carried, Database, Traced, Tx,
    due::{ms, now_ms, pause},
};
use contracts::message::{ORDER_ACCEPTED, OrderAccepted};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{Row, any::AnyRow};
use std::time::Duration;

use crate::{
    OrdersError,
    order::{State, Step},
};

/// An order as recorded.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) order_id: String,
    pub(crate) customer_id: String,
    pub(crate) restaurant_id: String,
    pub(crate) zone: String,
    pub(crate) amount_minor: i64,
    pub(crate) currency: String,
    pub(crate) items: Vec<Item>,
    pub(crate) payment_id: String,
    pub(crate) payment_reference: String,
    pub(crate) state: State,
    pub(crate) reason: String,
    pub(crate) context: Carried,
    pub(crate) attempts: i64,
    pub(crate) updated_unix_ms: i64,
}

/// A line of the order, as the till takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) quantity: i32,
}

/// Longest pause between two tries of the same thing.
const LATER: Duration = Duration::from_secs(30);

/// The table.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    database: Database,
    bus: Bus,
}

// === impl Book ===

impl Book {
    pub(crate) fn new(database: Database, bus: Bus) -> Self {
        Self { database, bus }
    }

    /// Takes an order over; `Ok` says that it is on disk. One that is there already is left as it is, if it is the same.
    pub(crate) async fn take(&self, new: &Order) -> Result<Order, OrdersError> {
        let mut tx = self.database.begin_for(&new.order_id).await?;
        if let Some(known) = load(&mut tx, &new.order_id).await? {
            let same = known.payment_id == new.payment_id
                && known.amount_minor == new.amount_minor
                && known.currency == new.currency
                && known.items == new.items;
            return if same { Ok(known) } else { Err(OrdersError::Different) };
        }
        sqlx::query(
            "INSERT INTO orders (order_id, customer_id, restaurant_id, zone, amount_minor, currency, items, payment_id, \
             payment_reference, state, reason, context, due_unix_ms, created_unix_ms, updated_unix_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $13)",
        )
        .bind(&new.order_id)
        .bind(&new.customer_id)
        .bind(&new.restaurant_id)
        .bind(&new.zone)
        .bind(new.amount_minor)
        .bind(&new.currency)
        .bind(serde_json::to_string(&new.items).unwrap_or_default())
        .bind(&new.payment_id)
        .bind(&new.payment_reference)
        .bind(new.state.name())
        .bind(&new.reason)
        .bind(new.context.to_text())
        .bind(new.updated_unix_ms)
        .execute(&mut *tx)
        .traced("INSERT orders")
        .await?;
        tx.commit().await?;
        Ok(new.clone())
    }

    /// Takes a step, and puts `order.accepted` into the outbox with it where that is the step.
    pub(crate) async fn step(
        &self,
        order_id: &str,
        step: Step,
        reason: &str,
        ticket: &str,
    ) -> Result<State, OrdersError> {
        let mut tx = self.database.begin_for(order_id).await?;
        let order = load(&mut tx, order_id).await?.ok_or(OrdersError::Unknown)?;
        let next = order.state.after(step)?;
        if next == order.state {
            return Ok(next);
        }
        sqlx::query(
            "UPDATE orders SET state = $2, reason = CASE WHEN $3 = '' THEN reason ELSE $3 END, \
             ticket_id = CASE WHEN $4 = '' THEN ticket_id ELSE $4 END, attempts = 0, last_error = '', \
             due_unix_ms = $5, updated_unix_ms = $5 WHERE order_id = $1",
        )
        .bind(order_id)
        .bind(next.name())
        .bind(reason)
        .bind(ticket)
        .bind(now_ms())
        .execute(&mut *tx)
        .traced("UPDATE orders")
        .await?;
        if next == State::Accepted {
            let body = OrderAccepted {
                order_id: order.order_id,
                customer_id: order.customer_id,
                restaurant_id: order.restaurant_id,
                zone: order.zone,
                amount_minor: order.amount_minor,
                currency: order.currency,
            };
            self.bus.publish(&mut tx, ORDER_ACCEPTED, order_id, &body).await?;
        }
        tx.commit().await?;
        Ok(next)
    }

    /// Notes that what the state asks for did not work, and when to try again.
    pub(crate) async fn later(&self, order: &Order, error: &str) -> Result<(), sqlx::Error> {
        let mut tx = self.database.begin().await?;
        sqlx::query(
            "UPDATE orders SET attempts = attempts + 1, last_error = $2, due_unix_ms = $3 WHERE order_id = $1",
        )
        .bind(&order.order_id)
        .bind(error)
        .bind(now_ms() + ms(pause(order.attempts, LATER)))
        .execute(&mut *tx)
        .traced("UPDATE orders")
        .await?;
        tx.commit().await
    }

    /// Orders whose state asks something of us now. A due time further away than any pause is a clock's mistake.
    pub(crate) async fn due(&self, rows: i64) -> Result<Vec<Order>, sqlx::Error> {
        let now = now_ms();
        let rows = sqlx::query(
            "SELECT * FROM orders WHERE state IN ('received', 'failing') AND (due_unix_ms <= $1 OR due_unix_ms > $2) \
             ORDER BY due_unix_ms LIMIT $3",
        )
        .bind(now)
        .bind(now + ms(LATER) * 2)
        .bind(rows)
        .fetch_all(self.database.read())
        .await?;
        rows.iter().map(read).collect()
    }

    pub(crate) async fn get(&self, order_id: &str) -> Result<Option<Order>, sqlx::Error> {
        let row = sqlx::query("SELECT * FROM orders WHERE order_id = $1").bind(order_id);
        let row = row.fetch_optional(self.database.read()).traced("SELECT orders").await?;
        row.as_ref().map(read).transpose()
    }

    /// How many orders are in each state, and those that have been open for longest.
    pub(crate) async fn summary(&self) -> Result<Value, sqlx::Error> {
        let read = self.database.read();
        let counts = sqlx::query("SELECT state, COUNT(*) AS n FROM orders GROUP BY state");
        let counts = counts.fetch_all(read).traced("SELECT orders").await?;
        let rows = sqlx::query(
            "SELECT * FROM orders WHERE state NOT IN ('delivered', 'refunded') ORDER BY created_unix_ms LIMIT 100",
        );
        let rows = rows.fetch_all(read).traced("SELECT orders").await?;
        let mut states = serde_json::Map::new();
        for row in &counts {
            states.insert(row.try_get("state")?, json!(row.try_get::<i64, _>("n")?));
        }
        let mut open = Vec::new();
        for row in &rows {
            open.push(json!({
                "order_id": row.try_get::<String, _>("order_id")?,
                "state": row.try_get::<String, _>("state")?,
                "reason": row.try_get::<String, _>("reason")?,
                "attempts": row.try_get::<i64, _>("attempts")?,
                "last_error": row.try_get::<String, _>("last_error")?,
                "created_unix_ms": row.try_get::<i64, _>("created_unix_ms")?,
                "updated_unix_ms": row.try_get::<i64, _>("updated_unix_ms")?,
            }));
        }
        Ok(json!({"states": states, "open": open}))
    }
}

async fn load(tx: &mut Tx, order_id: &str) -> Result<Option<Order>, sqlx::Error> {
    let row = sqlx::query("SELECT * FROM orders WHERE order_id = $1").bind(order_id);
    let row = row.fetch_optional(&mut **tx).traced("SELECT orders").await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &AnyRow) -> Result<Order, sqlx::Error> {
    let state: String = row.try_get("state")?;
    let items: String = row.try_get("items")?;
    let decode = |e: serde_json::Error| sqlx::Error::Decode(Box::new(e));
    Ok(Order {
        order_id: row.try_get("order_id")?,
        customer_id: row.try_get("customer_id")?,
        restaurant_id: row.try_get("restaurant_id")?,
        zone: row.try_get("zone")?,
        amount_minor: row.try_get("amount_minor")?,
        currency: row.try_get("currency")?,
        items: serde_json::from_str(&items).map_err(decode)?,
        payment_id: row.try_get("payment_id")?,
        payment_reference: row.try_get("payment_reference")?,
        state: State::from_name(&state)
            .ok_or_else(|| sqlx::Error::Decode(format!("state {state:?}").into()))?,
        reason: row.try_get("reason")?,
        context: Carried::from_text(&row.try_get::<String, _>("context")?),
        attempts: row.try_get("attempts")?,
        updated_unix_ms: row.try_get("updated_unix_ms")?,
    })
}

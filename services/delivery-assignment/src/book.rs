//! The assignments on disk. Giving an order up and saying so is one transaction.

use std::{fmt, time::Duration};

use chassis::{
    Bus, Carried, Database, Traced, Tx,
    due::{ms, now_ms, pause},
};
use contracts::message::{ORDER_FAILED, OrderAccepted, OrderFailed};
use serde_json::{Value, json};
use sqlx::{Row, any::AnyRow};

use crate::AssignError;

/// Where the search for a courier is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The fleet is being asked.
    Searching,
    /// The fleet has named a courier; tracking does not know yet.
    Assigned,
    /// Tracking follows the ride: the order is out of our hands.
    Riding,
    /// Nobody rides, and those concerned have been told.
    Failed,
    /// Nobody rides, and nobody was told: the naive pipeline.
    Dropped,
}

/// An assignment as recorded.
#[derive(Debug, Clone)]
pub(crate) struct Assignment {
    pub(crate) accepted: OrderAccepted,
    pub(crate) state: State,
    pub(crate) reason: String,
    pub(crate) courier: Courier,
    pub(crate) context: Carried,
    pub(crate) attempts: i64,
}

/// Who rides.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct Courier {
    pub(crate) assignment_id: String,
    pub(crate) courier_id: String,
    pub(crate) ride_ms: i64,
}

/// Longest pause between two tries of the same thing.
const LATER: Duration = Duration::from_secs(30);

/// The table.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    database: Database,
    bus: Bus,
}

// === impl State ===

impl State {
    const ALL: [Self; 5] = [Self::Searching, Self::Assigned, Self::Riding, Self::Failed, Self::Dropped];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Searching => "searching",
            Self::Assigned => "assigned",
            Self::Riding => "riding",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }

    /// Whether `next` may follow. An order with a courier is not given up any more, one that was given up gets none.
    pub(crate) fn leads_to(self, next: Self) -> bool {
        use State::{Assigned, Dropped, Failed, Riding, Searching};
        matches!(
            (self, next),
            (Searching, Assigned | Failed | Dropped) | (Assigned, Riding) | (Dropped, Failed)
        ) || self == next
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

// === impl Book ===

impl Book {
    pub(crate) fn new(database: Database, bus: Bus) -> Self {
        Self { database, bus }
    }

    /// The assignment of an order, begun now if it was not before.
    pub(crate) async fn begin(&self, accepted: OrderAccepted) -> Result<Assignment, sqlx::Error> {
        let mut tx = self.database.begin_for(&accepted.order_id).await?;
        if let Some(known) = load(&mut tx, &accepted.order_id).await? {
            return Ok(known);
        }
        let context = Carried::now(&accepted.order_id);
        sqlx::query(
            "INSERT INTO assignments (order_id, accepted, state, context, due_unix_ms, created_unix_ms, updated_unix_ms) \
             VALUES ($1, $2, $3, $4, $5, $5, $5)",
        )
        .bind(&accepted.order_id)
        .bind(serde_json::to_string(&accepted).unwrap_or_default())
        .bind(State::Searching.name())
        .bind(context.to_text())
        .bind(now_ms())
        .execute(&mut *tx)
        .traced("INSERT assignments")
        .await?;
        tx.commit().await?;
        Ok(Assignment {
            accepted,
            state: State::Searching,
            reason: String::new(),
            courier: Courier::default(),
            context,
            attempts: 0,
        })
    }

    /// A courier rides: the order will not be given up any more.
    pub(crate) async fn assigned(&self, order_id: &str, courier: &Courier) -> Result<(), AssignError> {
        let mut tx = self.database.begin_for(order_id).await?;
        check(&mut tx, order_id, State::Assigned).await?;
        sqlx::query(
            "UPDATE assignments SET state = 'assigned', assignment_id = $2, courier_id = $3, ride_ms = $4, \
             updated_unix_ms = $5 WHERE order_id = $1",
        )
        .bind(order_id)
        .bind(&courier.assignment_id)
        .bind(&courier.courier_id)
        .bind(courier.ride_ms)
        .bind(now_ms())
        .execute(&mut *tx)
        .traced("UPDATE assignments")
        .await?;
        Ok(tx.commit().await?)
    }

    /// Tracking has the ride.
    pub(crate) async fn riding(&self, order_id: &str) -> Result<(), AssignError> {
        self.turn(order_id, State::Riding, "", false).await
    }

    /// Nobody is told: the naive pipeline.
    pub(crate) async fn drop_it(&self, order_id: &str, reason: &str) -> Result<(), AssignError> {
        self.turn(order_id, State::Dropped, reason, false).await
    }

    /// Nobody rides: `order.failed` goes out with the change, and the fleet is to be told.
    pub(crate) async fn fail(&self, order_id: &str, reason: &str) -> Result<(), AssignError> {
        self.turn(order_id, State::Failed, reason, true).await
    }

    async fn turn(&self, order_id: &str, next: State, reason: &str, tell: bool) -> Result<(), AssignError> {
        let mut tx = self.database.begin_for(order_id).await?;
        let known = check(&mut tx, order_id, next).await?;
        if known.state == next {
            return Ok(());
        }
        sqlx::query(
            "UPDATE assignments SET state = $2, reason = $3, cancel = $4, attempts = 0, due_unix_ms = $5, \
             updated_unix_ms = $5 WHERE order_id = $1",
        )
        .bind(order_id)
        .bind(next.name())
        .bind(reason)
        .bind(i64::from(tell))
        .bind(now_ms())
        .execute(&mut *tx)
        .traced("UPDATE assignments")
        .await?;
        if tell {
            let body = OrderFailed {
                order_id: known.accepted.order_id,
                customer_id: known.accepted.customer_id,
                reason: reason.to_owned(),
                amount_minor: known.accepted.amount_minor,
                currency: known.accepted.currency,
            };
            self.bus.publish(&mut tx, ORDER_FAILED, order_id, &body).await?;
        }
        Ok(tx.commit().await?)
    }

    /// The fleet knows that nobody need ride.
    pub(crate) async fn cancelled(&self, order_id: &str) -> Result<(), sqlx::Error> {
        let mut tx = self.database.begin().await?;
        sqlx::query("UPDATE assignments SET cancel = 0 WHERE order_id = $1")
            .bind(order_id)
            .execute(&mut *tx)
            .traced("UPDATE assignments")
            .await?;
        tx.commit().await
    }

    /// It did not work: later again.
    pub(crate) async fn later(&self, assignment: &Assignment) -> Result<(), sqlx::Error> {
        let mut tx = self.database.begin().await?;
        sqlx::query("UPDATE assignments SET attempts = attempts + 1, due_unix_ms = $2 WHERE order_id = $1")
            .bind(&assignment.accepted.order_id)
            .bind(now_ms() + ms(pause(assignment.attempts, LATER)))
            .execute(&mut *tx)
            .traced("UPDATE assignments")
            .await?;
        tx.commit().await
    }

    /// Cancellations that the fleet has to be told, and orders that a naive run has dropped. A due time further away than
    /// any pause is a clock's mistake.
    pub(crate) async fn due(&self, rows: i64) -> Result<Vec<Assignment>, sqlx::Error> {
        let now = now_ms();
        let rows = sqlx::query(
            "SELECT * FROM assignments WHERE (cancel = 1 OR state = 'dropped') \
             AND (due_unix_ms <= $1 OR due_unix_ms > $2) ORDER BY due_unix_ms LIMIT $3",
        )
        .bind(now)
        .bind(now + ms(LATER) * 2)
        .bind(rows)
        .fetch_all(self.database.read())
        .await?;
        rows.iter().map(read).collect()
    }

    /// How many orders are in each state, and those that still need something.
    pub(crate) async fn summary(&self) -> Result<Value, sqlx::Error> {
        let pool = self.database.read();
        let counts = sqlx::query("SELECT state, COUNT(*) AS n FROM assignments GROUP BY state");
        let counts = counts.fetch_all(pool).traced("SELECT assignments").await?;
        let rows = sqlx::query(
            "SELECT * FROM assignments WHERE state NOT IN ('riding', 'failed') ORDER BY created_unix_ms LIMIT 100",
        );
        let rows = rows.fetch_all(pool).traced("SELECT assignments").await?;
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
                "created_unix_ms": row.try_get::<i64, _>("created_unix_ms")?,
            }));
        }
        Ok(json!({"states": states, "open": open}))
    }
}

async fn check(tx: &mut Tx, order_id: &str, next: State) -> Result<Assignment, AssignError> {
    let known = load(tx, order_id).await?.ok_or(sqlx::Error::RowNotFound)?;
    if known.state.leads_to(next) { Ok(known) } else { Err(AssignError::Illegal(known.state, next)) }
}

async fn load(tx: &mut Tx, order_id: &str) -> Result<Option<Assignment>, sqlx::Error> {
    let row = sqlx::query("SELECT * FROM assignments WHERE order_id = $1").bind(order_id);
    let row = row.fetch_optional(&mut **tx).traced("SELECT assignments").await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &AnyRow) -> Result<Assignment, sqlx::Error> {
    let state: String = row.try_get("state")?;
    let accepted: String = row.try_get("accepted")?;
    let unknown = || sqlx::Error::Decode(format!("state {state:?}").into());
    Ok(Assignment {
        accepted: serde_json::from_str(&accepted).map_err(|e| sqlx::Error::Decode(Box::new(e)))?,
        state: State::ALL.into_iter().find(|s| s.name() == state).ok_or_else(unknown)?,
        reason: row.try_get("reason")?,
        courier: Courier {
            assignment_id: row.try_get("assignment_id")?,
            courier_id: row.try_get("courier_id")?,
            ride_ms: row.try_get("ride_ms")?,
        },
        context: Carried::from_text(&row.try_get::<String, _>("context")?),
        attempts: row.try_get("attempts")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_with_a_courier_is_not_given_up_and_one_given_up_gets_none() {
        for given_up in [State::Failed, State::Dropped] {
            assert!(!State::Assigned.leads_to(given_up) && !State::Riding.leads_to(given_up));
            assert!(!given_up.leads_to(State::Assigned) && !given_up.leads_to(State::Riding));
        }
        assert!(State::Dropped.leads_to(State::Failed), "what a naive run dropped can be made good");
        assert!(!State::Failed.leads_to(State::Dropped));
    }
}

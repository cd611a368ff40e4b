//! The rides on disk. A ride's start and its end are one transaction each, with the message that tells of it.

use std::time::Duration;

use chassis::{
    Bus, Carried, Database, Traced, Tx,
    due::{ms, now_ms},
};
use contracts::message::{ORDER_DELIVERED, Ride, TRACKING_STARTED};
use serde_json::{Value, json};
use sqlx::{Row, any::AnyRow};
use uuid::Uuid;

use crate::TrackingError;

/// What a ride is started with.
#[derive(Debug, Clone)]
pub(crate) struct NewRide {
    pub(crate) order_id: String,
    pub(crate) customer_id: String,
    pub(crate) courier_id: String,
    pub(crate) zone: String,
    pub(crate) takes: Duration,
}

/// A ride that has reached the door.
#[derive(Debug, Clone)]
pub(crate) struct AtTheDoor {
    pub(crate) ride: Ride,
    pub(crate) context: Carried,
}

/// The table.
#[derive(Debug, Clone)]
pub(crate) struct Rides {
    database: Database,
    bus: Bus,
}

/// Rides that are delivered between two looks at the clock.
const AT_ONCE: i64 = 256;

// === impl Rides ===

impl Rides {
    pub(crate) fn new(database: Database, bus: Bus) -> Self {
        Self { database, bus }
    }

    /// Starts a ride and puts `tracking.started` into the outbox. An order that rides already keeps its ride.
    pub(crate) async fn start(&self, new: NewRide) -> Result<String, TrackingError> {
        let mut tx = self.database.begin_for(&new.order_id).await?;
        let known = sqlx::query("SELECT ride_id FROM rides WHERE order_id = $1").bind(&new.order_id);
        if let Some(row) = known.fetch_optional(&mut *tx).traced("SELECT rides").await? {
            return Ok(row.try_get("ride_id")?);
        }
        let ride = Ride {
            order_id: new.order_id,
            customer_id: new.customer_id,
            ride_id: format!("ride-{}", Uuid::now_v7()),
            courier_id: new.courier_id,
        };
        sqlx::query(
            "INSERT INTO rides (order_id, ride_id, customer_id, courier_id, zone, ride_ms, state, context, \
             started_unix_ms, updated_unix_ms) VALUES ($1, $2, $3, $4, $5, $6, 'riding', $7, $8, $8)",
        )
        .bind(&ride.order_id)
        .bind(&ride.ride_id)
        .bind(&ride.customer_id)
        .bind(&ride.courier_id)
        .bind(&new.zone)
        .bind(ms(new.takes))
        .bind(Carried::now(&ride.order_id).to_text())
        .bind(now_ms())
        .execute(&mut *tx)
        .traced("INSERT rides")
        .await?;
        self.bus.publish(&mut tx, TRACKING_STARTED, &ride.order_id, &ride).await?;
        tx.commit().await?;
        Ok(ride.ride_id)
    }

    /// Whether the couriers are this process's to move: of several, one moves them, so that time passes once.
    pub(crate) async fn ours(&self) -> bool {
        self.database.leads("road").await
    }

    /// All couriers move on by `by`; those that are at the door now.
    pub(crate) async fn advance(&self, by: Duration) -> Result<Vec<AtTheDoor>, sqlx::Error> {
        let read = self.database.read();
        if sqlx::query("SELECT 1 FROM rides WHERE state = 'riding' LIMIT 1")
            .fetch_optional(read)
            .await?
            .is_none()
        {
            return Ok(Vec::new());
        }
        let mut tx = self.database.begin_quiet().await?;
        sqlx::query(
            "UPDATE rides SET elapsed_ms = elapsed_ms + $1, updated_unix_ms = $2 WHERE state = 'riding'",
        )
        .bind(ms(by))
        .bind(now_ms())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        let rows = sqlx::query(
            "SELECT * FROM rides WHERE state = 'riding' AND elapsed_ms >= ride_ms ORDER BY started_unix_ms LIMIT $1",
        );
        rows.bind(AT_ONCE).fetch_all(read).await?.iter().map(at_the_door).collect()
    }

    /// The food is there: `order.delivered` goes out with it. A ride that has ended stays as it is.
    pub(crate) async fn deliver(&self, ride: &Ride) -> Result<(), TrackingError> {
        let mut tx = self.database.begin_for(&ride.order_id).await?;
        if !end(&mut tx, &ride.order_id).await? {
            return Ok(());
        }
        self.bus.publish(&mut tx, ORDER_DELIVERED, &ride.order_id, ride).await?;
        Ok(tx.commit().await?)
    }

    /// Where a ride is.
    pub(crate) async fn of(&self, order_id: &str) -> Result<Option<Value>, sqlx::Error> {
        let row = sqlx::query("SELECT * FROM rides WHERE order_id = $1").bind(order_id);
        let row = row.fetch_optional(self.database.read()).traced("SELECT rides").await?;
        row.as_ref().map(shown).transpose()
    }

    /// How many rides are in each state, and those that have been under way for longest.
    pub(crate) async fn summary(&self) -> Result<Value, sqlx::Error> {
        let read = self.database.read();
        let counts = sqlx::query("SELECT state, COUNT(*) AS n FROM rides GROUP BY state");
        let counts = counts.fetch_all(read).traced("SELECT rides").await?;
        let rows =
            sqlx::query("SELECT * FROM rides WHERE state = 'riding' ORDER BY started_unix_ms LIMIT 100");
        let rows = rows.fetch_all(read).traced("SELECT rides").await?;
        let mut states = serde_json::Map::new();
        for row in &counts {
            states.insert(row.try_get("state")?, json!(row.try_get::<i64, _>("n")?));
        }
        let open = rows.iter().map(shown).collect::<Result<Vec<_>, _>>()?;
        Ok(json!({"states": states, "open": open}))
    }
}

async fn end(tx: &mut Tx, order_id: &str) -> Result<bool, sqlx::Error> {
    let ended = sqlx::query(
        "UPDATE rides SET state = 'delivered', elapsed_ms = ride_ms, updated_unix_ms = $2 \
         WHERE order_id = $1 AND state = 'riding'",
    );
    let ended = ended.bind(order_id).bind(now_ms()).execute(&mut **tx).traced("UPDATE rides").await?;
    Ok(ended.rows_affected() == 1)
}

fn at_the_door(row: &AnyRow) -> Result<AtTheDoor, sqlx::Error> {
    Ok(AtTheDoor {
        ride: Ride {
            order_id: row.try_get("order_id")?,
            customer_id: row.try_get("customer_id")?,
            ride_id: row.try_get("ride_id")?,
            courier_id: row.try_get("courier_id")?,
        },
        context: Carried::from_text(&row.try_get::<String, _>("context")?),
    })
}

fn shown(row: &AnyRow) -> Result<Value, sqlx::Error> {
    let (elapsed, whole): (i64, i64) = (row.try_get("elapsed_ms")?, row.try_get("ride_ms")?);
    Ok(json!({
        "order_id": row.try_get::<String, _>("order_id")?,
        "ride_id": row.try_get::<String, _>("ride_id")?,
        "courier_id": row.try_get::<String, _>("courier_id")?,
        "zone": row.try_get::<String, _>("zone")?,
        "state": row.try_get::<String, _>("state")?,
        "ride_ms": whole,
        "progress_percent": elapsed.saturating_mul(100).checked_div(whole).unwrap_or(0).clamp(0, 100),
        "started_unix_ms": row.try_get::<i64, _>("started_unix_ms")?,
    }))
}

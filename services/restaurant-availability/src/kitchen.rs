//! The kitchens: when they are open, how busy they are, what is left.

use std::time::Duration;

use chassis::{Database, Traced, Tx};
use contracts::{catalogue::Restaurant, http::Availability};
use time::OffsetDateTime;

use crate::{AvailabilityError, items::Items};

/// All kitchens.
pub(crate) struct Kitchen {
    database: Database,
    window: Duration,
}

#[derive(sqlx::FromRow)]
struct Hours {
    opens_h: i64,
    closes_h: i64,
    kitchen_capacity: i64,
}

// === impl Kitchen ===

impl Kitchen {
    pub(crate) fn new(database: Database, window: Duration) -> Self {
        Self { database, window }
    }

    /// Puts in what is not there yet; what is there keeps its stock.
    pub(crate) async fn seed(&self, catalogue: &[Restaurant]) -> Result<(), AvailabilityError> {
        let mut tx = self.database.begin().await?;
        for restaurant in catalogue {
            sqlx::query(
                "INSERT INTO restaurants (restaurant_id, opens_h, closes_h, kitchen_capacity) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (restaurant_id) DO NOTHING",
            )
            .bind(&restaurant.id)
            .bind(i64::from(restaurant.opens_h))
            .bind(i64::from(restaurant.closes_h))
            .bind(i64::from(restaurant.kitchen_capacity))
            .execute(&mut *tx)
            .await?;
            for dish in &restaurant.dishes {
                sqlx::query(
                    "INSERT INTO stock (sku, restaurant_id, portions) VALUES ($1, $2, $3)
                     ON CONFLICT (sku) DO NOTHING",
                )
                .bind(&dish.sku)
                .bind(&restaurant.id)
                .bind(i64::from(dish.stock))
                .execute(&mut *tx)
                .await?;
            }
        }
        Ok(tx.commit().await?)
    }

    /// Whether all of it can be cooked now. A yes is held for the order, if there is one.
    pub(crate) async fn check(
        &self,
        restaurant: &str,
        items: &Items,
        order: Option<&str>,
        now: OffsetDateTime,
    ) -> Result<Availability, AvailabilityError> {
        let (now_ms, since) = self.times(now);
        let order_id = order.unwrap_or_default();
        // One transaction from the look to the hold: two orders cannot both get the last portion.
        let mut tx = self.database.begin_for(restaurant).await?;
        let hours = hours(&mut tx, restaurant).await?;
        let load = load(&mut tx, restaurant, order_id, since).await?;
        let missing = missing(&mut tx, restaurant, items, order_id, since).await?;
        let reason = if !is_open(hours.opens_h, hours.closes_h, i64::from(now.hour())) {
            Some("closed")
        } else if load >= hours.kitchen_capacity {
            Some("kitchen_full")
        } else if !missing.is_empty() {
            Some("out_of_stock")
        } else {
            None
        };
        if reason.is_none() && order.is_some() {
            hold(&mut tx, restaurant, items, order_id, now_ms).await?;
            tx.commit().await?;
        }
        Ok(Availability {
            restaurant_id: restaurant.to_owned(),
            available: reason.is_none(),
            reason: reason.map(str::to_owned),
            missing,
            kitchen_load: u32::try_from(load).unwrap_or(u32::MAX),
        })
    }

    /// Forgets what has left the window.
    pub(crate) async fn tidy(&self, now: OffsetDateTime) -> Result<(), AvailabilityError> {
        let (_, since) = self.times(now);
        let mut tx = self.database.begin_quiet().await?;
        sqlx::query("DELETE FROM held_orders WHERE at_ms <= $1").bind(since).execute(&mut *tx).await?;
        sqlx::query("DELETE FROM held_portions WHERE at_ms <= $1").bind(since).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// Now and the beginning of the window, in milliseconds.
    fn times(&self, now: OffsetDateTime) -> (i64, i64) {
        let now = i64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX);
        (now, now - i64::try_from(self.window.as_millis()).unwrap_or(i64::MAX / 2))
    }
}

/// Whether `hour` lies in the opening hours, which may go past midnight. The same hour twice means never.
fn is_open(opens: i64, closes: i64, hour: i64) -> bool {
    if opens <= closes { (opens..closes).contains(&hour) } else { hour >= opens || hour < closes }
}

async fn hours(tx: &mut Tx, restaurant: &str) -> Result<Hours, AvailabilityError> {
    let found = sqlx::query_as(
        "SELECT opens_h, closes_h, kitchen_capacity FROM restaurants WHERE restaurant_id = $1",
    )
    .bind(restaurant)
    .fetch_optional(&mut **tx)
    .traced("SELECT restaurants")
    .await?;
    found.ok_or_else(|| AvailabilityError::NoRestaurant(restaurant.chars().take(100).collect()))
}

/// Orders in the kitchen, other than this one.
async fn load(tx: &mut Tx, restaurant: &str, order: &str, since: i64) -> Result<i64, AvailabilityError> {
    Ok(sqlx::query_scalar(
        "SELECT count(*) FROM held_orders WHERE restaurant_id = $1 AND at_ms > $2 AND order_id <> $3",
    )
    .bind(restaurant)
    .bind(since)
    .bind(order)
    .fetch_one(&mut **tx)
    .traced("SELECT held_orders")
    .await?)
}

/// What there is too little of.
async fn missing(
    tx: &mut Tx,
    restaurant: &str,
    items: &Items,
    order: &str,
    since: i64,
) -> Result<Vec<String>, AvailabilityError> {
    let mut missing = Vec::new();
    for (sku, wanted) in &items.0 {
        let left: Option<i64> = sqlx::query_scalar(
            "SELECT s.portions - coalesce((SELECT CAST(sum(h.portions) AS BIGINT) FROM held_portions h
                 WHERE h.sku = s.sku AND h.at_ms > $1 AND h.order_id <> $2), 0)
             FROM stock s WHERE s.sku = $3 AND s.restaurant_id = $4",
        )
        .bind(since)
        .bind(order)
        .bind(sku)
        .bind(restaurant)
        .fetch_optional(&mut **tx)
        .traced("SELECT stock")
        .await?;
        match left {
            None => {
                return Err(AvailabilityError::NoDish {
                    restaurant: restaurant.to_owned(),
                    sku: sku.clone(),
                });
            }
            Some(left) if left < *wanted => missing.push(sku.clone()),
            Some(_) => {}
        }
    }
    Ok(missing)
}

async fn hold(
    tx: &mut Tx,
    restaurant: &str,
    items: &Items,
    order: &str,
    now_ms: i64,
) -> Result<(), AvailabilityError> {
    sqlx::query(
        "INSERT INTO held_orders (restaurant_id, order_id, at_ms) VALUES ($1, $2, $3)
         ON CONFLICT (restaurant_id, order_id) DO UPDATE SET at_ms = excluded.at_ms",
    )
    .bind(restaurant)
    .bind(order)
    .bind(now_ms)
    .execute(&mut **tx)
    .traced("INSERT held_orders")
    .await?;
    for (sku, portions) in &items.0 {
        sqlx::query(
            "INSERT INTO held_portions (sku, order_id, portions, at_ms) VALUES ($1, $2, $3, $4)
             ON CONFLICT (sku, order_id) DO UPDATE SET portions = excluded.portions, at_ms = excluded.at_ms",
        )
        .bind(sku)
        .bind(order)
        .bind(portions)
        .bind(now_ms)
        .execute(&mut **tx)
        .traced("INSERT held_portions")
        .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_hours_may_pass_midnight_and_may_be_never() {
        assert!(is_open(0, 24, 0) && is_open(0, 24, 23));
        assert!(is_open(18, 2, 23) && is_open(18, 2, 1) && !is_open(18, 2, 2) && !is_open(18, 2, 17));
        assert!(!is_open(0, 0, 0) && !is_open(9, 9, 9));
    }
}

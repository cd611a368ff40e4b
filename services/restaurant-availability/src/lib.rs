//! Step 3: opening hours, kitchen load and stock.
//!
//! `GET /restaurants/{id}/availability?items=sku:2,sku:1` → 200 [`Availability`], 400 for items that cannot be read, 404
//! for a restaurant or a dish that does not exist.
//!
//! A yes to a request that carries the baggage `order.id` puts that order into the kitchen and its portions aside for
//! `WAYBILL_KITCHEN_WINDOW` (default `10m`). Asking again for the same order changes nothing but the time.

mod items;
mod kitchen;

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    routing::get,
};
use chassis::{App, Error, Kind, Service, Start};
use contracts::{http::Availability, keys};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use items::Items;
use kitchen::Kitchen;

/// The service.
pub const SERVICE: Service =
    Service { name: "restaurant-availability", version: env!("CARGO_PKG_VERSION"), default_port: 8082, app };

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// Why a question cannot be answered.
#[derive(Debug, thiserror::Error)]
enum AvailabilityError {
    #[error("items: {0}")]
    Items(String),
    #[error("there is no restaurant {0}")]
    NoRestaurant(String),
    #[error("{restaurant} has no {sku}")]
    NoDish { restaurant: String, sku: String },
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl From<AvailabilityError> for Error {
    fn from(error: AvailabilityError) -> Self {
        let text = error.to_string();
        match error {
            AvailabilityError::Items(_) => Self::new(Kind::Invalid, text).typed("invalid-items"),
            AvailabilityError::NoRestaurant(_) => Self::not_found(text).typed("no-such-restaurant"),
            AvailabilityError::NoDish { .. } => Self::not_found(text).typed("no-such-dish"),
            AvailabilityError::Database(source) => source.into(),
        }
    }
}

/// Builds the service.
fn app(start: &Start) -> App {
    let window: Duration = start.settings.duration("WAYBILL_KITCHEN_WINDOW", "10m");
    let kitchen = Arc::new(Kitchen::new(start.database.clone(), window));
    let (seeded, tidied) = (kitchen.clone(), kitchen.clone());
    App::new()
        .migrations(&MIGRATIONS)
        .first(async move || Ok(seeded.seed(&contracts::catalogue::restaurants()).await?))
        .worker("tidy", move |stop| tidy(tidied, stop))
        .http(Router::new().route("/restaurants/{id}/availability", get(availability)).with_state(kitchen))
}

/// Forgets, once in a while, what has left the window.
async fn tidy(kitchen: Arc<Kitchen>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(60))).await.is_some() {
        if let Err(error) = kitchen.tidy(time::OffsetDateTime::now_utc()).await {
            tracing::warn!(error = %Error::from(error).causes(), "old holds stay for now");
        }
    }
}

#[derive(Deserialize)]
struct Question {
    items: String,
}

async fn availability(
    State(kitchen): State<Arc<Kitchen>>,
    Path(restaurant): Path<String>,
    Query(question): Query<Question>,
) -> Result<Json<Availability>, Error> {
    telemetry::context::set_attribute(keys::RESTAURANT_ID, restaurant.clone());
    let items: Items = question.items.parse().map_err(AvailabilityError::Items)?;
    let order = telemetry::context::baggage(keys::ORDER_ID);
    let answer =
        kitchen.check(&restaurant, &items, order.as_deref(), time::OffsetDateTime::now_utc()).await?;
    Ok(Json(answer))
}

//! Step 7: rides that move.
//!
//! | endpoint | does |
//! |--|--|
//! | gRPC `tracking.v1.Tracking/Start` | starts following a ride, and says so with `tracking.started`; idempotent by order id; INVALID_ARGUMENT |
//! | `GET /rides/{order_id}` | where the ride is · 404 |
//! | `GET /book` | what is on record of an order |
//! | `GET /rides` | how many rides are in each state, and those under way |
//!
//! When the courier is at the door `order.delivered` goes out. Both messages go to notification and restaurant-orders.
//!
//! Settings: `NOTIFICATION_URL`, `RESTAURANT_ORDERS_URL`; `WAYBILL_RIDE_TIME`: how long every ride takes, whatever the fleet
//! says (unset: what it says, or 2 s); `WAYBILL_RIDE_TICK` (`200ms`): how often the couriers move.

mod rides;
mod road;

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::get,
};
use chassis::{App, Book, Error, Service, Start, book::Says};
use contracts::{
    DESCRIPTORS, keys,
    message::{ORDER_DELIVERED, TRACKING_STARTED},
    tracking_v1::{
        StartReply, StartRequest,
        tracking_server::{Tracking, TrackingServer},
    },
};
use serde_json::Value;
use telemetry::context::{self, Attribute};
use tonic::{Request, Response, Status, async_trait};

use rides::{NewRide, Rides};

/// The service.
pub const SERVICE: Service =
    Service { name: "tracking", version: env!("CARGO_PKG_VERSION"), default_port: 8086, app };

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

const BOOK: Book = Book {
    rows: "SELECT order_id, state, '' AS reason, started_unix_ms AS began_ms, updated_unix_ms AS at_ms, \
           CAST(NULL AS BIGINT) AS amount_minor, CAST(NULL AS TEXT) AS currency, CAST(NULL AS TEXT) AS traceparent \
           FROM rides",
    says: |state| if state == "delivered" { Says::Ended } else { Says::Done },
};

/// The step's own deadline, as the route has it.
const STEP_DEADLINE_MS: i64 = 5_000;
/// No id is longer.
const LONGEST: usize = 128;
/// No ride takes longer: more is a mistake in units.
const LONGEST_RIDE: Duration = Duration::from_secs(24 * 60 * 60);
/// A ride of which nobody said how long it takes.
const USUAL_RIDE: Duration = Duration::from_secs(2);

/// Why a ride cannot be followed.
#[derive(Debug, thiserror::Error)]
enum TrackingError {
    #[error("{0}")]
    Invalid(&'static str),
    #[error("there is no ride for this order")]
    Unknown,
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Bus(#[from] Error),
}

impl From<TrackingError> for Error {
    fn from(error: TrackingError) -> Self {
        let text = error.to_string();
        match error {
            TrackingError::Invalid(_) => Self::invalid(text),
            TrackingError::Unknown => Self::not_found(text).typed("no-such-ride"),
            TrackingError::Database(source) => source.into(),
            TrackingError::Bus(error) => error,
        }
    }
}

/// Builds the service.
fn app(start: &Start) -> App {
    for event in [TRACKING_STARTED, ORDER_DELIVERED] {
        start.subscribe(event, "notification");
        start.subscribe(event, "restaurant-orders");
    }
    let rides = Rides::new(start.database.clone(), start.bus.clone());
    let fixed = start
        .settings
        .optional("WAYBILL_RIDE_TIME")
        .map(|_| start.settings.duration("WAYBILL_RIDE_TIME", "2s"));
    let tick = start.settings.duration("WAYBILL_RIDE_TICK", "200ms");
    let routes = Router::new()
        .route("/rides", get(all))
        .route("/rides/{order_id}", get(one))
        .with_state(rides.clone());
    App::new()
        .migrations(&MIGRATIONS)
        .book(BOOK)
        .grpc(TrackingServer::new(Desk { rides: rides.clone(), fixed }))
        .descriptors(DESCRIPTORS)
        .http(routes)
        .worker("road", move |stop| road::ride_on(rides, tick, stop))
}

async fn all(State(rides): State<Rides>) -> Result<Json<Value>, Error> {
    Ok(Json(rides.summary().await?))
}

async fn one(State(rides): State<Rides>, Path(order_id): Path<String>) -> Result<Json<Value>, Error> {
    let ride = rides.of(&order_id).await?;
    Ok(Json(ride.ok_or(TrackingError::Unknown)?))
}

struct Desk {
    rides: Rides,
    /// How long every ride takes, where that is set.
    fixed: Option<Duration>,
}

#[async_trait]
impl Tracking for Desk {
    async fn start(&self, request: Request<StartRequest>) -> Result<Response<StartReply>, Status> {
        let new = self.read(request.into_inner()).map_err(Error::from)?;
        if context::baggage(keys::ORDER_ID).as_deref() != Some(&new.order_id) {
            context::set_attribute(keys::ORDER_ID, new.order_id.clone());
        }
        context::set_attribute(keys::ORDER_STEP, SERVICE.name);
        context::set_attribute(keys::COURIER_ZONE, new.zone.clone());
        let scope = context::current().with_baggage(keys::ORDER_ID, new.order_id.clone());
        let ride_id = scope.run(self.begin(new)).await.map_err(Error::from)?;
        Ok(Response::new(StartReply { ride_id }))
    }
}

// === impl Desk ===

impl Desk {
    fn read(&self, request: StartRequest) -> Result<NewRide, TrackingError> {
        let ids = [&request.order_id, &request.customer_id, &request.courier_id, &request.zone];
        if ids.iter().any(|id| id.is_empty() || id.len() > LONGEST) {
            return Err(TrackingError::Invalid("ids must have 1 to 128 characters"));
        }
        let Ok(asked) = u64::try_from(request.ride_ms) else {
            return Err(TrackingError::Invalid("ride_ms must not be negative"));
        };
        let asked = if asked == 0 { USUAL_RIDE } else { Duration::from_millis(asked) };
        if asked > LONGEST_RIDE {
            return Err(TrackingError::Invalid("ride_ms must not be above a day"));
        }
        Ok(NewRide {
            order_id: request.order_id,
            customer_id: request.customer_id,
            courier_id: request.courier_id,
            zone: request.zone,
            takes: self.fixed.unwrap_or(asked),
        })
    }

    async fn begin(&self, new: NewRide) -> Result<String, TrackingError> {
        let attributes = vec![
            Attribute::new(keys::ORDER_STEP, SERVICE.name),
            Attribute::new(keys::ORDER_STEP_DEADLINE_MS, STEP_DEADLINE_MS),
        ];
        context::accept(SERVICE.name, attributes);
        self.rides.start(new).await
    }
}

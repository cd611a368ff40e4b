//! Step 8: the customer is told.
//!
//! | endpoint | does |
//! |--|--|
//! | message `tracking.started` | tells that the order is on its way: the step of the route |
//! | message `order.delivered` | tells that it is there |
//! | message `order.failed` | tells that it will not be, and of the refund |
//! | `GET /book` | what is on record of an order |
//! | `GET /pushes?order_id=` | what was told about an order |
//!
//! Settings: `PUSH_PROVIDER_URL`; `WAYBILL_PUSH_DEADLINE` (`10s`): how long a push is tried before it is tried again later.
//! What a customer is told never goes on a span.

mod news;
mod push;

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Query, State},
    routing::get,
};
use chassis::{App, Book, Error, Kind, Message, Service, Start, book::Says, deadline};
use contracts::{
    keys,
    message::{ORDER_DELIVERED, ORDER_FAILED, OrderFailed, Ride, TRACKING_STARTED},
};
use serde::{Deserialize, de::DeserializeOwned};
use telemetry::context::{self, Attribute};

use news::News;
use push::Pushes;

/// The service.
pub const SERVICE: Service =
    Service { name: "notification", version: env!("CARGO_PKG_VERSION"), default_port: 8087, app };

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// One entry for each order: its most telling news. That the food has arrived the customer sees.
const BOOK: Book = Book {
    rows: "SELECT order_id, CASE \
           WHEN SUM(CASE WHEN event_type = 'order.failed' AND state = 'sent' THEN 1 ELSE 0 END) > 0 THEN 'told_refund' \
           WHEN SUM(CASE WHEN event_type = 'tracking.started' AND state = 'sent' THEN 1 ELSE 0 END) > 0 THEN 'told_start' \
           WHEN SUM(CASE WHEN state = 'unregistered' THEN 1 ELSE 0 END) > 0 THEN 'unregistered' \
           ELSE 'told_end' END AS state, '' AS reason, MIN(created_unix_ms) AS began_ms, MAX(created_unix_ms) AS at_ms, \
           CAST(NULL AS BIGINT) AS amount_minor, CAST(NULL AS TEXT) AS currency, CAST(NULL AS TEXT) AS traceparent \
           FROM pushes GROUP BY order_id",
    says: |state| match state {
        "told_start" | "told_refund" => Says::Done,
        "unregistered" => Says::Stopped,
        _ => Says::Begun,
    },
};

struct Desk {
    pushes: Pushes,
    limit: Duration,
}

/// Builds the service.
fn app(start: &Start) -> App {
    let pushes = Pushes::new(start.database.clone(), start.partner("push-provider"));
    let limit = start.settings.duration("WAYBILL_PUSH_DEADLINE", "10s");
    let desk = Arc::new(Desk { pushes: pushes.clone(), limit });
    let app = App::new()
        .migrations(&MIGRATIONS)
        .book(BOOK)
        .http(Router::new().route("/pushes", get(told)).with_state(pushes));
    let app = on::<Ride>(app, &desk, TRACKING_STARTED, News::started);
    let app = on::<Ride>(app, &desk, ORDER_DELIVERED, News::delivered);
    on::<OrderFailed>(app, &desk, ORDER_FAILED, News::failed)
}

fn on<T: DeserializeOwned + Send + 'static>(
    app: App,
    desk: &Arc<Desk>,
    event_type: &'static str,
    news: fn(T) -> News,
) -> App {
    let desk = desk.clone();
    app.on(event_type, move |message: Message<T>| {
        let desk = desk.clone();
        async move { desk.tell(event_type, &message.id, &news(message.body)).await }
    })
}

#[derive(Deserialize)]
struct Order {
    order_id: String,
}

async fn told(
    State(pushes): State<Pushes>,
    Query(order): Query<Order>,
) -> Result<Json<serde_json::Value>, Error> {
    Ok(Json(pushes.of(&order.order_id).await?))
}

// === impl Desk ===

impl Desk {
    async fn tell(&self, event_type: &str, event_id: &str, news: &News) -> Result<(), Error> {
        if event_type == TRACKING_STARTED {
            let limit = i64::try_from(self.limit.as_millis()).unwrap_or(i64::MAX);
            context::set_attribute(keys::ORDER_STEP, SERVICE.name);
            context::accept(
                SERVICE.name,
                vec![
                    Attribute::new(keys::ORDER_STEP, SERVICE.name),
                    Attribute::new(keys::ORDER_STEP_DEADLINE_MS, limit),
                ],
            );
        }
        match deadline::fresh(self.limit, self.pushes.tell(event_id, event_type, news)).await {
            Ok(told) => told,
            Err(_) => Err(Error::upstream_kind("push-provider", Kind::Timeout)),
        }
    }
}

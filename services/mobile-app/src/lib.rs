//! Step 1, the front door: sessions, carts, orders and their events.
//!
//! | endpoint | does |
//! |--|--|
//! | `POST /accounts`, `POST /sessions` | sign up, sign in |
//! | `GET /restaurants` | what can be ordered |
//! | `POST /carts` | opens the order's trace: the cart is born with its order's id |
//! | `POST /orders` | orders a cart: continues its trace, commits the order, then asks auth, availability, payment, restaurant |
//! | `GET /orders/{id}`, `GET /orders/{id}/events` | how it stands; its changes as server-sent events |
//! | `GET /`, `GET /openapi.json` | a page to order from; the API's description |
//! | `GET /book` | what is on record of an order |
//!
//! Settings: `WAYBILL_ORDER_WAIT` (default `15s`) how long `POST /orders` waits before it answers 202,
//! `WAYBILL_ORDER_PATIENCE` (default `60s`) after which a paid order that could not be handed over is refunded instead,
//! `WAYBILL_EVENT_STREAMS` (default 1000) at once, `WAYBILL_JAEGER_URL` for the links to waterfalls.

mod bodies;
mod book;
mod carts;
mod clock;
mod error;
mod events;
mod front;
mod neighbours;
mod openapi;
mod page;
mod placing;
mod record;
mod routes;
mod view;

use std::time::Duration;

use chassis::{App, Service, Start};
use http::Method;
use telemetry::http::ServerLayer;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use front::Front;

/// The service.
pub const SERVICE: Service =
    Service { name: "mobile-app", version: env!("CARGO_PKG_VERSION"), default_port: 8080, app };

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// Builds the service.
fn app(start: &Start) -> App {
    let front = Front::new(start);
    let (resumed, kept) = (front.placing.clone(), front.clone());
    // Carts and orders name their span's parent themselves: the caller's, or the one that the cart has kept.
    let layer = ServerLayer::front_door().deferred(Method::POST, "/carts").deferred(Method::POST, "/orders");
    App::new()
        .migrations(&MIGRATIONS)
        .book(record::BOOK)
        .first(async move || resumed.resume().await)
        .http(routes::all(front))
        .http_layer(layer)
        .worker("keeper", move |stop| keep(kept, stop))
}

/// Between two looks for orders that were left lying, and for old carts.
const LOOK: Duration = Duration::from_secs(2);
const TIDY: Duration = Duration::from_secs(600);

/// Takes up orders that were left lying and forgets old carts; at the end, waits for orders to reach a point from which they
/// can be taken up.
async fn keep(front: Front, stop: CancellationToken) {
    let mut tidied = Instant::now();
    while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        front.placing.take_up_left().await;
        if tidied.elapsed() < TIDY {
            continue;
        }
        tidied = Instant::now();
        if let Err(error) = front.placing.carts.tidy().await {
            tracing::warn!(causes = chassis::Error::from(error).causes(), "old carts stay for now");
        }
    }
    front.placing.tasks.close();
    front.placing.tasks.wait().await;
}

//! Step 5: the order's state, from its acceptance by the restaurant to its end. It owns the order from `Place` on: none that
//! was paid ends without being delivered or refunded, and whatever is under way shows in the book.
//!
//! | endpoint | replies |
//! |--|--|
//! | gRPC `orders.v1.RestaurantOrders/Place` | `accepted` or `rejected` (then refunded by this service); idempotent by order id; FAILED_PRECONDITION when the id is known with another content; INVALID_ARGUMENT |
//! | gRPC `orders.v1.RestaurantOrders/Get` | the order · NOT_FOUND |
//! | `GET /orders` | how many orders are in each state, and those open for longest |
//! | `GET /book` | what is on record of an order |
//! | message `tracking.started`, `order.delivered` | the order moves on |
//! | message `order.failed` | the money goes back, until it is back |
//!
//! Settings: `RESTAURANT_POS_URL`, `PAYMENT_GATEWAY_URL`, `DELIVERY_ASSIGNMENT_URL`; `WAYBILL_POS_DEADLINE` (`5s`): no answer
//! of the restaurant by then is a no; `WAYBILL_POS_TIMEOUT` (`2s`): one question to it.

mod book;
mod keeper;
mod order;
mod place;

use axum::{Json, Router, extract::State as With, routing::get};
use chassis::{App, Book as Record, Errands, Error, Message, Service, Start, book::Says};
use contracts::{
    DESCRIPTORS, keys,
    message::{ORDER_ACCEPTED, ORDER_DELIVERED, ORDER_FAILED, OrderFailed, Ride, TRACKING_STARTED},
    orders_v1::{
        GetReply, GetRequest, PlaceReply, PlaceRequest,
        restaurant_orders_server::{RestaurantOrders, RestaurantOrdersServer},
    },
};
use telemetry::context;
use tonic::{Request, Response, Status, async_trait};

use book::Book;
use keeper::Keeper;
use order::{Illegal, Step};

/// The service.
pub const SERVICE: Service =
    Service { name: "restaurant-orders", version: env!("CARGO_PKG_VERSION"), default_port: 8084, app };

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// An order that fails here or later is being refunded by this service: it is still at work on it.
const RECORD: Record = Record {
    rows: "SELECT order_id, state, reason, created_unix_ms AS began_ms, updated_unix_ms AS at_ms, amount_minor, currency, \
           CAST(NULL AS TEXT) AS traceparent FROM orders",
    says: |state| match state {
        "accepted" | "tracking" => Says::Done,
        "delivered" | "refunded" => Says::Ended,
        _ => Says::Begun,
    },
};

/// Why something cannot be done with an order.
#[derive(Debug, thiserror::Error)]
enum OrdersError {
    #[error("{0}")]
    Invalid(&'static str),
    #[error("there is no such order")]
    Unknown,
    #[error("this order id is known with another payment, amount or items")]
    Different,
    #[error(transparent)]
    Illegal(#[from] Illegal),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Bus(#[from] Error),
}

impl From<OrdersError> for Error {
    fn from(error: OrdersError) -> Self {
        let text = error.to_string();
        match error {
            OrdersError::Invalid(_) => Self::invalid(text),
            OrdersError::Unknown => Self::not_found(text).typed("no-such-order"),
            OrdersError::Different => Self::conflict(text).typed("order-differs"),
            OrdersError::Illegal(_) => Self::conflict(text).typed("illegal-transition"),
            OrdersError::Database(source) => source.into(),
            OrdersError::Bus(error) => error,
        }
    }
}

/// Builds the service.
fn app(start: &Start) -> App {
    start.subscribe(ORDER_ACCEPTED, "delivery-assignment");
    let keeper = Keeper::new(
        Book::new(start.database.clone(), start.bus.clone()),
        start.partner("restaurant-pos"),
        start.http("payment-gateway"),
        start.settings.duration("WAYBILL_POS_DEADLINE", "5s"),
        start.settings.duration("WAYBILL_POS_TIMEOUT", "2s"),
        Errands::new("keeper", 256, &start.database),
    );
    let (started, delivered, failed) = (keeper.clone(), keeper.clone(), keeper.clone());
    App::new()
        .migrations(&MIGRATIONS)
        .book(RECORD)
        .grpc(RestaurantOrdersServer::new(Orders(keeper.clone())))
        .descriptors(DESCRIPTORS)
        .http(Router::new().route("/orders", get(summary)).with_state(keeper.clone()))
        .on(TRACKING_STARTED, move |m: Message<Ride>| {
            moved(started.clone(), m.body.order_id, Step::Track, String::new())
        })
        .on(ORDER_DELIVERED, move |m: Message<Ride>| {
            moved(delivered.clone(), m.body.order_id, Step::Deliver, String::new())
        })
        .on(ORDER_FAILED, move |m: Message<OrderFailed>| {
            moved(failed.clone(), m.body.order_id, Step::Fail, m.body.reason)
        })
        .worker("keeper", |stop| keeper.run(stop))
}

async fn moved(keeper: Keeper, order_id: String, step: Step, reason: String) -> Result<(), Error> {
    keeper.book.step(&order_id, step, &reason, "").await?;
    keeper.errands.ring();
    Ok(())
}

async fn summary(With(keeper): With<Keeper>) -> Result<Json<serde_json::Value>, Error> {
    Ok(Json(keeper.book.summary().await?))
}

struct Orders(Keeper);

#[async_trait]
impl RestaurantOrders for Orders {
    async fn place(&self, request: Request<PlaceRequest>) -> Result<Response<PlaceReply>, Status> {
        let order = place::read(request.into_inner()).map_err(Error::from)?;
        place::describe(&order);
        let scope = context::current().with_baggage(keys::ORDER_ID, order.order_id.clone());
        let reply = scope.run(place::place(&self.0, order)).await.map_err(Error::from)?;
        Ok(Response::new(reply))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetReply>, Status> {
        let order_id = request.into_inner().order_id;
        let order = self.0.book.get(&order_id).await.map_err(Error::from)?;
        let order = order.ok_or(OrdersError::Unknown).map_err(Error::from)?;
        Ok(Response::new(GetReply {
            order_id,
            state: order.state.name().to_owned(),
            reason: order.reason,
            amount_minor: order.amount_minor,
            currency: order.currency,
            updated_unix_ms: order.updated_unix_ms,
        }))
    }
}

//! Step 4: charges and refunds through the card network, on its own ledger.
//!
//! | endpoint | replies |
//! |--|--|
//! | `POST /payments`, header `Idempotency-Key: <order id>` | 201 charged · 402 declined · 202 the card network has not answered · 200 refunded or being refunded · 409 another amount or card for the same order · 400 |
//! | `POST /payments/{id}/refunds` | 201 refunded now · 200 refunded before · 202 under way, it will be · 409 nothing was charged · 404 |
//! | `GET /payments/{id}` · `GET /payments?order_id=` | 200 · 404 |
//! | `GET /payments?after=&limit=` | the whole ledger, page by page |
//! | `GET /payments/{id}/entries` | every line that led to where the money is |
//! | `GET /book` | what is on record of an order |
//!
//! The idempotency key is the order's id. A payment is committed as `pending` before anyone is asked for money, so that a
//! question whose answer got lost, in a time-out or in a kill, is asked again with the same key and never charged twice.

mod ledger;
mod network;
mod reconciler;
mod requests;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use chassis::{App, Book, Error, Kind, Service, Start, book::Says};
use contracts::{
    http::{Payment, PaymentRequest, PaymentStatus, RefundRequest},
    keys,
};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use ledger::{Entry, Ledger, Row};
use network::CardNetwork;
use reconciler::Desk;

/// The service.
pub const SERVICE: Service =
    Service { name: "payment-gateway", version: env!("CARGO_PKG_VERSION"), default_port: 8083, app };

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();
static POSTGRES: sqlx::migrate::Migrator = sqlx::migrate!("./migrations/postgres");

const BOOK: Book = Book {
    rows: "SELECT order_id, status AS state, COALESCE(refund_reason, decline_code, '') AS reason, \
           created_ms AS began_ms, updated_ms AS at_ms, amount_minor, currency, traceparent FROM payments",
    says: |state| match state {
        "charged" | "refunding" => Says::Done,
        "declined" | "refunded" => Says::Ended,
        _ => Says::Begun,
    },
};

/// The step's own deadline, as the route has it.
const STEP_DEADLINE_MS: i64 = 10_000;

/// Why a payment cannot be made or found.
#[derive(Debug, thiserror::Error)]
enum PaymentError {
    #[error("{0}")]
    Invalid(&'static str),
    #[error("there is no such payment")]
    NotFound,
    #[error("this order is being paid with another amount, currency or card")]
    KeyReused,
    #[error("nothing was charged, so nothing can be refunded")]
    NothingCharged,
    #[error("the card was declined")]
    Declined(Box<Row>),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl From<PaymentError> for Error {
    fn from(error: PaymentError) -> Self {
        let text = error.to_string();
        match error {
            PaymentError::Invalid(_) => Self::new(Kind::Invalid, text),
            PaymentError::NotFound => Self::not_found(text).typed("no-such-payment"),
            PaymentError::KeyReused => Self::conflict(text).typed("idempotency-key-reused"),
            PaymentError::NothingCharged => Self::conflict(text).typed("nothing-charged"),
            PaymentError::Declined(row) => Self::new(Kind::Declined, text)
                .with("decline_code", row.decline_code.unwrap_or_default())
                .with("payment_id", row.payment_id)
                .with("reference", row.reference),
            PaymentError::Database(source) => source.into(),
        }
    }
}

/// Builds the service. Setting: `WAYBILL_CARD_TIMEOUT` (default `3s`), how long a request waits for the card network.
fn app(start: &Start) -> App {
    let limit = start.settings.duration("WAYBILL_CARD_TIMEOUT", "3s");
    let desk = Desk {
        ledger: Ledger::new(start.database.clone()),
        network: CardNetwork::new(start.partner("card-network"), limit),
    };
    let routes = Router::new()
        .route("/payments", post(pay).get(find))
        .route("/payments/{id}", get(one))
        .route("/payments/{id}/entries", get(entries))
        .route("/payments/{id}/refunds", post(refund))
        .with_state(desk.clone());
    App::new()
        .migrations_by_engine(&MIGRATIONS, &POSTGRES)
        .book(BOOK)
        .http(routes)
        .worker("reconciler", |stop| reconciler::run(desk, stop))
}

async fn pay(
    State(desk): State<Desk>,
    headers: HeaderMap,
    Json(request): Json<PaymentRequest>,
) -> Result<Response, Error> {
    requests::check(&request, headers.get("idempotency-key").and_then(|v| v.to_str().ok()))?;
    receipt();
    telemetry::context::set_attribute(keys::ORDER_AMOUNT, request.amount_minor);
    telemetry::context::set_attribute(keys::ORDER_CURRENCY, request.currency.clone());
    let row = desk.ledger.open(&request, desk.after_request()).await?;
    telemetry::context::set_attribute(keys::PAYMENT_REFERENCE, row.reference.clone());
    let row = desk.ask(&row).await?;
    let status = match row.status() {
        PaymentStatus::Charged => StatusCode::CREATED,
        PaymentStatus::Pending => StatusCode::ACCEPTED,
        PaymentStatus::Declined => return Err(PaymentError::Declined(Box::new(row)).into()),
        PaymentStatus::Refunding | PaymentStatus::Refunded => StatusCode::OK,
    };
    Ok((status, Json(row.payment())).into_response())
}

async fn refund(
    State(desk): State<Desk>,
    Path(payment_id): Path<String>,
    Json(request): Json<RefundRequest>,
) -> Result<(StatusCode, Json<Payment>), Error> {
    let reason = requests::word(&request.reason);
    receipt();
    let row = desk.ledger.want_refund(&payment_id, &reason, desk.after_request()).await?;
    telemetry::context::set_attribute(keys::PAYMENT_REFERENCE, row.reference.clone());
    if row.status() == PaymentStatus::Refunded {
        return Ok((StatusCode::OK, Json(row.payment())));
    }
    let mut row = desk.ask(&row).await?;
    // It was open, has just turned out charged, and is to go back: at once.
    if row.status() == PaymentStatus::Refunding && row.attempts == 0 {
        row = desk.ask(&row).await?;
    }
    match row.status() {
        PaymentStatus::Refunded => Ok((StatusCode::CREATED, Json(row.payment()))),
        PaymentStatus::Declined => Err(PaymentError::NothingCharged.into()),
        _ => Ok((StatusCode::ACCEPTED, Json(row.payment()))),
    }
}

/// This step may take longer than two seconds: it says at once that it has begun.
fn receipt() {
    let attributes = vec![
        telemetry::context::Attribute::new(keys::ORDER_STEP, SERVICE.name),
        telemetry::context::Attribute::new(keys::ORDER_STEP_DEADLINE_MS, STEP_DEADLINE_MS),
    ];
    telemetry::context::accept(SERVICE.name, attributes);
}

async fn one(State(desk): State<Desk>, Path(payment_id): Path<String>) -> Result<Json<Payment>, Error> {
    Ok(Json(desk.ledger.get(&payment_id).await?.payment()))
}

async fn entries(
    State(desk): State<Desk>,
    Path(payment_id): Path<String>,
) -> Result<Json<Vec<Entry>>, Error> {
    let row = desk.ledger.get(&payment_id).await?;
    Ok(Json(desk.ledger.entries(&row.payment_id).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    order_id: Option<String>,
    #[serde(default)]
    after: i64,
    limit: Option<i64>,
}

#[derive(Serialize)]
struct Page {
    payments: Vec<Payment>,
    /// Pass as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<i64>,
}

async fn find(State(desk): State<Desk>, Query(search): Query<Search>) -> Result<Response, Error> {
    if let Some(order_id) = search.order_id {
        return Ok(Json(desk.ledger.of_order(&order_id).await?.payment()).into_response());
    }
    let limit = search.limit.unwrap_or(500).clamp(1, 2000);
    let rows = desk.ledger.page(search.after, limit).await?;
    let full = i64::try_from(rows.len()).is_ok_and(|n| n == limit);
    let next = rows.last().filter(|_| full).map(|row| row.seq);
    Ok(Json(Page { payments: rows.iter().map(Row::payment).collect(), next }).into_response())
}

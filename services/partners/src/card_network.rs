//! The card network: charges once per key, refunds, and never forgets either.
//!
//! `POST /charges` · `GET /charges?idempotency_key=` · `GET /charges?since=&limit=` (audit) · `GET /charges/{id}` ·
//! `POST /charges/{id}/refunds`.
//!
//! Tokens: `tok_visa`, `tok_mastercard` and `tok_amex` pay; `tok_declined`, `tok_insufficient`, `tok_expired` and
//! `tok_stolen` are declined; any other is unknown (422).

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::SqliteConnection;

use crate::{
    Partner,
    answer::Answer,
    desk::{self, Call, Work},
    world::{World, id, now_ms},
};

/// One billion minor units: more than any dinner.
const LARGEST_AMOUNT: i64 = 1_000_000_000;

pub(crate) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/charges", post(charge).get(charges))
        .route("/charges/{id}", get(one))
        .route("/charges/{id}/refunds", post(refund))
}

#[derive(Deserialize)]
struct ChargeRequest {
    /// The merchant's own reference, here the order id.
    reference: String,
    amount_minor: i64,
    currency: String,
    card_token: String,
}

#[derive(Serialize, sqlx::FromRow)]
struct Charge {
    #[serde(skip)]
    seq: i64,
    charge_id: String,
    idempotency_key: String,
    reference: String,
    amount_minor: i64,
    currency: String,
    /// `charged` or `declined`.
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    decline_code: Option<String>,
    created_ms: i64,
    #[sqlx(skip)]
    refunds: Vec<Refund>,
}

#[derive(Serialize, Clone, sqlx::FromRow)]
struct Refund {
    refund_id: String,
    #[serde(skip)]
    charge_id: String,
    amount_minor: i64,
    reason: String,
    created_ms: i64,
}

async fn charge(State(world): State<Arc<World>>, call: Call) -> Response {
    desk::take(world, NewCharge, call).await
}

async fn refund(State(world): State<Arc<World>>, Path(charge_id): Path<String>, call: Call) -> Response {
    desk::take(world, NewRefund { charge_id }, call).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChargesQuery {
    idempotency_key: Option<String>,
    #[serde(default)]
    since: i64,
    limit: Option<i64>,
}

async fn charges(State(world): State<Arc<World>>, Query(query): Query<ChargesQuery>, call: Call) -> Response {
    match query.idempotency_key {
        Some(key) => desk::take(world, FindCharge::ByKey(key), call).await,
        None => match audit(&world, query.since, query.limit.unwrap_or(500).clamp(1, 5000)).await {
            Ok(page) => Json(page).into_response(),
            Err(error) => Answer::broken(&error).into_response(),
        },
    }
}

async fn one(State(world): State<Arc<World>>, Path(charge_id): Path<String>, call: Call) -> Response {
    desk::take(world, FindCharge::ById(charge_id), call).await
}

struct NewCharge;

impl Work for NewCharge {
    const PARTNER: Partner = Partner::CardNetwork;
    const NEEDS_KEY: bool = true;

    fn subject(&self, body: &Value) -> Option<String> {
        body.get("reference")?.as_str().map(str::to_owned)
    }

    async fn perform(
        self,
        _: &World,
        call: &Call,
        refuse: bool,
        tx: &mut SqliteConnection,
    ) -> Result<Answer, sqlx::Error> {
        let request: ChargeRequest = match call.read() {
            Ok(request) => request,
            Err(answer) => return Ok(answer),
        };
        if let Err(reason) = check(&request) {
            return Ok(Answer::unprocessable(reason).about(&request.reference));
        }
        let verdict = match verdict(&request.card_token) {
            Some(_) if refuse => Err("do_not_honor"),
            Some(verdict) => verdict,
            None => {
                let answer =
                    Answer::no(StatusCode::UNPROCESSABLE_ENTITY, "invalid_card_token", "no such card token");
                return Ok(answer.about(&request.reference));
            }
        };
        let charge = Charge {
            seq: 0,
            charge_id: id("ch"),
            idempotency_key: call.key().unwrap_or_default().to_owned(),
            reference: request.reference,
            amount_minor: request.amount_minor,
            currency: request.currency,
            status: if verdict.is_ok() { "charged" } else { "declined" }.to_owned(),
            decline_code: verdict.err().map(str::to_owned),
            created_ms: now_ms(),
            refunds: Vec::new(),
        };
        sqlx::query(
            "INSERT INTO charges (charge_id, idempotency_key, reference, amount_minor, currency, status, decline_code, created_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&charge.charge_id)
        .bind(&charge.idempotency_key)
        .bind(&charge.reference)
        .bind(charge.amount_minor)
        .bind(&charge.currency)
        .bind(&charge.status)
        .bind(&charge.decline_code)
        .bind(charge.created_ms)
        .execute(tx)
        .await?;
        let (status, reference, charge_id) =
            (charge.status.clone(), charge.reference.clone(), charge.charge_id.clone());
        Ok(Answer::done(StatusCode::CREATED, &status, &reference, &charge_id, json!(charge)))
    }
}

fn check(request: &ChargeRequest) -> Result<(), String> {
    if request.reference.is_empty() || request.reference.len() > 200 {
        return Err("reference: 1 to 200 characters".to_owned());
    }
    if !(1..=LARGEST_AMOUNT).contains(&request.amount_minor) {
        return Err(format!("amount_minor: 1 to {LARGEST_AMOUNT}"));
    }
    if request.currency.len() != 3 || !request.currency.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err("currency: three capital letters of ISO 4217".to_owned());
    }
    Ok(())
}

/// Yes, no with its code, or no such card.
fn verdict(card_token: &str) -> Option<Result<(), &'static str>> {
    match card_token {
        "tok_visa" | "tok_mastercard" | "tok_amex" => Some(Ok(())),
        "tok_declined" => Some(Err("do_not_honor")),
        "tok_insufficient" => Some(Err("insufficient_funds")),
        "tok_expired" => Some(Err("expired_card")),
        "tok_stolen" => Some(Err("stolen_card")),
        _ => None,
    }
}

struct NewRefund {
    charge_id: String,
}

#[derive(Deserialize)]
struct RefundRequest {
    /// Default: all that is left.
    amount_minor: Option<i64>,
    #[serde(default)]
    reason: String,
}

impl Work for NewRefund {
    const PARTNER: Partner = Partner::CardNetwork;
    const NEEDS_KEY: bool = true;

    fn subject(&self, _: &Value) -> Option<String> {
        None
    }

    async fn perform(
        self,
        _: &World,
        call: &Call,
        refuse: bool,
        tx: &mut SqliteConnection,
    ) -> Result<Answer, sqlx::Error> {
        let request: RefundRequest = match call.read() {
            Ok(request) => request,
            Err(answer) => return Ok(answer),
        };
        let Some(charge) = load(tx, "charge_id", &self.charge_id).await? else {
            return Ok(Answer::no(StatusCode::NOT_FOUND, "not_found", "no such charge"));
        };
        let about = |answer: Answer| Ok(answer.about(&charge.reference));
        if charge.status != "charged" || refuse {
            return about(Answer::no(StatusCode::CONFLICT, "not_refundable", "nothing was charged"));
        }
        let left = charge.amount_minor - charge.refunds.iter().map(|r| r.amount_minor).sum::<i64>();
        let amount = request.amount_minor.unwrap_or(left);
        if left == 0 {
            return about(Answer::no(
                StatusCode::CONFLICT,
                "already_refunded",
                "the charge has been refunded",
            ));
        }
        if !(1..=left).contains(&amount) {
            return about(Answer::unprocessable(format!("amount_minor: 1 to {left}")));
        }
        let refund = Refund {
            refund_id: id("re"),
            charge_id: charge.charge_id,
            amount_minor: amount,
            reason: request.reason.chars().take(200).collect(),
            created_ms: now_ms(),
        };
        sqlx::query("INSERT INTO refunds (refund_id, charge_id, amount_minor, reason, created_ms) VALUES (?, ?, ?, ?, ?)")
            .bind(&refund.refund_id)
            .bind(&refund.charge_id)
            .bind(refund.amount_minor)
            .bind(&refund.reason)
            .bind(refund.created_ms)
            .execute(tx)
            .await?;
        let body = json!({ "refund_id": refund.refund_id, "charge_id": refund.charge_id, "amount_minor": amount, "status": "refunded" });
        Ok(Answer::done(StatusCode::CREATED, "refunded", &charge.reference, &refund.refund_id, body))
    }
}

enum FindCharge {
    ByKey(String),
    ById(String),
}

impl Work for FindCharge {
    const PARTNER: Partner = Partner::CardNetwork;

    fn subject(&self, _: &Value) -> Option<String> {
        None
    }

    async fn perform(
        self,
        _: &World,
        _: &Call,
        _: bool,
        tx: &mut SqliteConnection,
    ) -> Result<Answer, sqlx::Error> {
        let found = match &self {
            Self::ByKey(key) => load(tx, "idempotency_key", key).await?,
            Self::ById(id) => load(tx, "charge_id", id).await?,
        };
        Ok(match found {
            Some(charge) => {
                let (reference, charge_id) = (charge.reference.clone(), charge.charge_id.clone());
                Answer::done(StatusCode::OK, "found", &reference, &charge_id, json!(charge))
            }
            None => Answer::no(StatusCode::NOT_FOUND, "not_found", "no such charge"),
        })
    }
}

async fn load(
    tx: &mut SqliteConnection,
    column: &'static str,
    value: &str,
) -> Result<Option<Charge>, sqlx::Error> {
    let mut query = sqlx::QueryBuilder::new("SELECT * FROM charges WHERE ");
    query.push(column).push(" = ").push_bind(value);
    let Some(mut charge) = query.build_query_as::<Charge>().fetch_optional(&mut *tx).await? else {
        return Ok(None);
    };
    charge.refunds = sqlx::query_as("SELECT * FROM refunds WHERE charge_id = ? ORDER BY created_ms")
        .bind(&charge.charge_id)
        .fetch_all(tx)
        .await?;
    Ok(Some(charge))
}

#[derive(Serialize)]
struct Audit {
    charges: Vec<Charge>,
    /// Pass as `since` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<i64>,
}

/// Every charge with its refunds, oldest first.
async fn audit(world: &World, since: i64, limit: i64) -> Result<Audit, sqlx::Error> {
    let mut charges: Vec<Charge> = sqlx::query_as("SELECT * FROM charges WHERE seq > ? ORDER BY seq LIMIT ?")
        .bind(since)
        .bind(limit)
        .fetch_all(&world.read)
        .await?;
    let last = charges.last().map(|c| c.seq);
    let refunds: Vec<Refund> = sqlx::query_as(
        "SELECT r.* FROM refunds r JOIN charges c ON c.charge_id = r.charge_id WHERE c.seq > ? AND c.seq <= ? ORDER BY r.created_ms",
    )
    .bind(since)
    .bind(last.unwrap_or(since))
    .fetch_all(&world.read)
    .await?;
    let mut by_charge: HashMap<String, Vec<Refund>> = HashMap::new();
    for refund in refunds {
        by_charge.entry(refund.charge_id.clone()).or_default().push(refund);
    }
    for charge in &mut charges {
        charge.refunds = by_charge.remove(&charge.charge_id).unwrap_or_default();
    }
    let full = i64::try_from(charges.len()).is_ok_and(|n| n == limit);
    Ok(Audit { charges, next: last.filter(|_| full) })
}

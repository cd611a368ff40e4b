//! Couriers by zone: `POST /assignments` · `DELETE /assignments/{order_id}` · `GET /assignments/{order_id}`.
//!
//! An order has one courier, whatever the key. A cancellation may overtake the request that it cancels: a request that
//! comes after it is refused, so that no courier rides for an order that was given up.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
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

/// Couriers of a zone; they take turns.
const COURIERS: u32 = 40;

pub(crate) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/assignments", post(assign))
        .route("/assignments/{order_id}", get(one).delete(cancel))
}

#[derive(Deserialize)]
struct AssignRequest {
    order_id: String,
    zone: String,
}

#[derive(Serialize, sqlx::FromRow)]
struct Assignment {
    order_id: String,
    assignment_id: Option<String>,
    courier_id: Option<String>,
    zone: Option<String>,
    /// How long the ride takes, in milliseconds.
    ride_ms: Option<i64>,
    /// `assigned` or `cancelled`.
    status: String,
    created_ms: i64,
}

async fn assign(State(world): State<Arc<World>>, call: Call) -> Response {
    desk::take(world, Assign, call).await
}

async fn cancel(State(world): State<Arc<World>>, Path(order_id): Path<String>, call: Call) -> Response {
    desk::take(world, Cancel { order_id }, call).await
}

struct Assign;

impl Work for Assign {
    const PARTNER: Partner = Partner::CourierFleet;

    fn subject(&self, body: &Value) -> Option<String> {
        body.get("order_id")?.as_str().map(str::to_owned)
    }

    async fn perform(
        self,
        world: &World,
        call: &Call,
        refuse: bool,
        tx: &mut SqliteConnection,
    ) -> Result<Answer, sqlx::Error> {
        let request: AssignRequest = match call.read() {
            Ok(request) => request,
            Err(answer) => return Ok(answer),
        };
        if request.order_id.is_empty() || request.zone.is_empty() {
            return Ok(Answer::unprocessable("order_id and zone must not be empty"));
        }
        if let Some(known) = load(tx, &request.order_id).await? {
            return Ok(repeat(known));
        }
        if refuse {
            let answer = Answer::no(StatusCode::CONFLICT, "no_courier", "nobody is free in this zone");
            return Ok(answer.about(&request.order_id));
        }
        let assignment_id = id("as");
        let turn = uuid::Uuid::new_v4().as_fields().0 % COURIERS;
        let assignment = Assignment {
            courier_id: Some(format!("courier-{}-{turn:02}", request.zone)),
            order_id: request.order_id,
            assignment_id: Some(assignment_id),
            zone: Some(request.zone),
            ride_ms: Some(i64::try_from(world.ride.as_millis()).unwrap_or(i64::MAX)),
            status: "assigned".to_owned(),
            created_ms: now_ms(),
        };
        save(tx, &assignment).await?;
        Ok(repeat(assignment))
    }
}

fn repeat(known: Assignment) -> Answer {
    match known.assignment_id.clone() {
        Some(id) if known.status == "assigned" => {
            Answer::done(StatusCode::CREATED, "assigned", &known.order_id.clone(), &id, json!(known))
        }
        _ => Answer::no(StatusCode::CONFLICT, "cancelled", "this order was cancelled").about(&known.order_id),
    }
}

struct Cancel {
    order_id: String,
}

impl Work for Cancel {
    const PARTNER: Partner = Partner::CourierFleet;

    fn subject(&self, _: &Value) -> Option<String> {
        Some(self.order_id.clone())
    }

    async fn perform(
        self,
        _: &World,
        _: &Call,
        refuse: bool,
        tx: &mut SqliteConnection,
    ) -> Result<Answer, sqlx::Error> {
        if refuse {
            let answer = Answer::no(StatusCode::CONFLICT, "under_way", "the courier is under way");
            return Ok(answer.about(&self.order_id));
        }
        if self.order_id.len() > 200 {
            return Ok(Answer::unprocessable("order_id: 200 characters at most"));
        }
        let mut assignment = load(tx, &self.order_id).await?.unwrap_or(Assignment {
            order_id: self.order_id,
            assignment_id: None,
            courier_id: None,
            zone: None,
            ride_ms: None,
            status: String::new(),
            created_ms: now_ms(),
        });
        "cancelled".clone_into(&mut assignment.status);
        save(tx, &assignment).await?;
        let reference = assignment.assignment_id.clone().unwrap_or_default();
        Ok(Answer::done(
            StatusCode::OK,
            "cancelled",
            &assignment.order_id.clone(),
            &reference,
            json!(assignment),
        ))
    }
}

async fn load(tx: &mut SqliteConnection, order_id: &str) -> Result<Option<Assignment>, sqlx::Error> {
    sqlx::query_as("SELECT * FROM assignments WHERE order_id = ?").bind(order_id).fetch_optional(tx).await
}

async fn save(tx: &mut SqliteConnection, assignment: &Assignment) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO assignments (order_id, assignment_id, courier_id, zone, ride_ms, status, created_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (order_id) DO UPDATE SET status = excluded.status",
    )
    .bind(&assignment.order_id)
    .bind(&assignment.assignment_id)
    .bind(&assignment.courier_id)
    .bind(&assignment.zone)
    .bind(assignment.ride_ms)
    .bind(&assignment.status)
    .bind(assignment.created_ms)
    .execute(tx)
    .await?;
    Ok(())
}

async fn one(State(world): State<Arc<World>>, Path(order_id): Path<String>) -> Response {
    let found = sqlx::query_as::<_, Assignment>("SELECT * FROM assignments WHERE order_id = ?")
        .bind(order_id)
        .fetch_optional(&world.read)
        .await;
    match found {
        Ok(Some(assignment)) => Json(assignment).into_response(),
        Ok(None) => Answer::no(StatusCode::NOT_FOUND, "not_found", "no such order").into_response(),
        Err(error) => Answer::broken(&error).into_response(),
    }
}

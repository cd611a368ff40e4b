//! The tills in the restaurants: `POST /tickets` · `GET /tickets?order_id=`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query, State},
    response::{IntoResponse, Response},
    routing::post,
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

/// More different dishes than a kitchen takes on one ticket.
const MOST_ITEMS: usize = 50;

pub(crate) fn routes() -> Router<Arc<World>> {
    Router::new().route("/tickets", post(ticket).get(tickets))
}

#[derive(Deserialize)]
struct TicketRequest {
    order_id: String,
    restaurant_id: String,
    items: Vec<Value>,
}

#[derive(Serialize, sqlx::FromRow)]
struct Ticket {
    ticket_id: String,
    order_id: String,
    restaurant_id: String,
    accepted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    created_ms: i64,
}

async fn ticket(State(world): State<Arc<World>>, call: Call) -> Response {
    desk::take(world, NewTicket, call).await
}

struct NewTicket;

impl Work for NewTicket {
    const PARTNER: Partner = Partner::RestaurantPos;

    fn subject(&self, body: &Value) -> Option<String> {
        body.get("order_id")?.as_str().map(str::to_owned)
    }

    async fn perform(
        self,
        _: &World,
        call: &Call,
        refuse: bool,
        tx: &mut SqliteConnection,
    ) -> Result<Answer, sqlx::Error> {
        let request: TicketRequest = match call.read() {
            Ok(request) => request,
            Err(answer) => return Ok(answer),
        };
        if request.order_id.is_empty() || request.restaurant_id.is_empty() || request.items.is_empty() {
            return Ok(Answer::unprocessable("order_id, restaurant_id and items must not be empty"));
        }
        let reason = if refuse {
            Some("kitchen_busy")
        } else if request.items.len() > MOST_ITEMS {
            Some("too_many_items")
        } else {
            None
        };
        let ticket = Ticket {
            ticket_id: id("tk"),
            order_id: request.order_id,
            restaurant_id: request.restaurant_id,
            accepted: reason.is_none(),
            reason: reason.map(str::to_owned),
            created_ms: now_ms(),
        };
        sqlx::query("INSERT INTO tickets (ticket_id, order_id, restaurant_id, accepted, reason, created_ms) VALUES (?, ?, ?, ?, ?, ?)")
            .bind(&ticket.ticket_id)
            .bind(&ticket.order_id)
            .bind(&ticket.restaurant_id)
            .bind(ticket.accepted)
            .bind(&ticket.reason)
            .bind(ticket.created_ms)
            .execute(tx)
            .await?;
        let outcome = if ticket.accepted { "accepted" } else { "rejected" };
        Ok(Answer::done(StatusCode::CREATED, outcome, &ticket.order_id, &ticket.ticket_id, json!(ticket)))
    }
}

#[derive(Deserialize)]
struct OrderQuery {
    order_id: String,
}

async fn tickets(State(world): State<Arc<World>>, Query(query): Query<OrderQuery>) -> Response {
    let found = sqlx::query_as::<_, Ticket>(
        "SELECT * FROM tickets WHERE order_id = ? ORDER BY created_ms LIMIT 1000",
    )
    .bind(query.order_id)
    .fetch_all(&world.read)
    .await;
    match found {
        Ok(tickets) => Json(json!({ "tickets": tickets })).into_response(),
        Err(error) => Answer::broken(&error).into_response(),
    }
}

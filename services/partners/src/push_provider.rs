//! Tells customers: `POST /pushes` · `GET /pushes?customer_id=` or `?order_id=`, what they were told.

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

/// Characters of a title or a body that fit on a lock screen and then some.
const LONGEST_TEXT: usize = 1000;

pub(crate) fn routes() -> Router<Arc<World>> {
    Router::new().route("/pushes", post(push).get(pushes))
}

#[derive(Deserialize)]
struct PushRequest {
    customer_id: String,
    order_id: String,
    title: String,
    body: String,
}

#[derive(Serialize, sqlx::FromRow)]
struct Push {
    push_id: String,
    customer_id: String,
    order_id: String,
    title: String,
    body: String,
    created_ms: i64,
}

async fn push(State(world): State<Arc<World>>, call: Call) -> Response {
    desk::take(world, NewPush, call).await
}

struct NewPush;

impl Work for NewPush {
    const PARTNER: Partner = Partner::PushProvider;

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
        let request: PushRequest = match call.read() {
            Ok(request) => request,
            Err(answer) => return Ok(answer),
        };
        if request.customer_id.is_empty() || request.order_id.is_empty() {
            return Ok(Answer::unprocessable("customer_id and order_id must not be empty"));
        }
        if request.title.len() > LONGEST_TEXT || request.body.len() > LONGEST_TEXT {
            return Ok(Answer::unprocessable(format!("title and body: {LONGEST_TEXT} bytes at most")));
        }
        if refuse {
            let answer = Answer::no(StatusCode::GONE, "unregistered", "the customer has removed the app");
            return Ok(answer.about(&request.order_id));
        }
        let push_id = id("pu");
        sqlx::query("INSERT INTO pushes (push_id, customer_id, order_id, title, body, created_ms) VALUES (?, ?, ?, ?, ?, ?)")
            .bind(&push_id)
            .bind(&request.customer_id)
            .bind(&request.order_id)
            .bind(&request.title)
            .bind(&request.body)
            .bind(now_ms())
            .execute(tx)
            .await?;
        let body = json!({ "push_id": push_id });
        Ok(Answer::done(StatusCode::ACCEPTED, "pushed", &request.order_id, &push_id, body))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PushQuery {
    customer_id: Option<String>,
    order_id: Option<String>,
}

async fn pushes(State(world): State<Arc<World>>, Query(query): Query<PushQuery>) -> Response {
    let mut select = sqlx::QueryBuilder::new("SELECT * FROM pushes WHERE ");
    match (query.customer_id, query.order_id) {
        (None, None) => {
            return Answer::unprocessable("give customer_id or order_id").into_response();
        }
        (Some(customer), None) => select.push("customer_id = ").push_bind(customer),
        (None, Some(order)) => select.push("order_id = ").push_bind(order),
        (Some(customer), Some(order)) => {
            select.push("customer_id = ").push_bind(customer).push(" AND order_id = ").push_bind(order)
        }
    };
    select.push(" ORDER BY created_ms, rowid LIMIT 1000");
    match select.build_query_as::<Push>().fetch_all(&world.read).await {
        Ok(pushes) => Json(json!({ "pushes": pushes })).into_response(),
        Err(error) => Answer::broken(&error).into_response(),
    }
}

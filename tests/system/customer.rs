//! A customer at the front door, and the trace of what was ordered.

use std::time::{Duration, Instant};

use journey::Trace;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Fleet, LIMIT, eventually, http};

/// Someone who is signed in.
pub(crate) struct Customer {
    client: reqwest::Client,
    door: String,
    token: String,
}

/// An order that the front door took.
#[derive(Debug, Clone)]
pub(crate) struct Ordered {
    pub(crate) id: String,
    /// The order's own trace.
    pub(crate) trace_id: String,
}

/// Delivered wherever nothing misbehaves: sushi at the riverside.
pub(crate) const SUSHI: (&str, &str) = ("sakura", "sakura/salmon-set");
/// The $200 pizza of the old harbour.
pub(crate) const PIZZA: (&str, &str) = ("bella-napoli", "bella-napoli/party-pizza");

/// Something cheap, for those who order often.
pub(crate) const SOUP: (&str, &str) = ("green-bowl", "green-bowl/lentil");

// === impl Customer ===

impl Customer {
    /// Signs up and in.
    pub(crate) async fn of(fleet: &Fleet) -> Self {
        let client = http();
        let door = fleet.url("mobile-app", "http");
        let who =
            json!({ "name": format!("test-{}", uuid::Uuid::new_v4().simple()), "password": "correct horse" });
        let made = client.post(format!("{door}/accounts")).json(&who).send().await.unwrap();
        assert!(made.status().is_success(), "{}", made.text().await.unwrap());
        let session: Value =
            client.post(format!("{door}/sessions")).json(&who).send().await.unwrap().json().await.unwrap();
        let token = session["token"].as_str().unwrap_or_else(|| panic!("{session}")).to_owned();
        Self { client, door, token }
    }

    /// The same customer at the front door of another fleet, or of the same one after a restart.
    pub(crate) fn at(self, fleet: &Fleet) -> Self {
        Self { door: fleet.url("mobile-app", "http"), ..self }
    }

    /// Any request to the front door, signed.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Response {
        let mut request =
            self.client.request(method, format!("{}{path}", self.door)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body).header("Idempotency-Key", uuid::Uuid::new_v4().to_string());
        }
        request.send().await.unwrap()
    }

    /// A cart with one dish.
    pub(crate) async fn cart(&self, (restaurant, sku): (&str, &str)) -> Value {
        let cart = json!({ "restaurant_id": restaurant, "items": [{ "sku": sku, "quantity": 1 }] });
        let reply = self.ask(Method::POST, "/carts", Some(&cart)).await;
        assert!(reply.status().is_success(), "{}", reply.text().await.unwrap());
        reply.json().await.unwrap()
    }

    /// Cart and order, taken.
    pub(crate) async fn order(&self, dish: (&str, &str)) -> Ordered {
        let cart = self.cart(dish).await;
        let body = json!({ "cart_id": cart["cart_id"], "card_token": "tok_visa" });
        let reply = self.ask(Method::POST, "/orders", Some(&body)).await;
        let (status, order) = (reply.status(), reply.json::<Value>().await.unwrap());
        assert!(status.is_success(), "{status} {order}");
        let text =
            |key: &str| order[key].as_str().unwrap_or_else(|| panic!("no {key} in {order}")).to_owned();
        Ordered { id: text("order_id"), trace_id: text("trace_id") }
    }

    /// Cart and order at a front door that may refuse: its id, or the status of the refusal.
    pub(crate) async fn try_order(&self, (restaurant, sku): (&str, &str)) -> Result<String, u16> {
        let cart = json!({ "restaurant_id": restaurant, "items": [{ "sku": sku, "quantity": 1 }] });
        let cart = accepted(self.ask(Method::POST, "/carts", Some(&cart)).await).await?;
        let body = json!({ "cart_id": cart["cart_id"], "card_token": "tok_visa" });
        let order = accepted(self.ask(Method::POST, "/orders", Some(&body)).await).await?;
        order["order_id"].as_str().map(str::to_owned).ok_or(0)
    }

    /// Orders at a front door that may fail at any moment: asks again with the same key until there is a clear answer, as
    /// an app does, and gives up after a minute.
    pub(crate) async fn insist(&self, (restaurant, sku): (&str, &str)) {
        let cart = json!({ "restaurant_id": restaurant, "items": [{ "sku": sku, "quantity": 1 }] });
        let until = Instant::now() + LIMIT;
        let Some(cart) = self.clear_answer("/carts", "cart", &cart, until).await else { return };
        let (id, key) = (cart["cart_id"].as_str().unwrap(), uuid::Uuid::new_v4().to_string());
        let order = json!({ "cart_id": id, "card_token": "tok_visa" });
        let Some(order) = self.clear_answer("/orders", &key, &order, until).await else { return };
        while Instant::now() < until {
            let id = order["order_id"].as_str().unwrap_or_default();
            if matches!(self.state(id).await.as_deref(), Ok("delivered" | "refunded" | "declined" | "failed"))
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// Body of the first answer that is neither a failure of the front door nor a "still at it".
    async fn clear_answer(&self, path: &str, key: &str, body: &Value, until: Instant) -> Option<Value> {
        while Instant::now() < until {
            let request = self.client.post(format!("{}{path}", self.door)).bearer_auth(&self.token);
            match request.json(body).header("Idempotency-Key", key).send().await {
                Ok(reply) if reply.status().is_success() => {
                    if let Ok(body) = reply.json().await {
                        return Some(body);
                    }
                }
                Ok(reply) if reply.status().is_client_error() && reply.status() != StatusCode::CONFLICT => {
                    return None;
                }
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        None
    }

    /// The order's state now.
    pub(crate) async fn state(&self, id: &str) -> Result<String, String> {
        let request = self.client.get(format!("{}/orders/{id}", self.door)).bearer_auth(&self.token);
        let reply = request.send().await.map_err(|e| e.to_string())?;
        let status = reply.status();
        let body: Value = reply.json().await.map_err(|e| e.to_string())?;
        if status != StatusCode::OK {
            return Err(format!("{status} {body}"));
        }
        body["state"].as_str().map(str::to_owned).ok_or_else(|| body.to_string())
    }

    /// Waits until the order is in `state`.
    pub(crate) async fn until(&self, id: &str, state: &str) {
        eventually(&format!("order {id} {state}"), || async {
            let now = self.state(id).await?;
            if now == state { Ok(()) } else { Err(format!("it is {now}")) }
        })
        .await;
    }
}

async fn accepted(reply: Response) -> Result<Value, u16> {
    let status = reply.status();
    if status.is_success() { Ok(reply.json().await.unwrap()) } else { Err(status.as_u16()) }
}

/// The trace as the store has it, once `enough` of it is there.
pub(crate) async fn trace(fleet: &Fleet, id: &str, enough: impl Fn(&Trace) -> Result<(), String>) -> Trace {
    let url = format!("{}/api/traces/{id}", fleet.url("tracestore", "http"));
    eventually(&format!("trace {id}"), || async {
        let reply = http().get(&url).send().await.map_err(|e| e.to_string())?;
        let status = reply.status();
        let body = reply.bytes().await.map_err(|e| e.to_string())?;
        let traces = journey::adapters::jaeger::parse(&body).map_err(|e| format!("{status}: {e}"))?;
        let trace = traces.into_iter().next().ok_or_else(|| format!("{status}: not there"))?;
        enough(&trace).map(|()| trace)
    })
    .await
}

//! The front door as its customers see it: sign in, fill a cart, order, look how it goes.

use std::time::Duration;

use anyhow::{Context, anyhow};
use contracts::catalogue::{CURRENCY, Dish, Restaurant};
use reqwest::{StatusCode, header::HeaderMap};
use reqwest_middleware::{ClientWithMiddleware, RequestBuilder};
use serde_json::{Value, json};
use telemetry::{Peer, http::Template};

/// A front door that has not answered within this time does not answer.
const LIMIT: Duration = Duration::from_secs(30);

/// A front door.
#[derive(Debug, Clone)]
pub(crate) struct Shop {
    client: ClientWithMiddleware,
    url: String,
}

/// A customer who is signed in.
#[derive(Debug, Clone)]
pub(crate) struct Customer {
    token: String,
}

/// What goes into a cart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meal {
    /// Catalogue id of the restaurant.
    pub(crate) restaurant: String,
    /// Sku and quantity.
    pub(crate) items: Vec<(String, u32)>,
    /// What it is called and what it costs, for people.
    pub(crate) title: String,
}

/// A cart that is filled; its order's id and trace are known already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cart {
    /// Its id.
    pub(crate) id: String,
    /// Public id of the order that it will become.
    pub(crate) order_id: String,
    /// Trace id of the reply: the order's.
    pub(crate) trace_id: String,
}

/// An order as the front door told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    /// Public id.
    pub(crate) id: String,
    /// Its state.
    pub(crate) state: String,
    /// Trace id of the reply.
    pub(crate) trace_id: String,
}

/// The front door said no: status, the problem document's words, and the trace that shows why.
#[derive(Debug, thiserror::Error)]
#[error("{status} {title} (trace {trace_id})")]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    title: String,
    trace_id: String,
    /// The order that was refused, when it had an id already.
    pub(crate) order: Option<String>,
}

// === impl Shop ===

impl Shop {
    /// The front door at `url`.
    ///
    /// # Errors
    /// When no HTTP client can be built.
    pub(crate) fn new(url: &str) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(LIMIT).no_proxy().build()?;
        let client = telemetry::http::client_with(client, Peer::ours("mobile-app"));
        Ok(Self { client, url: url.trim_end_matches('/').to_owned() })
    }

    /// Signs in, and up first where that is needed.
    ///
    /// # Errors
    /// [`Refused`], or what keeps the front door from answering.
    pub(crate) async fn sign_in(&self, name: &str, password: &str) -> anyhow::Result<Customer> {
        let who = json!({ "name": name, "password": password });
        let post = |path: &'static str| self.client.post(format!("{}{path}", self.url)).json(&who);
        // A name that is taken is ours from an earlier run.
        match ask(post("/accounts"), "/accounts").await {
            Ok(_) => {}
            Err(error) if status_of(&error) == Some(StatusCode::CONFLICT) => {}
            Err(error) => return Err(error).context("signing up"),
        }
        let (_, body) = ask(post("/sessions"), "/sessions").await.context("signing in")?;
        Ok(Customer { token: text(&body, "token")? })
    }

    /// Fills a cart and orders it with the test card `card`.
    ///
    /// # Errors
    /// [`Refused`], or what keeps the front door from answering.
    pub(crate) async fn order(&self, by: &Customer, meal: &Meal, card: &str) -> anyhow::Result<Order> {
        let cart = self.fill(by, meal).await?;
        self.place(by, &cart, card).await
    }

    /// Fills a cart.
    ///
    /// # Errors
    /// [`Refused`], or what keeps the front door from answering.
    pub(crate) async fn fill(&self, by: &Customer, meal: &Meal) -> anyhow::Result<Cart> {
        let items: Vec<_> =
            meal.items.iter().map(|(sku, quantity)| json!({ "sku": sku, "quantity": quantity })).collect();
        let cart = json!({ "restaurant_id": meal.restaurant, "items": items });
        let (headers, cart) =
            ask(self.post(by, "/carts").json(&cart), "/carts").await.context("filling a cart")?;
        let (id, order_id) = (text(&cart, "cart_id")?, text(&cart, "order_id")?);
        Ok(Cart { id, order_id, trace_id: trace_id(&headers) })
    }

    /// Orders what is in `cart` with the test card `card`; asked again, it is the same order.
    ///
    /// # Errors
    /// [`Refused`], or what keeps the front door from answering.
    pub(crate) async fn place(&self, by: &Customer, cart: &Cart, card: &str) -> anyhow::Result<Order> {
        let request = self
            .post(by, "/orders")
            .header("Idempotency-Key", &cart.id)
            .json(&json!({ "cart_id": cart.id, "card_token": card }));
        match ask(request, "/orders").await {
            Ok((headers, body)) => order(&headers, &body),
            Err(error) => Err(match error.downcast::<Refused>() {
                Ok(refused) => Refused { order: Some(cart.order_id.clone()), ..refused }.into(),
                Err(error) => error,
            }),
        }
    }

    fn post(&self, by: &Customer, path: &'static str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).bearer_auth(&by.token)
    }

    /// How order `id` is doing.
    ///
    /// # Errors
    /// [`Refused`] with 404 for an order that is not known, or what keeps the front door from answering.
    pub(crate) async fn look(&self, by: &Customer, id: &str) -> anyhow::Result<Order> {
        let request = self.client.get(format!("{}/orders/{id}", self.url)).bearer_auth(&by.token);
        let (headers, body) = ask(request, "/orders/{id}").await?;
        order(&headers, &body)
    }
}

// === impl Meal ===

impl Meal {
    /// `quantity` of one dish.
    pub(crate) fn of(restaurant: &Restaurant, dish: &Dish, quantity: u32) -> Self {
        let cents = dish.price_minor * i64::from(quantity);
        Self {
            restaurant: restaurant.id.clone(),
            items: vec![(dish.sku.clone(), quantity)],
            title: format!(
                "{quantity} × {}, {} ({}.{:02} {CURRENCY})",
                dish.name,
                restaurant.name,
                cents / 100,
                cents % 100
            ),
        }
    }
}

/// The HTTP status with which the front door refused, if that is what happened.
pub(crate) fn status_of(error: &anyhow::Error) -> Option<StatusCode> {
    error.downcast_ref::<Refused>().map(|r| r.status)
}

async fn ask(request: RequestBuilder, template: &'static str) -> anyhow::Result<(HeaderMap, Value)> {
    let reply = request.with_extension(Template(template)).send().await?;
    let (status, headers) = (reply.status(), reply.headers().clone());
    let body: Value = reply.json().await.unwrap_or_default();
    if status.is_success() {
        return Ok((headers, body));
    }
    let word = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
    let title = word("detail").or_else(|| word("title")).unwrap_or_default();
    Err(Refused { status, title, trace_id: trace_id(&headers), order: word("order_id") }.into())
}

fn order(headers: &HeaderMap, body: &Value) -> anyhow::Result<Order> {
    Ok(Order { id: text(body, "order_id")?, state: text(body, "state")?, trace_id: trace_id(headers) })
}

fn trace_id(headers: &HeaderMap) -> String {
    headers.get("x-trace-id").and_then(|v| v.to_str().ok()).unwrap_or("unknown").to_owned()
}

fn text(body: &Value, key: &str) -> anyhow::Result<String> {
    let value = body.get(key).and_then(Value::as_str);
    value.map(str::to_owned).ok_or_else(|| anyhow!("the front door's reply has no {key:?}"))
}

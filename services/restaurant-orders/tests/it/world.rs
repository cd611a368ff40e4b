//! The neighbours of restaurant-orders, as one fake that does as it is told.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path as Param, State},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use chassis::{Running, Settings};
use contracts::orders_v1::{
    GetReply, GetRequest, Item, PlaceRequest, restaurant_orders_client::RestaurantOrdersClient,
};
use serde_json::{Value, json};
use tonic::transport::Channel;

/// What the neighbours do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Till {
    Accepts,
    Rejects,
    Hangs,
    Fails,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) till: Mutex<Till>,
    /// Statuses of the refund to answer with before it is made.
    pub(crate) refund_troubles: Mutex<Vec<u16>>,
    /// Tickets by order: how often asked.
    pub(crate) tickets: Mutex<HashMap<String, u32>>,
    /// Refunds asked for: payment id and body.
    pub(crate) refunds: Mutex<Vec<(String, Value)>>,
    /// Events that delivery-assignment got: headers and body.
    pub(crate) events: Mutex<Vec<(HashMap<String, String>, Value)>>,
    pub(crate) url: Mutex<String>,
}

impl World {
    pub(crate) async fn new() -> Arc<Self> {
        let world = Arc::new(Self {
            till: Mutex::new(Till::Accepts),
            refund_troubles: Mutex::default(),
            tickets: Mutex::default(),
            refunds: Mutex::default(),
            events: Mutex::default(),
            url: Mutex::default(),
        });
        let routes = Router::new()
            .route("/tickets", post(ticket))
            .route("/payments/{id}/refunds", post(refund))
            .route("/events", post(event))
            .with_state(world.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        *world.url.lock().unwrap() = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        world
    }

    pub(crate) fn is(&self, till: Till) {
        *self.till.lock().unwrap() = till;
    }

    pub(crate) async fn start(&self, folder: &Path) -> Running {
        let url = self.url.lock().unwrap().clone();
        let database = format!("sqlite://{}/orders.db", folder.display());
        let settings = Settings::from_pairs([
            ("WAYBILL_LISTEN", "127.0.0.1:0"),
            ("DATABASE_URL", &database),
            ("RESTAURANT_POS_URL", &url),
            ("PAYMENT_GATEWAY_URL", &url),
            ("DELIVERY_ASSIGNMENT_URL", &url),
            ("WAYBILL_POS_DEADLINE", "800ms"),
            ("WAYBILL_POS_TIMEOUT", "300ms"),
        ]);
        chassis::start(restaurant_orders::SERVICE, settings).await.expect("restaurant-orders starts")
    }
}

async fn ticket(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let order = body["order_id"].as_str().unwrap().to_owned();
    assert_eq!(headers["idempotency-key"], order.as_str());
    assert!(headers.get("baggage").is_none(), "baggage went to a third party");
    *world.tickets.lock().unwrap().entry(order.clone()).or_default() += 1;
    let till = *world.till.lock().unwrap();
    match till {
        Till::Hangs => std::future::pending().await,
        Till::Fails => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({}))),
        till => {
            let accepted = till == Till::Accepts;
            let reason = (!accepted).then_some("kitchen_busy");
            (StatusCode::CREATED, Json(json!({"ticket_id": "tk-1", "accepted": accepted, "reason": reason})))
        }
    }
}

async fn refund(
    State(world): State<Arc<World>>,
    Param(id): Param<String>,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    world.refunds.lock().unwrap().push((id.clone(), body));
    let trouble = world.refund_troubles.lock().unwrap().pop().unwrap_or(201);
    let state = if trouble == 202 { "refunding" } else { "refunded" };
    let payment = json!({"payment_id": id, "order_id": "?", "reference": "ref-1", "status": state, "amount_minor": 1, "currency": "USD"});
    (StatusCode::from_u16(trouble).unwrap(), Json(payment))
}

async fn event(State(world): State<Arc<World>>, headers: HeaderMap, Json(body): Json<Value>) -> StatusCode {
    let headers =
        headers.iter().map(|(k, v)| (k.to_string(), v.to_str().unwrap_or_default().to_owned())).collect();
    world.events.lock().unwrap().push((headers, body));
    StatusCode::ACCEPTED
}

pub(crate) async fn client(running: &Running) -> RestaurantOrdersClient<Channel> {
    RestaurantOrdersClient::connect(running.url.clone()).await.unwrap()
}

pub(crate) fn pizza(order: &str) -> PlaceRequest {
    PlaceRequest {
        order_id: order.to_owned(),
        customer_id: "u-1".to_owned(),
        restaurant_id: "bella-napoli".to_owned(),
        zone: "old-harbour".to_owned(),
        amount_minor: 20_000,
        currency: "USD".to_owned(),
        items: vec![Item { sku: "truffle".into(), name: "Truffle".into(), quantity: 1, price_minor: 20_000 }],
        payment_id: format!("p-{order}"),
        payment_reference: "ref-1".to_owned(),
        refund_only: false,
    }
}

pub(crate) async fn get(running: &Running, order: &str) -> GetReply {
    client(running).await.get(GetRequest { order_id: order.to_owned() }).await.unwrap().into_inner()
}

/// Hands the service a message, as its sender's relay does.
pub(crate) async fn tell(running: &Running, id: &str, kind: &str, order: &str, body: Value) -> StatusCode {
    let request = reqwest::Client::new()
        .post(format!("{}/events", running.url))
        .header("ce-specversion", "1.0")
        .header("ce-source", "/test")
        .header("ce-id", id)
        .header("ce-type", kind)
        .header("ce-subject", order)
        .json(&body);
    request.send().await.unwrap().status()
}

pub(crate) fn ride(order: &str) -> Value {
    json!({"order_id": order, "customer_id": "u-1", "ride_id": "r-1", "courier_id": "c-1"})
}

pub(crate) fn nobody_rides(order: &str) -> Value {
    json!({"order_id": order, "customer_id": "u-1", "reason": "courier_timeout", "amount_minor": 20000, "currency": "USD"})
}

/// Waits for an order to reach a state.
pub(crate) async fn reaches(running: &Running, order: &str, state: &str) {
    let mut last = String::new();
    for _ in 0..400 {
        last = get(running, order).await.state;
        if last == state {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{order} is {last}, never {state}");
}

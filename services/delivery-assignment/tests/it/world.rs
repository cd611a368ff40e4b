//! The neighbours of delivery-assignment, as one fake that does as it is told.

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
    routing::{delete, post},
};
use chassis::{App, Running, Service, Settings, Start};
use contracts::tracking_v1::{
    StartReply, StartRequest,
    tracking_server::{Tracking, TrackingServer},
};
use serde_json::{Value, json};
use tonic::{Request, Response, Status, async_trait};

/// What the fleet says next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    Rides,
    Nobody,
    Nothing,
    Error,
    Nonsense,
}

/// The neighbours.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) fleet: Mutex<Says>,
    /// Orders that the fleet never answers for.
    pub(crate) silent_for: Mutex<Vec<String>>,
    /// Headers of each question.
    pub(crate) questions: Mutex<Vec<HashMap<String, String>>>,
    pub(crate) cancelled: Mutex<Vec<String>>,
    pub(crate) cancel_troubles: Mutex<u32>,
    /// Events by the order that they are about, and their type.
    pub(crate) events: Mutex<Vec<(String, String, Value)>>,
    pub(crate) rides: Mutex<Vec<StartRequest>>,
    pub(crate) tracking_troubles: Mutex<u32>,
    url: Mutex<String>,
}

impl World {
    pub(crate) async fn new() -> Arc<Self> {
        let world = Arc::new(Self {
            fleet: Mutex::new(Says::Rides),
            silent_for: Mutex::default(),
            questions: Mutex::default(),
            cancelled: Mutex::default(),
            cancel_troubles: Mutex::default(),
            events: Mutex::default(),
            rides: Mutex::default(),
            tracking_troubles: Mutex::default(),
            url: Mutex::default(),
        });
        let routes = Router::new()
            .route("/assignments", post(assign))
            .route("/assignments/{order_id}", delete(cancel))
            .route("/events", post(event))
            .with_state(world.clone())
            .merge(tonic::service::Routes::new(TrackingServer::new(Rides(world.clone()))).into_axum_router());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        *world.url.lock().unwrap() = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        world
    }

    pub(crate) fn says(&self, says: Says) {
        *self.fleet.lock().unwrap() = says;
    }

    pub(crate) async fn start(&self, folder: &Path, more: &[(&str, &str)]) -> Running {
        let url = self.url.lock().unwrap().clone();
        let database = format!("sqlite://{}/delivery.db", folder.display());
        let names = ["COURIER_FLEET_URL", "TRACKING_URL", "RESTAURANT_ORDERS_URL", "NOTIFICATION_URL"];
        let base = [
            ("WAYBILL_LISTEN", "127.0.0.1:0"),
            ("DATABASE_URL", database.as_str()),
            ("WAYBILL_COURIER_DEADLINE", "900ms"),
            ("WAYBILL_DRAIN_TIMEOUT", "2s"),
        ];
        let urls = names.iter().map(|n| (*n, url.as_str()));
        let settings = Settings::from_pairs(base.into_iter().chain(urls).chain(more.iter().copied()));
        chassis::start(delivery_assignment::SERVICE, settings).await.expect("delivery-assignment starts")
    }

    pub(crate) fn failed(&self, order: &str) -> Vec<Value> {
        let events = self.events.lock().unwrap();
        events.iter().filter(|e| e.0 == order && e.1 == "order.failed").map(|e| e.2.clone()).collect()
    }

    pub(crate) fn rides_for(&self, order: &str) -> usize {
        self.rides.lock().unwrap().iter().filter(|r| r.order_id == order).count()
    }
}

async fn assign(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let order = body["order_id"].as_str().unwrap().to_owned();
    assert_eq!(headers["idempotency-key"], order.as_str());
    assert!(headers.get("baggage").is_none(), "baggage went to a third party");
    let seen =
        headers.iter().map(|(k, v)| (k.to_string(), v.to_str().unwrap_or_default().to_owned())).collect();
    world.questions.lock().unwrap().push(seen);
    let silent = world.silent_for.lock().unwrap().contains(&order);
    let says = if silent { Says::Nothing } else { *world.fleet.lock().unwrap() };
    match says {
        Says::Nothing => std::future::pending().await,
        Says::Error => (StatusCode::BAD_GATEWAY, Json(json!({}))),
        Says::Nobody => (StatusCode::CONFLICT, Json(json!({"code": "no_courier"}))),
        Says::Nonsense => (StatusCode::CREATED, Json(json!({"hello": "there"}))),
        Says::Rides => {
            let body = json!({"assignment_id": format!("as-{order}"), "courier_id": "c-1", "ride_ms": 50});
            (StatusCode::CREATED, Json(body))
        }
    }
}

async fn cancel(State(world): State<Arc<World>>, Param(order): Param<String>) -> StatusCode {
    let mut troubles = world.cancel_troubles.lock().unwrap();
    if *troubles > 0 {
        *troubles -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    world.cancelled.lock().unwrap().push(order);
    StatusCode::OK
}

async fn event(State(world): State<Arc<World>>, headers: HeaderMap, Json(body): Json<Value>) -> StatusCode {
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    world.events.lock().unwrap().push((text("ce-subject"), text("ce-type"), body));
    StatusCode::ACCEPTED
}

struct Rides(Arc<World>);

#[async_trait]
impl Tracking for Rides {
    async fn start(&self, request: Request<StartRequest>) -> Result<Response<StartReply>, Status> {
        assert!(request.metadata().get("grpc-timeout").is_some(), "no deadline came along");
        let mut troubles = self.0.tracking_troubles.lock().unwrap();
        if *troubles > 0 {
            *troubles -= 1;
            return Err(Status::unavailable("not now"));
        }
        self.0.rides.lock().unwrap().push(request.into_inner());
        Ok(Response::new(StartReply { ride_id: "r-1".to_owned() }))
    }
}

/// Stands in for restaurant-orders: sends `order.accepted` through the bus for each order named in its path.
pub(crate) async fn sender(folder: &Path, receiver: &Running) -> Running {
    fn app(start: &Start) -> App {
        start.subscribe("order.accepted", "delivery-assignment");
        let (bus, database) = (start.bus.clone(), start.database.clone());
        let send = move |Param(order): Param<String>| {
            let (bus, database) = (bus.clone(), database.clone());
            async move {
                let mut tx = database.begin().await?;
                bus.publish(&mut tx, "order.accepted", &order, &accepted(&order)).await?;
                tx.commit().await?;
                Ok::<_, chassis::Error>(())
            }
        };
        App::new().http(Router::new().route("/send/{order}", post(send)))
    }
    let service = Service { name: "restaurant-orders", version: "0", default_port: 0, app };
    let database = format!("sqlite://{}/sender.db", folder.display());
    let settings = Settings::from_pairs([
        ("WAYBILL_LISTEN", "127.0.0.1:0"),
        ("DATABASE_URL", &database),
        ("DELIVERY_ASSIGNMENT_URL", &receiver.url),
    ]);
    chassis::start(service, settings).await.expect("the sender starts")
}

pub(crate) fn accepted(order: &str) -> Value {
    json!({"order_id": order, "customer_id": "u-1", "restaurant_id": "bella-napoli", "zone": "old-harbour",
           "amount_minor": 20000, "currency": "USD"})
}

pub(crate) const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

pub(crate) async fn send(sender: &Running, order: &str) {
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let request =
        reqwest::Client::new().post(format!("{}/send/{order}", sender.url)).header("traceparent", parent);
    assert_eq!(request.send().await.unwrap().status(), 200);
}

pub(crate) async fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    for _ in 0..400 {
        if check() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("never happened: {what}");
}

pub(crate) async fn states(running: &Running) -> Value {
    let book: Value =
        reqwest::get(format!("{}/assignments", running.url)).await.unwrap().json().await.unwrap();
    book["states"].clone()
}

//! The street on which the front door stands: its neighbours, and customers who knock.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use chassis::{Running, Service, Settings};
use contracts::orders_v1::{
    GetReply, GetRequest, PlaceReply, PlaceRequest,
    restaurant_orders_server::{RestaurantOrders, RestaurantOrdersServer},
};
use partners::{Options, Partners, Schedule};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tonic::Status;

/// What restaurant-orders does with the next `Place`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mood {
    #[default]
    Accepts,
    Rejects,
    Unavailable,
    Hangs,
}

#[derive(Default)]
pub(crate) struct Kitchen {
    pub(crate) mood: Mood,
    pub(crate) placed: Vec<PlaceRequest>,
    /// What `Get` says.
    pub(crate) state: String,
}

/// The stand-in for restaurant-orders.
#[derive(Clone, Default)]
pub(crate) struct Owner(Arc<Mutex<Kitchen>>);

pub(crate) struct Street {
    pub(crate) data: tempfile::TempDir,
    pub(crate) owner: Owner,
    pub(crate) card_network: String,
    pub(crate) front: Option<Running>,
    settings: Vec<(String, String)>,
    _neighbours: Vec<Running>,
    _partners: oneshot::Sender<()>,
}

pub(crate) struct Customer {
    client: Client,
    url: String,
    pub(crate) token: String,
}

// === impl Owner ===

impl Owner {
    pub(crate) fn kitchen(&self) -> MutexGuard<'_, Kitchen> {
        self.0.lock().unwrap()
    }

    async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = tonic::service::Routes::new(RestaurantOrdersServer::new(self.clone()));
        let app = routes.into_axum_router().layer(telemetry::grpc::ServerLayer::new());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        url
    }
}

#[tonic::async_trait]
impl RestaurantOrders for Owner {
    async fn place(
        &self,
        request: tonic::Request<PlaceRequest>,
    ) -> Result<tonic::Response<PlaceReply>, Status> {
        let mood = {
            let mut kitchen = self.kitchen();
            kitchen.placed.push(request.into_inner());
            kitchen.mood
        };
        let reply =
            |state: &str, reason: &str| PlaceReply { state: state.to_owned(), reason: reason.to_owned() };
        match mood {
            Mood::Accepts => Ok(tonic::Response::new(reply("accepted", ""))),
            Mood::Rejects => Ok(tonic::Response::new(reply("rejected", "kitchen_busy"))),
            Mood::Unavailable => Err(Status::unavailable("not now")),
            Mood::Hangs => std::future::pending().await,
        }
    }

    async fn get(&self, request: tonic::Request<GetRequest>) -> Result<tonic::Response<GetReply>, Status> {
        let state = self.kitchen().state.clone();
        if state.is_empty() {
            return Err(Status::not_found("no such order"));
        }
        let order_id = request.into_inner().order_id;
        Ok(tonic::Response::new(GetReply { order_id, state, ..GetReply::default() }))
    }
}

// === impl Street ===

impl Street {
    pub(crate) async fn open() -> Self {
        Self::with("", &[]).await
    }

    /// A street whose partners misbehave by `schedule`, and whose front door has `more` settings.
    pub(crate) async fn with(schedule: &str, more: &[(&str, &str)]) -> Self {
        super::receiver::on();
        let data = tempfile::tempdir().unwrap();
        let options = Options {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data: data.path().join("partners"),
            schedule: Schedule::load(schedule).unwrap(),
            ..Options::default()
        };
        let partners = Partners::bind(options).await.unwrap();
        let card_network = format!("http://{}/card-network", partners.local_addr());
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(partners.serve(async move { drop(stopped.await) }));
        let owner = Owner::default();
        let own = |name: &str| vec![("DATABASE_URL".to_owned(), database(data.path().into(), name))];
        let mut pay = own("payments");
        pay.push(("CARD_NETWORK_URL".to_owned(), card_network.clone()));
        // Short only where a silent card network is what is tried.
        let patience = if schedule.contains("withhold") { "300ms" } else { "5s" };
        pay.push(("WAYBILL_CARD_TIMEOUT".to_owned(), patience.to_owned()));
        let auth = run(auth::SERVICE, own("auth")).await;
        let availability = run(restaurant_availability::SERVICE, own("availability")).await;
        let payments = run(payment_gateway::SERVICE, pay).await;
        let mut settings = own("front");
        settings.extend([
            ("AUTH_URL".to_owned(), auth.url.clone()),
            ("RESTAURANT_AVAILABILITY_URL".to_owned(), availability.url.clone()),
            ("PAYMENT_GATEWAY_URL".to_owned(), payments.url.clone()),
            ("RESTAURANT_ORDERS_URL".to_owned(), owner.serve().await),
        ]);
        settings.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        let front = run(mobile_app::SERVICE, settings.clone()).await;
        Self {
            data,
            owner,
            card_network,
            front: Some(front),
            settings,
            _neighbours: vec![auth, availability, payments],
            _partners: stop,
        }
    }

    pub(crate) fn url(&self) -> String {
        self.front.as_ref().unwrap().url.clone()
    }

    /// The front door's database, as an operator would open it.
    pub(crate) async fn front_database(&self) -> sqlx::SqliteConnection {
        let file = sqlx::sqlite::SqliteConnectOptions::new().filename(self.data.path().join("front.db"));
        <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&file).await.unwrap()
    }

    /// As `kill -9`: nothing is drained, nothing is said.
    pub(crate) async fn kill_front(&mut self) {
        self.front.take().unwrap().kill().await;
    }

    pub(crate) async fn restart_front(&mut self, more: &[(&str, &str)]) {
        let mut settings = self.settings.clone();
        settings.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        self.front = Some(run(mobile_app::SERVICE, settings).await);
    }

    /// A customer who is signed in.
    pub(crate) async fn customer(&self, name: &str) -> Customer {
        let client = Client::new();
        let who = json!({"name": name, "password": "correct horse"});
        for (path, status) in [("/accounts", StatusCode::CREATED), ("/sessions", StatusCode::CREATED)] {
            let reply = client.post(format!("{}{path}", self.url())).json(&who).send().await.unwrap();
            assert_eq!(reply.status(), status, "{path}");
            if path == "/sessions" {
                let session: Value = reply.json().await.unwrap();
                let token = session["token"].as_str().unwrap().to_owned();
                return Customer { client, url: self.url(), token };
            }
        }
        unreachable!()
    }

    /// Every charge at the card network, with its refunds.
    pub(crate) async fn charges(&self) -> Vec<Value> {
        let page: Value =
            reqwest::get(format!("{}/charges", self.card_network)).await.unwrap().json().await.unwrap();
        page["charges"].as_array().unwrap().clone()
    }
}

// === impl Customer ===

impl Customer {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token)
    }

    /// At the same front door after it has moved.
    pub(crate) fn at(&self, street: &Street) -> Self {
        Self { client: Client::new(), url: street.url(), token: self.token.clone() }
    }

    pub(crate) async fn cart(&self) -> Value {
        self.cart_of("bella-napoli", "bella-napoli/party-pizza").await
    }

    pub(crate) async fn cart_of(&self, restaurant: &str, sku: &str) -> Value {
        let body = json!({"restaurant_id": restaurant, "items": [{"sku": sku, "quantity": 1}]});
        let (status, cart) = read(self.request(Method::POST, "/carts").json(&body).send().await).await;
        assert_eq!(status, StatusCode::CREATED, "{cart}");
        cart
    }

    pub(crate) fn ordering(&self, cart: &Value, card: &str) -> RequestBuilder {
        self.request(Method::POST, "/orders").json(&json!({"cart_id": cart["cart_id"], "card_token": card}))
    }

    pub(crate) async fn order(&self, cart: &Value, card: &str) -> (StatusCode, Value) {
        read(self.ordering(cart, card).send().await).await
    }

    pub(crate) async fn look(&self, order: &Value) -> (StatusCode, Value) {
        let path = format!("/orders/{}", order["order_id"].as_str().unwrap());
        read(self.request(Method::GET, &path).send().await).await
    }

    pub(crate) async fn becomes(&self, order: &Value, state: &str) -> Value {
        eventually(state, async || {
            let (_, order) = self.look(order).await;
            (order["state"] == state).then_some(order)
        })
        .await
    }
}

pub(crate) async fn read(reply: reqwest::Result<Response>) -> (StatusCode, Value) {
    let reply = reply.unwrap();
    let status = reply.status();
    let header = reply.headers().get("x-trace-id").map(|v| v.to_str().unwrap().to_owned());
    assert!(header.is_some(), "a reply without its trace");
    let text = reply.text().await.unwrap();
    let body: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    if status.as_u16() >= 400 {
        assert_eq!(body["status"], status.as_u16(), "{body}");
        assert_eq!(body["trace_id"].as_str(), header.as_deref(), "{body}");
    }
    (status, body)
}

pub(crate) async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..750 {
        if let Some(found) = check().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

async fn run(service: Service, mut settings: Vec<(String, String)>) -> Running {
    settings.push(("WAYBILL_LISTEN".to_owned(), "127.0.0.1:0".to_owned()));
    chassis::start(service, Settings::from_pairs(settings)).await.unwrap()
}

fn database(data: PathBuf, name: &str) -> String {
    format!("sqlite://{}/{name}.db", data.display())
}

//! The front door's routes: translation between HTTP and the rest of this crate.

use std::convert::Infallible;

use axum::{
    Json, Router,
    extract::{Path, Request, State, rejection::JsonRejection},
    middleware::{self, Next},
    response::{IntoResponse, Response, Sse, sse::Event},
    routing::{get, post},
};
use chassis::{Error, Kind};
use contracts::{catalogue, code, keys};
use futures::Stream;
use http::{HeaderMap, StatusCode, header};
use telemetry::context::{self, Attribute, Scope, StoredContext};

use crate::{
    bodies::{
        Account, Cart, CartRequest, Credentials, Dish, Order, OrderEvent, OrderRequest, Restaurant,
        Restaurants, Session, State as OrderState,
    },
    book::{Claim, Claimed, Entry},
    carts::{self, GROUPS, StoredCart},
    error::FrontError,
    events,
    front::Front,
    openapi, page,
};

/// The longest `Idempotency-Key`.
const LONGEST_KEY: usize = 200;
/// This step's deadline, as the route has it.
const STEP_DEADLINE_MS: i64 = 10_000;

/// All routes.
pub(crate) fn all(front: Front) -> Router {
    Router::new()
        .route("/accounts", post(create_account))
        .route("/sessions", post(create_session))
        .route("/restaurants", get(list_restaurants))
        .route("/carts", post(create_cart))
        .route("/orders", post(create_order))
        .route("/orders/{id}", get(get_order))
        .route("/orders/{id}/events", get(get_events))
        .route("/openapi.json", get(openapi::document))
        .route("/", get(page::html))
        .route("/app.js", get(page::script))
        .route("/app.css", get(page::style))
        .layer(middleware::from_fn(mark_synthetic))
        .with_state(front)
}

/// Of all the baggage that strangers send, `synthetic=test` alone comes in: load marks its orders with it.
async fn mark_synthetic(request: Request, next: Next) -> Response {
    if !is_synthetic(request.headers()) {
        return next.run(request).await;
    }
    context::set_attribute("user_agent.synthetic.type", "test");
    context::current().with_baggage(keys::SYNTHETIC, "test").run(next.run(request)).await
}

fn is_synthetic(headers: &HeaderMap) -> bool {
    let values = headers.get_all("baggage").iter().filter_map(|value| value.to_str().ok());
    // W3C Baggage, 3.3.1: members between commas, properties after semicolons, blanks around both.
    values.flat_map(|value| value.split(',')).any(|member| {
        let member = member.split(';').next().unwrap_or_default();
        member
            .split_once('=')
            .is_some_and(|(key, value)| key.trim() == keys::SYNTHETIC && value.trim() == "test")
    })
}

/// Creates an account.
#[utoipa::path(post, path = "/accounts", tag = "accounts", request_body = Credentials,
    responses((status = 201, description = "created", body = Account)))]
pub(crate) async fn create_account(
    State(front): State<Front>,
    body: Result<Json<Credentials>, JsonRejection>,
) -> Result<(StatusCode, Json<Account>), Error> {
    let Json(body) = body.map_err(unreadable)?;
    let account = front.placing.neighbours.register(body.name, body.password).await?;
    Ok((StatusCode::CREATED, Json(account)))
}

/// Signs in: name and password for a bearer token.
#[utoipa::path(post, path = "/sessions", tag = "accounts", request_body = Credentials,
    responses((status = 201, description = "signed in", body = Session)))]
pub(crate) async fn create_session(
    State(front): State<Front>,
    body: Result<Json<Credentials>, JsonRejection>,
) -> Result<Response, Error> {
    let Json(body) = body.map_err(unreadable)?;
    let session = front.placing.neighbours.sign_in(body.name, body.password).await?;
    // A token is nobody else's business (RFC 6750, 5.3).
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(session)).into_response())
}

/// All restaurants and their menus.
#[utoipa::path(get, path = "/restaurants", tag = "orders",
    responses((status = 200, description = "the catalogue", body = Restaurants)))]
pub(crate) async fn list_restaurants() -> Json<Restaurants> {
    let dish = |d: catalogue::Dish| Dish { sku: d.sku, name: d.name, price_minor: d.price_minor };
    let restaurant = |r: catalogue::Restaurant| Restaurant {
        id: r.id,
        name: r.name,
        zone: r.zone,
        opens_h: r.opens_h,
        closes_h: r.closes_h,
        dishes: r.dishes.into_iter().map(dish).collect(),
    };
    let restaurants = catalogue::restaurants().into_iter().map(restaurant).collect();
    Json(Restaurants { currency: catalogue::CURRENCY.to_owned(), restaurants })
}

/// Fills a cart and opens the order's trace: every span from here on bears the order's id.
#[utoipa::path(post, path = "/carts", tag = "orders", request_body = CartRequest,
    responses((status = 201, description = "a cart", body = Cart)))]
pub(crate) async fn create_cart(
    State(front): State<Front>,
    body: Result<Json<CartRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<Cart>), Error> {
    let order_id = code::random(GROUPS);
    let scope = trace_of(&order_id, &StoredContext::default());
    let work = async {
        let Json(request) = body.map_err(unreadable)?;
        let (cart, zone) = carts::price(&request, order_id)?;
        context::set_attribute(keys::CART_ID, cart.cart_id.clone());
        describe(&cart);
        Ok((StatusCode::CREATED, Json(front.placing.carts.keep(cart, &zone).await?)))
    };
    scope.run(work).await
}

/// Orders a cart and pays for it.
#[utoipa::path(post, path = "/orders", tag = "orders", request_body = OrderRequest, security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key and body get the same order. 1 to 200 visible ASCII characters.")),
    responses(
        (status = 201, description = "the restaurant has it", body = Order),
        (status = 202, description = "under way: look at `links.self` or `links.events`", body = Order),
    ))]
pub(crate) async fn create_order(
    State(front): State<Front>,
    headers: HeaderMap,
    body: Result<Json<OrderRequest>, JsonRejection>,
) -> Result<Response, Error> {
    let Json(request) = body.map_err(unreadable)?;
    let key = idempotency_key(&headers)?;
    check_card_token(&request.card_token)?;
    // Until the cart is known, so is not whose trace this is; the span waits.
    let cart = front.placing.carts.find(&request.cart_id).await?;
    let scope = trace_of(&cart.cart.order_id, &cart.context);
    scope.run(order(&front, &headers, cart, &request.card_token, &key)).await
}

async fn order(
    front: &Front,
    headers: &HeaderMap,
    cart: StoredCart,
    card_token: &str,
    key: &str,
) -> Result<Response, Error> {
    receipt();
    context::set_attribute(keys::CART_ID, cart.cart.cart_id.clone());
    describe(&cart.cart);
    let book = &front.placing.book;
    book.open(&cart.cart.order_id, &cart.cart.cart_id).await?;
    let customer_id = front.customer(headers).await?;
    let claim = Claim { customer_id: &customer_id, card_token, idempotency_key: key };
    match book.claim(&cart.cart.order_id, &claim).await? {
        Claimed::Ours(entry) => {
            let placed = front.placing.begin(entry, cart.clone());
            // The answer may be late; the order goes on.
            let _ = tokio::time::timeout(chassis::deadline::remaining_or(front.wait), placed).await;
        }
        Claimed::Repeated(entry) => settled(front, entry).await?,
    }
    answer(front, book.find(&cart.cart.order_id).await?, &cart)
}

/// A request that comes again while the first is at work waits with it.
async fn settled(front: &Front, entry: Entry) -> Result<(), Error> {
    let until = tokio::time::Instant::now() + chassis::deadline::remaining_or(front.wait);
    let mut stage = entry.stage;
    while matches!(stage.as_str(), "placing" | "paying") && tokio::time::Instant::now() < until {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        stage = front.placing.book.find(&entry.order_id).await?.stage;
    }
    Ok(())
}

/// What the customer is told of an order that has just been placed, or not.
fn answer(front: &Front, entry: Entry, cart: &StoredCart) -> Result<Response, Error> {
    let order_id = entry.order_id.clone();
    let status = match entry.state() {
        OrderState::Declined => return Err(FrontError::Declined { order_id, code: entry.reason }.into()),
        OrderState::Failed => return Err(FrontError::NotPlaced { order_id, reason: entry.reason }.into()),
        OrderState::Placing | OrderState::Paying => StatusCode::ACCEPTED,
        _ => StatusCode::CREATED,
    };
    let order = front.order(&entry, cart);
    let location = [(header::LOCATION, order.links.this.clone())];
    Ok((status, location, Json(order)).into_response())
}

/// How an order stands.
#[utoipa::path(get, path = "/orders/{id}", tag = "orders", security(("bearer" = [])),
    params(("id" = String, Path, description = "the order's id, however it is typed")),
    responses((status = 200, description = "the order", body = Order)))]
pub(crate) async fn get_order(
    State(front): State<Front>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Order>, Error> {
    let customer_id = front.customer(&headers).await?;
    let entry = front.order_of(&id, &customer_id).await?;
    let cart = front.placing.carts.of_order(&entry.order_id).await?;
    look(&entry);
    Ok(Json(front.order(&front.refreshed(entry).await?, &cart)))
}

/// An order's changes as server-sent events `state`, to its end. Take it up again with `Last-Event-ID`.
#[utoipa::path(get, path = "/orders/{id}/events", tag = "orders", security(("bearer" = [])),
    params(
        ("id" = String, Path, description = "the order's id"),
        ("Last-Event-ID" = Option<i64>, Header, description = "the last event seen; later ones follow"),
    ),
    responses((status = 200, description = "a stream of events whose data is an OrderEvent", body = OrderEvent, content_type = "text/event-stream")))]
pub(crate) async fn get_events(
    State(front): State<Front>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>> + use<>>, Error> {
    let last =
        match headers.get("last-event-id").map(|v| v.to_str().unwrap_or_default().trim().parse::<i64>()) {
            None => 0,
            Some(Ok(last)) if last >= 0 => last,
            Some(_) => return Err(Error::invalid("Last-Event-ID is the number of the last event seen")),
        };
    let customer_id = front.customer(&headers).await?;
    let entry = front.order_of(&id, &customer_id).await?;
    look(&entry);
    Ok(events::watch(&front, entry, last)?)
}

/// The order's trace, with the order's id on every span from the first on.
fn trace_of(order_id: &str, stored: &StoredContext) -> Scope {
    let _entered = context::current().with_baggage(keys::ORDER_ID, order_id).enter();
    telemetry::http::continue_trace(stored)
}

/// A look at an order is a trace of its own, linked to the order's.
fn look(entry: &Entry) {
    context::link(&entry.context(), vec![Attribute::new("link.reason", "order")]);
}

fn describe(cart: &Cart) {
    context::set_attribute(keys::RESTAURANT_ID, cart.restaurant_id.clone());
    context::set_attribute(keys::ORDER_AMOUNT, cart.amount_minor);
    context::set_attribute(keys::ORDER_CURRENCY, cart.currency.clone());
}

/// This step may take longer than two seconds: it says at once that it has begun.
fn receipt() {
    let step = crate::SERVICE.name;
    let attributes = vec![
        Attribute::new(keys::ORDER_STEP, step),
        Attribute::new(keys::ORDER_STEP_DEADLINE_MS, STEP_DEADLINE_MS),
    ];
    context::accept(step, attributes);
}

/// A body that is not the JSON that is asked for: 400, 413 or 415, with what is wrong.
fn unreadable(rejection: JsonRejection) -> Error {
    let kind = match rejection.status() {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Kind::Unsupported,
        StatusCode::PAYLOAD_TOO_LARGE => Kind::TooLarge,
        _ => Kind::Invalid,
    };
    Error::new(kind, rejection.body_text())
}

fn idempotency_key(headers: &HeaderMap) -> Result<String, FrontError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(String::new()) };
    let key = value.to_str().map(str::trim).unwrap_or_default();
    if (1..=LONGEST_KEY).contains(&key.len()) {
        Ok(key.to_owned())
    } else {
        Err(FrontError::Invalid(format!("Idempotency-Key: 1 to {LONGEST_KEY} visible ASCII characters")))
    }
}

fn check_card_token(token: &str) -> Result<(), FrontError> {
    // Card numbers have no business here (PCI DSS, requirement 3).
    let digits = token.bytes().filter(u8::is_ascii_digit).count();
    if (1..=64).contains(&token.len()) && token.is_ascii() && digits < 13 {
        Ok(())
    } else {
        Err(FrontError::Invalid(
            "card_token: the card network's token, such as tok_visa, never a card number".to_owned(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn of_foreign_baggage_the_synthetic_mark_alone_counts() {
        let headers = |value: &'static str| {
            HeaderMap::from_iter([(
                http::HeaderName::from_static("baggage"),
                HeaderValue::from_static(value),
            )])
        };
        assert!(is_synthetic(&headers("tenant=acme, synthetic = test ;p=1")));
        for value in ["", "synthetic=bot", "synthetic", "xsynthetic=test", "a=synthetic=test"] {
            assert!(!is_synthetic(&headers(value)), "{value}");
        }
    }

    #[test]
    fn a_card_number_is_no_card_token() {
        assert!(check_card_token("tok_visa").is_ok());
        for token in ["", "4111111111111111", "4111-1111-1111-1111", "tök"] {
            assert!(check_card_token(token).is_err(), "{token}");
        }
    }
}

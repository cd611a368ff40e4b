//! The four services that the front door asks, and what their answers mean here.

use std::time::Duration;

use chassis::{Channel, Error, Http, Kind, Start, deadline};
use contracts::{
    auth_v1::{LoginRequest, RegisterRequest, VerifyRequest, auth_client::AuthClient},
    http::{Availability, Payment, PaymentRequest, PaymentStatus},
    orders_v1::{GetReply, GetRequest, Item, PlaceRequest, restaurant_orders_client::RestaurantOrdersClient},
};
use http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tonic::{Code, Status};

use crate::{
    bodies::{Account, Session},
    book::Entry,
    carts::StoredCart,
    error::FrontError,
};

/// Deadlines of the calls, those of the order's route.
const ASK: Duration = Duration::from_secs(2);
const SIGN_IN: Duration = Duration::from_secs(5);
const PAY: Duration = Duration::from_secs(10);
const PLACE: Duration = Duration::from_secs(10);

/// The ways to them.
#[derive(Clone)]
pub(crate) struct Neighbours {
    auth: AuthClient<Channel>,
    orders: RestaurantOrdersClient<Channel>,
    availability: Http,
    payments: Http,
}

/// What payment-gateway says of an order.
pub(crate) enum Paid {
    Charged(Payment),
    Declined { code: String },
}

// === impl Neighbours ===

impl Neighbours {
    pub(crate) fn new(start: &Start) -> Self {
        Self {
            auth: AuthClient::new(start.grpc("auth")),
            orders: RestaurantOrdersClient::new(start.grpc("restaurant-orders")),
            availability: start.http("restaurant-availability"),
            payments: start.http("payment-gateway"),
        }
    }

    /// Creates an account.
    pub(crate) async fn register(&self, name: String, password: String) -> Result<Account, Error> {
        let mut auth = self.auth.clone();
        let reply = timed(SIGN_IN, auth.register(RegisterRequest { name, password })).await?;
        match reply {
            Ok(reply) => Ok(Account { user_id: reply.into_inner().user_id }),
            Err(status) if status.code() == Code::InvalidArgument => Err(Error::invalid(said(&status))),
            Err(status) if status.code() == Code::AlreadyExists => {
                Err(Error::new(Kind::Exists, said(&status)).typed("name-taken"))
            }
            Err(status) => Err(Error::upstream("auth", status)),
        }
    }

    /// Exchanges name and password for a token.
    pub(crate) async fn sign_in(&self, name: String, password: String) -> Result<Session, Error> {
        let mut auth = self.auth.clone();
        let reply = timed(SIGN_IN, auth.login(LoginRequest { name, password })).await?;
        match reply.map(tonic::Response::into_inner) {
            Ok(reply) => Ok(Session {
                token: reply.token,
                token_type: "Bearer".to_owned(),
                user_id: reply.user_id,
                expires_in_s: reply.expires_in_s,
            }),
            Err(status) if status.code() == Code::Unauthenticated => {
                Err(Error::new(Kind::Unauthenticated, said(&status)).typed("wrong-credentials"))
            }
            Err(status) if status.code() == Code::ResourceExhausted => {
                Err(Error::new(Kind::Exhausted, said(&status)).typed("too-many-failures"))
            }
            Err(status) => Err(Error::upstream("auth", status)),
        }
    }

    /// The user whose token it is; [`FrontError::SignIn`] with auth's own words where it does not hold.
    pub(crate) async fn verify(&self, token: &str) -> Result<String, FrontError> {
        let ask = async |_| {
            let mut auth = self.auth.clone();
            match auth.verify(VerifyRequest { token: token.to_owned() }).await {
                Ok(reply) => Ok(Ok(reply.into_inner().user_id)),
                Err(status) if status.code() == Code::Unauthenticated => Ok(Err(said(&status))),
                Err(status) => Err(Error::upstream("auth", status)),
            }
        };
        let verified = timed(ASK, chassis::retry(ask)).await.and_then(|asked| asked);
        match verified.map_err(FrontError::Neighbour)? {
            Ok(user_id) => Ok(user_id),
            Err(detail) => Err(FrontError::SignIn { slug: slug(&detail), detail }),
        }
    }

    /// Whether the cart can be cooked now; the reason when it cannot.
    pub(crate) async fn available(&self, cart: &StoredCart) -> Result<Option<String>, Error> {
        let items: Vec<_> = cart.cart.items.iter().map(|i| format!("{}:{}", i.sku, i.quantity)).collect();
        let path = format!(
            "/restaurants/{}/availability?items={}",
            utf8_percent_encode(&cart.cart.restaurant_id, NON_ALPHANUMERIC),
            utf8_percent_encode(&items.join(","), NON_ALPHANUMERIC),
        );
        let ask = async |attempt| {
            let call =
                self.availability.get("/restaurants/{id}/availability").path(path.clone()).attempt(attempt);
            let reply = call.send().await?;
            if reply.status == StatusCode::NOT_FOUND {
                return Ok(Some("unknown_dish".to_owned()));
            }
            let answer: Availability = reply.ok()?.json()?;
            Ok((!answer.available).then(|| answer.reason.unwrap_or_else(|| "out_of_stock".to_owned())))
        };
        timed(ASK, chassis::retry(ask)).await?
    }

    /// Charges the order, or finds out how its charge went: the order's id is the key, so asking twice is asking once.
    /// `None` while the card network has not answered.
    pub(crate) async fn pay(&self, entry: &Entry, cart: &StoredCart) -> Result<Option<Paid>, Error> {
        let body = PaymentRequest {
            order_id: entry.order_id.clone(),
            amount_minor: cart.cart.amount_minor,
            currency: cart.cart.currency.clone(),
            card_token: entry.card_token.clone(),
        };
        let call = self.payments.post("/payments").idempotency_key(&entry.order_id).json(&body).within(PAY);
        let reply = deadline::fresh(PAY, call.send()).await.map_err(|_| late("payment-gateway"))??;
        if reply.status == StatusCode::PAYMENT_REQUIRED {
            let problem: serde_json::Value = reply.json().unwrap_or_default();
            let code = problem.get("decline_code").and_then(|c| c.as_str()).unwrap_or("declined");
            return Ok(Some(Paid::Declined { code: code.to_owned() }));
        }
        let payment: Payment = reply.ok()?.json()?;
        Ok(match payment.status {
            PaymentStatus::Pending => None,
            PaymentStatus::Declined => Some(Paid::Declined { code: "declined".to_owned() }),
            // Refunded by hand, say: restaurant-orders finds that out when it asks for the refund.
            PaymentStatus::Charged | PaymentStatus::Refunding | PaymentStatus::Refunded => {
                Some(Paid::Charged(payment))
            }
        })
    }

    /// Whether payment-gateway has ever heard of the order.
    pub(crate) async fn was_asked_to_pay(&self, order_id: &str) -> Result<bool, Error> {
        let path = format!("/payments?order_id={}", utf8_percent_encode(order_id, NON_ALPHANUMERIC));
        let reply = timed(ASK, self.payments.get("/payments").path(path).send()).await??;
        if reply.status == StatusCode::NOT_FOUND { Ok(false) } else { reply.ok().map(|_| true) }
    }

    /// Hands the paid order to its owner; returns the owner's state and reason.
    pub(crate) async fn place(
        &self,
        entry: &Entry,
        cart: &StoredCart,
        payment: &Payment,
        refund_only: bool,
    ) -> Result<(String, String), Error> {
        let item = |i: &crate::bodies::PricedLine| Item {
            sku: i.sku.clone(),
            name: i.name.clone(),
            quantity: i.quantity,
            price_minor: i.price_minor,
        };
        let request = PlaceRequest {
            order_id: entry.order_id.clone(),
            customer_id: entry.customer_id.clone(),
            restaurant_id: cart.cart.restaurant_id.clone(),
            zone: cart.zone.clone(),
            amount_minor: cart.cart.amount_minor,
            currency: cart.cart.currency.clone(),
            items: cart.cart.items.iter().map(item).collect(),
            payment_id: payment.payment_id.clone(),
            payment_reference: payment.reference.clone(),
            refund_only,
        };
        let mut orders = self.orders.clone();
        let reply = timed(PLACE, orders.place(request)).await?;
        let reply = reply.map_err(|status| Error::upstream("restaurant-orders", status))?.into_inner();
        Ok((reply.state, reply.reason))
    }

    /// The order as its owner records it; `None` when the owner does not know it.
    pub(crate) async fn look(&self, order_id: &str) -> Result<Option<GetReply>, Error> {
        let mut orders = self.orders.clone();
        match timed(ASK, orders.get(GetRequest { order_id: order_id.to_owned() })).await? {
            Ok(reply) => Ok(Some(reply.into_inner())),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(Error::upstream("restaurant-orders", status)),
        }
    }
}

/// A call with a deadline of its own, within that of the request where there is one.
async fn timed<F: Future>(limit: Duration, call: F) -> Result<F::Output, Error> {
    deadline::within(limit, call)
        .await
        .map_err(|_| Error::new(Kind::Timeout, "a part of ours did not answer in time"))
}

fn late(peer: &str) -> Error {
    Error::upstream_kind(peer, Kind::Timeout)
}

fn said(status: &Status) -> String {
    status.message().to_owned()
}

/// The problem type for auth's word on a token.
fn slug(detail: &str) -> &'static str {
    match detail {
        d if d.contains("expired") => "token-expired",
        d if d.contains("signed") => "token-forged",
        _ => "token-malformed",
    }
}

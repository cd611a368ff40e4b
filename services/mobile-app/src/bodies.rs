//! The JSON bodies of the front door, as `/openapi.json` describes them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A new account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    /// 3 to 64 letters, digits, blanks or ._-@+
    #[schema(example = "ada", min_length = 3, max_length = 64)]
    pub(crate) name: String,
    /// 8 to 128 characters.
    #[schema(example = "correct horse", min_length = 8, max_length = 128, format = Password)]
    pub(crate) password: String,
}

/// An account that was made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Account {
    /// Opaque id.
    #[schema(example = "u-6f1c0a3e5b7d4c2f8a9e0d1b2c3f4a5b")]
    pub(crate) user_id: String,
}

/// A signed-in customer.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Session {
    /// Send it as `Authorization: Bearer <token>`.
    pub(crate) token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    pub(crate) token_type: String,
    /// Opaque id.
    pub(crate) user_id: String,
    /// Seconds until the token expires.
    #[schema(example = 3600)]
    pub(crate) expires_in_s: i64,
}

/// Where one can order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Restaurants {
    /// ISO 4217 code of every price.
    #[schema(example = "USD")]
    pub(crate) currency: String,
    /// All of them.
    pub(crate) restaurants: Vec<Restaurant>,
}

/// A restaurant and its menu.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Restaurant {
    #[schema(example = "bella-napoli")]
    pub(crate) id: String,
    #[schema(example = "Bella Napoli")]
    pub(crate) name: String,
    /// Delivery zone.
    #[schema(example = "old-harbour")]
    pub(crate) zone: String,
    /// Opening hour, UTC.
    pub(crate) opens_h: u8,
    /// Closing hour, UTC; 0 to 24 never closes, the same hour twice never opens.
    pub(crate) closes_h: u8,
    pub(crate) dishes: Vec<Dish>,
}

/// A dish.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Dish {
    #[schema(example = "bella-napoli/margherita")]
    pub(crate) sku: String,
    #[schema(example = "Pizza Margherita")]
    pub(crate) name: String,
    /// Minor units: 1250 is $12.50.
    #[schema(example = 1250)]
    pub(crate) price_minor: i64,
}

/// What goes into a new cart.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CartRequest {
    /// From `GET /restaurants`.
    #[schema(example = "bella-napoli")]
    pub(crate) restaurant_id: String,
    /// 1 to 20 lines.
    #[schema(min_items = 1, max_items = 20)]
    pub(crate) items: Vec<Line>,
}

/// So much of a dish.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    #[schema(example = "bella-napoli/margherita")]
    pub(crate) sku: String,
    /// 1 to 50.
    #[schema(example = 2, minimum = 1, maximum = 50)]
    pub(crate) quantity: i32,
}

/// A line with its name and price.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct PricedLine {
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) quantity: i32,
    /// Price of one, in minor units.
    pub(crate) price_minor: i64,
}

/// A cart. Its order's id is known already; the order's trace has begun.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct Cart {
    #[schema(example = "M3QX-70RT-9ZAB")]
    pub(crate) cart_id: String,
    /// The id that the order will have.
    #[schema(example = "7F3K-9QZD-XM42")]
    pub(crate) order_id: String,
    pub(crate) restaurant_id: String,
    pub(crate) items: Vec<PricedLine>,
    /// To pay, in minor units.
    #[schema(example = 2500)]
    pub(crate) amount_minor: i64,
    /// ISO 4217.
    #[schema(example = "USD")]
    pub(crate) currency: String,
    /// The trace that the order will continue; empty without tracing.
    #[schema(example = "0af7651916cd43dd8448eb211c80319c")]
    pub(crate) trace_id: String,
}

/// Orders a cart.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrderRequest {
    /// From `POST /carts`; however it is typed.
    #[schema(example = "M3QX-70RT-9ZAB")]
    pub(crate) cart_id: String,
    /// The card network's token, such as `tok_visa`; never a card number.
    #[schema(example = "tok_visa", max_length = 64)]
    pub(crate) card_token: String,
}

/// An order as it stands.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct Order {
    #[schema(example = "7F3K-9QZD-XM42")]
    pub(crate) order_id: String,
    pub(crate) state: State,
    /// Why it stands so, where there is a why: `courier_timeout`, `out-of-stock`…
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub(crate) reason: String,
    pub(crate) restaurant_id: String,
    pub(crate) items: Vec<PricedLine>,
    /// Minor units.
    pub(crate) amount_minor: i64,
    /// ISO 4217.
    pub(crate) currency: String,
    /// What the customer finds on the statement; empty before the payment.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    #[schema(example = "WB-7F3K-9QZD-XM42")]
    pub(crate) payment_reference: String,
    /// The order's own trace, not that of this request.
    pub(crate) trace_id: String,
    pub(crate) links: Links,
}

/// Where to go from here.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct Links {
    /// The order.
    #[serde(rename = "self")]
    #[schema(example = "/orders/7F3K-9QZD-XM42")]
    pub(crate) this: String,
    /// Its changes as they happen.
    #[schema(example = "/orders/7F3K-9QZD-XM42/events")]
    pub(crate) events: String,
    /// Its waterfall in Jaeger.
    #[schema(example = "http://127.0.0.1:16686/trace/0af7651916cd43dd8448eb211c80319c")]
    pub(crate) trace: String,
}

/// How far an order is. `delivered`, `refunded`, `declined` and `failed` are ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Being checked; nothing has been asked for.
    Placing,
    /// The card network has been asked.
    Paying,
    /// Paid, and with the restaurant.
    Placed,
    /// The restaurant cooks, a courier is looked for.
    Accepted,
    /// The courier rides.
    Tracking,
    /// The food is there.
    Delivered,
    /// It cannot be served; the money is on its way back.
    Failing,
    /// The money is back.
    Refunded,
    /// The card was declined; nothing was charged.
    Declined,
    /// It could not be placed; nothing was charged.
    Failed,
}

/// A change of an order: the data of a server-sent event `state`. The event's id is `seq`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct OrderEvent {
    pub(crate) order_id: String,
    /// From 1.
    pub(crate) seq: i64,
    pub(crate) state: State,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub(crate) reason: String,
    /// When it was noticed: milliseconds since the Unix epoch.
    pub(crate) at_ms: i64,
}

/// A failure: a problem document (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// What happened, for programs.
    #[serde(rename = "type")]
    #[schema(example = "urn:waybill:problem:declined")]
    pub(crate) kind: String,
    /// The same for every problem of the kind.
    #[schema(example = "Payment declined")]
    pub(crate) title: String,
    #[schema(example = 402)]
    pub(crate) status: u16,
    /// What happened, for people.
    pub(crate) detail: String,
    /// The path that was asked.
    #[schema(example = "/orders")]
    pub(crate) instance: String,
    /// The trace that shows why.
    pub(crate) trace_id: Option<String>,
    /// The order it is about, where there is one.
    pub(crate) order_id: Option<String>,
}

// === impl State ===

impl State {
    /// Nothing comes after it.
    pub(crate) fn is_end(self) -> bool {
        matches!(self, Self::Delivered | Self::Refunded | Self::Declined | Self::Failed)
    }

    /// The word used in JSON and in the database.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Placing => "placing",
            Self::Paying => "paying",
            Self::Placed => "placed",
            Self::Accepted => "accepted",
            Self::Tracking => "tracking",
            Self::Delivered => "delivered",
            Self::Failing => "failing",
            Self::Refunded => "refunded",
            Self::Declined => "declined",
            Self::Failed => "failed",
        }
    }

    /// A word of ours or of restaurant-orders; `received` and words that are not known yet are `placed`.
    pub(crate) fn of(word: &str) -> Self {
        match word {
            "placing" => Self::Placing,
            "paying" => Self::Paying,
            "accepted" => Self::Accepted,
            "tracking" => Self::Tracking,
            "delivered" => Self::Delivered,
            "failing" | "rejected" => Self::Failing,
            "refunded" => Self::Refunded,
            "declined" => Self::Declined,
            "failed" => Self::Failed,
            _ => Self::Placed,
        }
    }
}

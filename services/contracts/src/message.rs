//! The bodies of the four messages: CloudEvents data, JSON. The event's type is the message's name.

use serde::{Deserialize, Serialize};

/// restaurant-orders → delivery-assignment: the restaurant cooks, find a courier.
pub const ORDER_ACCEPTED: &str = "order.accepted";
/// delivery-assignment → restaurant-orders, notification: nobody rides.
pub const ORDER_FAILED: &str = "order.failed";
/// tracking → notification, restaurant-orders: the ride has begun.
pub const TRACKING_STARTED: &str = "tracking.started";
/// tracking → notification, restaurant-orders: the food is there.
pub const ORDER_DELIVERED: &str = "order.delivered";

/// Body of [`ORDER_ACCEPTED`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderAccepted {
    /// Public order id.
    pub order_id: String,
    /// Opaque customer id.
    pub customer_id: String,
    /// Catalogue id of the restaurant.
    pub restaurant_id: String,
    /// Delivery zone.
    pub zone: String,
    /// Minor units of `currency`.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
}

/// Body of [`ORDER_FAILED`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderFailed {
    /// Public order id.
    pub order_id: String,
    /// Opaque customer id.
    pub customer_id: String,
    /// Low-cardinality reason, such as `courier_timeout` or `no_courier`.
    pub reason: String,
    /// Minor units of `currency`.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
}

/// Body of [`TRACKING_STARTED`] and [`ORDER_DELIVERED`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ride {
    /// Public order id.
    pub order_id: String,
    /// Opaque customer id.
    pub customer_id: String,
    /// Ride id of tracking.
    pub ride_id: String,
    /// The fleet's courier id.
    pub courier_id: String,
}

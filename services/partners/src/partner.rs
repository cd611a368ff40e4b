//! The four third parties by name.

use std::{fmt, str::FromStr};

/// A third party of this stand-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Partner {
    /// Charges and refunds cards.
    CardNetwork,
    /// The tills in the restaurants.
    RestaurantPos,
    /// Couriers by zone.
    CourierFleet,
    /// Tells customers.
    PushProvider,
}

impl Partner {
    /// All of them.
    pub const ALL: [Partner; 4] =
        [Self::CardNetwork, Self::RestaurantPos, Self::CourierFleet, Self::PushProvider];

    /// Path prefix and name in schedules and logs, such as `card-network`.
    pub fn name(self) -> &'static str {
        match self {
            Self::CardNetwork => "card-network",
            Self::RestaurantPos => "restaurant-pos",
            Self::CourierFleet => "courier-fleet",
            Self::PushProvider => "push-provider",
        }
    }

    /// The request's fields that a schedule's `match` may name.
    pub fn fields(self) -> &'static [&'static str] {
        match self {
            Self::CardNetwork => &["reference", "amount_minor", "currency", "card_token", "idempotency_key"],
            Self::RestaurantPos => &["order_id", "restaurant_id"],
            Self::CourierFleet => &["order_id", "zone"],
            Self::PushProvider => &["order_id", "customer_id", "title"],
        }
    }

    /// The only header in which this third party looks for a trace id. The courier fleet never heard of W3C.
    pub(crate) fn trace_header(self) -> &'static str {
        if self == Self::CourierFleet { "x-trace-id" } else { "traceparent" }
    }
}

impl fmt::Display for Partner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Partner {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|p| p.name() == s).ok_or_else(|| {
            format!("`{s}` is no partner: use one of {}", Self::ALL.map(Partner::name).join(", "))
        })
    }
}

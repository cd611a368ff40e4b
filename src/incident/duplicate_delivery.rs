//! Two of everything, and still one order.

use super::{
    Incident,
    proxy::{Carries, Change, Line},
    stage::{Draw, Stage},
};

/// See [`Incident::tells`].
pub(super) struct DuplicateDelivery;

impl Incident for DuplicateDelivery {
    fn name(&self) -> &'static str {
        "duplicate-delivery"
    }

    fn tells(&self) -> &'static str {
        "Every message arrives twice, while the courier fleet answers nobody in one part of the town."
    }

    fn resilient(&self) -> bool {
        false
    }

    fn stage(&self, draw: &mut Draw) -> anyhow::Result<Stage> {
        Ok(Stage { wires: WIRES.to_vec(), ..Stage::bad_night(draw) })
    }
}

const WIRES: [Line; 3] = [
    twice(
        "restaurant-orders → delivery-assignment",
        "restaurant-orders",
        "DELIVERY_ASSIGNMENT_URL",
        "delivery-assignment",
    ),
    twice("tracking → notification", "tracking", "NOTIFICATION_URL", "notification"),
    twice("tracking → restaurant-orders", "tracking", "RESTAURANT_ORDERS_URL", "restaurant-orders"),
];

const fn twice(name: &'static str, from: &'static str, key: &'static str, to: &'static str) -> Line {
    Line { name, from, key, to, carries: Carries::Requests(Change::Twice) }
}

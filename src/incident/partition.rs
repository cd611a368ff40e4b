//! A network that is cut between two services.

use super::{
    Incident,
    act::{Act, Deed},
    proxy::{Carries, Line, Mode},
    stage::{Draw, Stage},
};

/// See [`Incident::tells`].
pub(super) struct Partition;

impl Incident for Partition {
    fn name(&self) -> &'static str {
        "partition"
    }

    fn tells(&self) -> &'static str {
        "Two services cannot reach each other for a while, and from then on two others for good."
    }

    fn stage(&self, draw: &mut Draw) -> anyhow::Result<Stage> {
        let wires = draw.some(&WIRES, 2);
        let (brief, lasting) = (&wires[0], &wires[1]);
        let way = [Mode::Cut, Mode::Silent];
        let acts = vec![
            Act::at(draw.second(8, 14), Deed::Turn(brief.name, draw.one(&way))),
            Act::at(draw.second(22, 28), Deed::Turn(brief.name, Mode::Open)),
            Act::at(draw.second(34, 40), Deed::Turn(lasting.name, draw.one(&way))),
        ];
        Ok(Stage { acts, wires, ..Stage::default() })
    }
}

/// Wires that may be cut.
const WIRES: [Line; 4] = [
    wire("mobile-app → restaurant-orders", "mobile-app", "RESTAURANT_ORDERS_URL", "restaurant-orders"),
    wire(
        "restaurant-orders → delivery-assignment",
        "restaurant-orders",
        "DELIVERY_ASSIGNMENT_URL",
        "delivery-assignment",
    ),
    wire("delivery-assignment → tracking", "delivery-assignment", "TRACKING_URL", "tracking"),
    wire("tracking → notification", "tracking", "NOTIFICATION_URL", "notification"),
];

const fn wire(name: &'static str, from: &'static str, key: &'static str, to: &'static str) -> Line {
    Line { name, from, key, to, carries: Carries::Bytes }
}

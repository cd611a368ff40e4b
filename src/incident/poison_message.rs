//! Messages that can never be worked on.

use super::{
    Incident,
    proxy::{Carries, Change, Line, Poison},
    stage::{Draw, Stage},
};

/// See [`Incident::tells`].
pub(super) struct PoisonMessage;

impl Incident for PoisonMessage {
    fn name(&self) -> &'static str {
        "poison-message"
    }

    fn tells(&self) -> &'static str {
        "Messages for one part of the town are damaged on their way to delivery-assignment."
    }

    fn stage(&self, draw: &mut Draw) -> anyhow::Result<Stage> {
        let how = draw.one(&[Poison::Cut, Poison::Blank("customer_id")]);
        let zone = draw.zones(1).remove(0);
        let carries = Carries::Requests(Change::Poison { sign: format!("\"{zone}\""), how });
        let wire = Line {
            name: "restaurant-orders → delivery-assignment",
            from: "restaurant-orders",
            key: "DELIVERY_ASSIGNMENT_URL",
            to: "delivery-assignment",
            carries,
        };
        Ok(Stage { wires: vec![wire], ..Stage::default() })
    }
}

//! Processes that die, and one that is there and does nothing.

use super::{
    Incident,
    act::{Act, Deed},
    stage::{Draw, Stage},
};

/// See [`Incident::tells`].
pub(super) struct ProcessKilled;

impl Incident for ProcessKilled {
    fn name(&self) -> &'static str {
        "process-killed"
    }

    fn tells(&self) -> &'static str {
        "One service is killed twice and comes back; another is frozen between two steps and stays away."
    }

    fn stage(&self, draw: &mut Draw) -> anyhow::Result<Stage> {
        let victims =
            ["payment-gateway", "restaurant-orders", "delivery-assignment", "tracking", "notification"];
        let victims = draw.some(&victims, 2);
        let acts = vec![
            Act::at(draw.second(10, 20), Deed::Kill(victims[0])),
            Act::at(draw.second(22, 32), Deed::Kill(victims[0])),
            Act::at(draw.second(38, 48), Deed::Freeze(victims[1])),
        ];
        Ok(Stage { acts, ..Stage::default() })
    }
}

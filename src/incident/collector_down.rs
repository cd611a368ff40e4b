//! Nothing comes in for a while, and some of it never will.

use super::{
    Incident,
    act::{Act, Deed},
    stage::{Draw, Stage},
};

/// See [`Incident::tells`].
pub(super) struct CollectorDown;

impl Incident for CollectorDown {
    fn name(&self) -> &'static str {
        "collector-down"
    }

    fn tells(&self) -> &'static str {
        "The collector hangs for half of the rush, and a service that waits to send is killed meanwhile; some orders are lost, too."
    }

    fn resilient(&self) -> bool {
        false
    }

    fn stage(&self, draw: &mut Draw) -> anyhow::Result<Stage> {
        let part = draw.one(&["restaurant-orders", "delivery-assignment", "tracking", "notification"]);
        let acts = vec![
            Act::at(draw.second(10, 16), Deed::Freeze("collector")),
            Act::at(draw.second(25, 38), Deed::Kill(part)),
            Act::at(draw.second(42, 50), Deed::Thaw("collector")),
        ];
        Ok(Stage { acts, ..Stage::bad_night(draw) })
    }
}

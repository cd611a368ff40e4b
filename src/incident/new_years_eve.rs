//! The tale itself: at the peak the courier fleet takes requests and answers none in time.

use super::{
    Incident,
    stage::{Conduct, Draw, Rule, Stage},
};

/// See [`Incident::tells`].
pub(super) struct NewYearsEve;

impl Incident for NewYearsEve {
    fn name(&self) -> &'static str {
        "new-years-eve"
    }

    fn tells(&self) -> &'static str {
        "The courier fleet saturates at the peak: most requests hang until the 45 s are over, and the order is dropped."
    }

    fn orders(&self) -> u32 {
        40
    }

    fn resilient(&self) -> bool {
        false
    }

    fn stage(&self, draw: &mut Draw) -> anyhow::Result<Stage> {
        let mut stage = Stage::default();
        // All zones but two have no courier left between the quarter hours before and after midnight, so to speak.
        for zone in draw.zones(3) {
            let rule = Rule::new("courier-fleet", Conduct::Plain("hang")).on("zone", zone);
            stage.rules.push(rule.between(15, 75));
        }
        Ok(stage)
    }
}

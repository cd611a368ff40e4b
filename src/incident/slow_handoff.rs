//! A backlog: orders that wait in a queue look lost, and are not.

use std::time::Duration;

use super::{
    Incident,
    stage::{Conduct, Draw, Rule, Stage},
};

/// See [`Incident::tells`].
pub(super) struct SlowHandoff;

impl Incident for SlowHandoff {
    fn name(&self) -> &'static str {
        "slow-handoff"
    }

    fn tells(&self) -> &'static str {
        "Delivery-assignment works on one message at a time and the fleet takes its time: a queue grows, and every order arrives late."
    }

    fn stage(&self, draw: &mut Draw) -> anyhow::Result<Stage> {
        let most = draw.second(3, 5);
        let late = Conduct::Late(Duration::from_secs(2), Duration::from_secs(most));
        let stage = Stage { rules: vec![Rule::new("courier-fleet", late)], ..Stage::default() };
        Ok(stage.set("delivery-assignment", "WAYBILL_MESSAGES_AT_ONCE", "1"))
    }
}

//! Nobody can be told any more.

use super::{
    Incident,
    stage::{Conduct, Draw, Rule, Stage},
};

/// See [`Incident::tells`].
pub(super) struct PushProviderDown;

impl Incident for PushProviderDown {
    fn name(&self) -> &'static str {
        "push-provider-down"
    }

    fn tells(&self) -> &'static str {
        "The push provider goes down half-way and stays down: the food comes, the customer hears nothing."
    }

    fn stage(&self, draw: &mut Draw) -> anyhow::Result<Stage> {
        let how = draw.one(&["error=503", "hang"]);
        let rule = Rule::new("push-provider", Conduct::Plain(how)).from(draw.second(20, 40));
        Ok(Stage { rules: vec![rule], ..Stage::default() })
    }
}

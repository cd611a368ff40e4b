//! Paid, and then the restaurant does not cook: the money goes back.

use std::time::Duration;

use super::{
    Incident,
    stage::{Conduct, Draw, Rule, Stage},
};

/// See [`Incident::tells`].
pub(super) struct RestaurantRejects;

impl Incident for RestaurantRejects {
    fn name(&self) -> &'static str {
        "restaurant-rejects-late"
    }

    fn tells(&self) -> &'static str {
        "Restaurants say no, or nothing in time, when the order is paid already."
    }

    fn stage(&self, draw: &mut Draw) -> anyhow::Result<Stage> {
        let late = Conduct::Late(Duration::from_secs(4), Duration::from_secs(9));
        let conduct = [Conduct::Plain("refuse"), late, Conduct::Plain("error=503")];
        let rules = draw.restaurants(conduct.len()).into_iter().zip(conduct);
        let rules = rules.map(|(id, does)| Rule::new("restaurant-pos", does).on("restaurant_id", id));
        Ok(Stage { rules: rules.collect(), ..Stage::default() })
    }
}

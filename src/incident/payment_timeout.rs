//! Charged, and no word of it: the payment is open, the money is gone.

use super::{
    Incident,
    stage::{Conduct, Draw, Rule, Stage},
};

/// See [`Incident::tells`].
pub(super) struct PaymentTimeout;

impl Incident for PaymentTimeout {
    fn name(&self) -> &'static str {
        "payment-timeout-after-charge"
    }

    fn tells(&self) -> &'static str {
        "The card network takes the money and does not answer: for some cards for a while, for others for good."
    }

    fn stage(&self, draw: &mut Draw) -> anyhow::Result<Stage> {
        let until = draw.second(55, 80);
        let withhold =
            |card: &str| Rule::new("card-network", Conduct::Plain("withhold")).on("card_token", card);
        let rules = vec![withhold("tok_amex").between(0, until), withhold("tok_mastercard")];
        Ok(Stage { rules, cards: vec![("tok_amex", 25), ("tok_mastercard", 15)], ..Stage::default() })
    }
}

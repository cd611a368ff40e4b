//! An order as its customer sees it: our own book, and restaurant-orders' word from the hand-over on.

use crate::{
    bodies::{Links, Order},
    book::Entry,
    carts::StoredCart,
    error::FrontError,
    front::Front,
};

// === impl Front ===

impl Front {
    /// The order `order_id` of `customer`.
    pub(crate) async fn order_of(&self, order_id: &str, customer: &str) -> Result<Entry, FrontError> {
        let order_id = contracts::code::parse(order_id, crate::carts::GROUPS).ok_or(FrontError::NoOrder)?;
        let entry = self.placing.book.find(&order_id).await?;
        if entry.customer_id == customer { Ok(entry) } else { Err(FrontError::NotYours) }
    }

    /// The order with what its owner says of it now. An owner who does not answer leaves it as it was last known.
    pub(crate) async fn refreshed(&self, mut entry: Entry) -> Result<Entry, FrontError> {
        if entry.stage != "placed" || entry.state().is_end() {
            return Ok(entry);
        }
        match self.placing.neighbours.look(&entry.order_id).await {
            Ok(Some(now)) => {
                if now.state != entry.remote_state {
                    self.placing.book.heard(&entry.order_id, &now.state, &now.reason).await?;
                    entry.remote_state = now.state;
                    entry.reason = now.reason;
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(
                    order.id = entry.order_id,
                    causes = error.causes(),
                    "shown as last known: {error}"
                );
            }
        }
        Ok(entry)
    }

    /// The order's public face.
    pub(crate) fn order(&self, entry: &Entry, cart: &StoredCart) -> Order {
        let id = &entry.order_id;
        let trace_id = cart.context.trace_id().unwrap_or_default();
        Order {
            order_id: id.clone(),
            state: entry.state(),
            reason: entry.reason.clone(),
            restaurant_id: cart.cart.restaurant_id.clone(),
            items: cart.cart.items.clone(),
            amount_minor: cart.cart.amount_minor,
            currency: cart.cart.currency.clone(),
            payment_reference: entry.payment_reference.clone(),
            links: Links {
                this: format!("/orders/{id}"),
                events: format!("/orders/{id}/events"),
                trace: if trace_id.is_empty() {
                    String::new()
                } else {
                    format!("{}/trace/{trace_id}", self.jaeger)
                },
            },
            trace_id,
        }
    }
}

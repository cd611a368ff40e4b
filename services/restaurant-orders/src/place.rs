//! `Place`: checks the request, takes the order over, waits for the restaurant's answer.

use chassis::{Carried, due::now_ms};
use contracts::{
    keys,
    orders_v1::{PlaceReply, PlaceRequest},
};
use telemetry::context::{self, Attribute};

use crate::{
    OrdersError, SERVICE,
    book::{Item, Order},
    keeper::Keeper,
    order::State,
};

/// The step's own deadline, as the route has it.
const STEP_DEADLINE_MS: i64 = 10_000;
/// No id, name or code is longer.
const LONGEST: usize = 128;
/// No order has more lines.
const MOST_ITEMS: usize = 50;

/// The request as an order, or why it is none.
pub(crate) fn read(request: PlaceRequest) -> Result<Order, OrdersError> {
    let texts =
        [&request.order_id, &request.customer_id, &request.restaurant_id, &request.zone, &request.payment_id];
    if texts.iter().any(|t| t.is_empty() || t.len() > LONGEST) || request.payment_reference.len() > LONGEST {
        return Err(OrdersError::Invalid("ids must have 1 to 128 characters"));
    }
    if request.amount_minor <= 0 {
        return Err(OrdersError::Invalid("amount_minor must be above zero"));
    }
    if request.currency.len() != 3 || !request.currency.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(OrdersError::Invalid("currency must be an ISO 4217 code, such as USD"));
    }
    if request.items.is_empty() || request.items.len() > MOST_ITEMS {
        return Err(OrdersError::Invalid("an order has 1 to 50 items"));
    }
    if request
        .items
        .iter()
        .any(|i| i.quantity < 1 || i.sku.is_empty() || i.sku.len() > LONGEST || i.name.len() > LONGEST)
    {
        return Err(OrdersError::Invalid("an item has a sku and a quantity above zero"));
    }
    let items =
        request.items.into_iter().map(|i| Item { sku: i.sku, name: i.name, quantity: i.quantity }).collect();
    let (state, reason) =
        if request.refund_only { (State::Failing, "too_late") } else { (State::Received, "") };
    Ok(Order {
        context: Carried::now(&request.order_id),
        order_id: request.order_id,
        customer_id: request.customer_id,
        restaurant_id: request.restaurant_id,
        zone: request.zone,
        amount_minor: request.amount_minor,
        currency: request.currency,
        items,
        payment_id: request.payment_id,
        payment_reference: request.payment_reference,
        state,
        reason: reason.to_owned(),
        attempts: 0,
        updated_unix_ms: now_ms(),
    })
}

/// The order on the server's span, and the step's receipt.
pub(crate) fn describe(order: &Order) {
    if context::baggage(keys::ORDER_ID).as_deref() != Some(&order.order_id) {
        context::set_attribute(keys::ORDER_ID, order.order_id.clone());
    }
    context::set_attribute(keys::ORDER_STEP, SERVICE.name);
    context::set_attribute(keys::RESTAURANT_ID, order.restaurant_id.clone());
    context::set_attribute(keys::ORDER_AMOUNT, order.amount_minor);
    context::set_attribute(keys::ORDER_CURRENCY, order.currency.clone());
    context::set_attribute(keys::PAYMENT_REFERENCE, order.payment_reference.clone());
}

/// Takes the order over and waits until the restaurant has said yes or no. A caller that goes away meanwhile changes
/// nothing: the keeper carries on, and the same call again gets the answer.
pub(crate) async fn place(keeper: &Keeper, order: Order) -> Result<PlaceReply, OrdersError> {
    context::accept(
        SERVICE.name,
        vec![
            Attribute::new(keys::ORDER_STEP, SERVICE.name),
            Attribute::new(keys::ORDER_STEP_DEADLINE_MS, STEP_DEADLINE_MS),
        ],
    );
    let order = keeper.book.take(&order).await?;
    let order = keeper.decision(&order.order_id).await?;
    Ok(match order.state {
        State::Received | State::Accepted | State::Tracking | State::Delivered => {
            PlaceReply { state: "accepted".to_owned(), reason: String::new() }
        }
        State::Failing | State::Refunded => PlaceReply { state: "rejected".to_owned(), reason: order.reason },
    })
}

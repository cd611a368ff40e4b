//! The keeper sees to it that every order moves on: it asks the restaurant's till, and asks for refunds until they are made.
//!
//! It works from the table alone, so a kill, a hung till or a gateway that is down delay an order and never lose it.

use std::{sync::Arc, time::Duration};

use chassis::{Errand, Errands, Error, Http, Kind, deadline, retry};
use contracts::{
    http::{Payment, PaymentStatus, RefundRequest},
    keys,
};
use http::Method;
use serde::Deserialize;
use serde_json::json;
use telemetry::context;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::{
    OrdersError,
    book::{Book, Order},
    order::{State, Step},
};

/// Whatever it needs.
#[derive(Debug, Clone)]
pub(crate) struct Keeper {
    pub(crate) book: Book,
    pub(crate) errands: Errands,
    till: Http,
    gateway: Http,
    /// How long the restaurant may think about it, all tries together, and one try.
    till_deadline: Duration,
    till_timeout: Duration,
    /// Ids of orders whose state has just changed.
    moved: broadcast::Sender<Arc<str>>,
}

/// Pause between two looks at an order that nobody in this process has news of.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

#[derive(Debug, Deserialize)]
struct Ticket {
    ticket_id: String,
    accepted: bool,
    #[serde(default)]
    reason: Option<String>,
}

// === impl Keeper ===

impl Keeper {
    pub(crate) fn new(
        book: Book,
        till: Http,
        gateway: Http,
        till_deadline: Duration,
        till_timeout: Duration,
        errands: Errands,
    ) -> Self {
        Self { book, errands, till, gateway, till_deadline, till_timeout, moved: broadcast::channel(1024).0 }
    }

    pub(crate) async fn run(self, stop: CancellationToken) {
        let errands = self.errands.clone();
        let load = |rows| {
            let keeper = self.clone();
            async move {
                let due = keeper.book.due(rows).await?;
                Ok(due.into_iter().map(|order| keeper.clone().errand(order)).collect())
            }
        };
        errands.run(stop, load).await;
    }

    /// Waits until the order has left `received`.
    pub(crate) async fn decision(&self, order_id: &str) -> Result<Order, OrdersError> {
        let mut moved = self.moved.subscribe();
        self.errands.ring();
        loop {
            let order = self.book.get(order_id).await?.ok_or(OrdersError::Unknown)?;
            if order.state != State::Received {
                return Ok(order);
            }
            // A receiver that fell behind looks at the table again, as one that was told does, and as one does whose order
            // another process of this service may have taken up.
            let told = async {
                while let Ok(id) = moved.recv().await {
                    if *id == *order_id {
                        break;
                    }
                }
            };
            drop(tokio::time::timeout(LOOK_AGAIN, told).await);
        }
    }

    fn errand(self, order: Order) -> Errand {
        let key = order.order_id.clone();
        let scope = order.context.scope();
        let work = async move {
            match order.state {
                State::Received => self.accept(&order).await,
                _ => self.refund(&order).await,
            }
            let _ = self.moved.send(order.order_id.into());
        };
        Errand { key, work: Box::pin(scope.run(work)) }
    }

    /// Asks the till. No answer by its deadline is a no: the customer waits.
    #[tracing::instrument(name = "order.accept", skip_all)]
    async fn accept(&self, order: &Order) {
        let answer = match deadline::fresh(self.till_deadline, self.ask_till(order)).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::upstream_kind("restaurant-pos", Kind::Timeout)),
        };
        let step = match answer {
            Ok(ticket) if ticket.accepted => {
                context::set_attribute(keys::PARTNER_REFERENCE, ticket.ticket_id.clone());
                self.book.step(&order.order_id, Step::Accept, "", &ticket.ticket_id).await
            }
            Ok(ticket) => {
                let reason = ticket.reason.unwrap_or_else(|| "rejected_by_restaurant".to_owned());
                context::set_attribute(keys::PARTNER_REFERENCE, ticket.ticket_id.clone());
                context::fail("rejected_by_restaurant", reason.clone());
                tracing::warn!(reason, "the restaurant rejects the order");
                self.book.step(&order.order_id, Step::Fail, &reason, &ticket.ticket_id).await
            }
            Err(e) => {
                failed(
                    "restaurant_unavailable",
                    &e,
                    "the restaurant does not answer; the order will be refunded",
                );
                self.book.step(&order.order_id, Step::Fail, "restaurant_unavailable", "").await
            }
        };
        self.errands.ring();
        if let Err(e) = step {
            self.note(order, &e.into()).await;
        }
    }

    async fn ask_till(&self, order: &Order) -> Result<Ticket, Error> {
        let body = json!({
            "order_id": order.order_id,
            "restaurant_id": order.restaurant_id,
            "items": order.items,
        });
        let ask = |attempt| {
            let call = self.till.post("/tickets").idempotency_key(&order.order_id).json(&body);
            async move { call.attempt(attempt).within(self.till_timeout).send().await?.ok()?.json() }
        };
        retry(ask).await
    }

    /// Asks for the money back. Anything but "it is back" is asked again later, for ever.
    #[tracing::instrument(name = "order.refund", skip_all)]
    async fn refund(&self, order: &Order) {
        let asked = self
            .gateway
            .call(Method::POST, "/payments/{id}/refunds")
            .path(format!("/payments/{}/refunds", order.payment_id))
            .idempotency_key(&order.order_id)
            .json(&RefundRequest { reason: order.reason.clone() })
            .attempt(u32::try_from(order.attempts).unwrap_or(u32::MAX));
        let outcome = async {
            let reply = asked.send().await?;
            if reply.status == http::StatusCode::CONFLICT {
                // Nothing was charged, so nothing is owed.
                return Ok(true);
            }
            let payment: Payment = reply.ok()?.json()?;
            context::set_attribute(keys::PAYMENT_REFERENCE, payment.reference);
            Ok(payment.status == PaymentStatus::Refunded)
        };
        let written = match outcome.await {
            Ok(true) => self.book.step(&order.order_id, Step::Refund, "", "").await.map(|_| ()),
            Ok(false) => self.book.later(order, "the refund is under way").await.map_err(OrdersError::from),
            Err(e) => {
                self.note(order, &e).await;
                Ok(())
            }
        };
        if let Err(e) = written {
            self.note(order, &e.into()).await;
        }
    }

    /// A failure: on the span, in the log, in the book; the order is tried again later.
    async fn note(&self, order: &Order, error: &Error) {
        failed(error.slug(), error, "the order does not move on; it will be tried again");
        if let Err(e) = self.book.later(order, &error.to_string()).await {
            tracing::error!(error = %e, "cannot write to the book of orders");
            // The row is still due, and the database in trouble: no hurry.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

fn failed(error_type: &'static str, error: &Error, what: &'static str) {
    context::fail(error_type, error.to_string());
    tracing::error!(error.type = error_type, causes = error.causes(), "{what}");
}

//! Placing an order: availability, payment, hand-over, in turn. Each step may be taken again, so that an order goes on
//! where a restart found it. It is ours until restaurant-orders has taken it; nothing paid is forgotten.
//!
//! | found at start, or left lying | what it means | what is done |
//! |--|--|--|
//! | `placing` | no money was asked for | goes on, or fails if its time is over |
//! | `paying` | money may have been taken | asks payment-gateway again, with the same key, until it is known; hands over |
//! | time is over, money taken | the customer cannot be served any more | handed over for a refund only |

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chassis::{Error, deadline};
use contracts::{http::Payment, keys};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    book::{Book, Entry},
    carts::{Carts, StoredCart},
    clock::now_ms,
    error::FrontError,
    neighbours::{Neighbours, Paid},
};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// An order that nobody here is placing, and that has not moved for so long, was left lying.
const LEFT: Duration = Duration::from_secs(3);

/// Everything that placing needs.
#[derive(Clone)]
pub(crate) struct Placing {
    pub(crate) book: Book,
    pub(crate) carts: Carts,
    pub(crate) neighbours: Neighbours,
    /// How long a customer is kept waiting before the order is given up.
    pub(crate) patience: Duration,
    pub(crate) stopping: CancellationToken,
    pub(crate) tasks: TaskTracker,
    /// Orders that are being placed in this process.
    pub(crate) at_work: AtWork,
}

/// The ids of orders. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct AtWork(Arc<Mutex<HashSet<String>>>);

/// One of them; not any more when dropped.
struct Placed {
    order_id: String,
    of: AtWork,
}

// === impl Placing ===

impl Placing {
    /// Places the order in the background, in the running trace: a customer who hangs up does not stop it.
    pub(crate) fn begin(&self, entry: Entry, cart: StoredCart) -> tokio::task::JoinHandle<()> {
        let at_work = self.at_work.begin(&entry.order_id);
        self.go_on(entry, cart, at_work)
    }

    fn go_on(&self, entry: Entry, cart: StoredCart, at_work: Option<Placed>) -> tokio::task::JoinHandle<()> {
        let placing = self.clone();
        let token = (self.tasks.token(), at_work);
        telemetry::context::spawn(async move {
            let _token = token;
            let order_id = entry.order_id.clone();
            // Whoever stops finds the order in the book at the next start.
            let placed = placing.stopping.clone().run_until_cancelled(placing.place(entry, cart)).await;
            if let Some(Err(error)) = placed {
                let causes = Error::from(error).causes();
                tracing::error!(
                    order.id = order_id,
                    causes,
                    "an order is left lying; it is taken up again soon"
                );
            }
        })
    }

    /// Takes up the orders that a restart interrupted, each in its own trace.
    pub(crate) async fn resume(self) -> Result<(), Error> {
        self.take_up(Duration::ZERO).await
    }

    /// Takes up those that were left lying while the process ran: what became of them could not be written down. Of several
    /// front doors on one database, one does it.
    pub(crate) async fn take_up_left(&self) {
        if !self.book.leads().await {
            return;
        }
        if let Err(error) = self.take_up(LEFT).await {
            tracing::warn!(
                causes = error.causes(),
                "orders that were left lying cannot be looked for: {error}"
            );
        }
    }

    /// Takes up orders under way that have not moved for so long and that nobody here is placing.
    async fn take_up(&self, unmoved: Duration) -> Result<(), Error> {
        for Entry { order_id, .. } in self.book.under_way(unmoved).await? {
            let Some(at_work) = self.at_work.begin(&order_id) else { continue };
            match self.look_up(&order_id).await {
                Ok(Some((entry, cart))) => self.resume_one(entry, cart, at_work),
                Ok(None) => {}
                // It holds up no other, and is looked for again.
                Err(error) => {
                    let causes = Error::from(error).causes();
                    tracing::error!(order.id = order_id, causes, "an order under way cannot be taken up");
                }
            }
        }
        Ok(())
    }

    /// The order as it is now that nobody moves it any more: it may have come to its end since it was found.
    async fn look_up(&self, order_id: &str) -> Result<Option<(Entry, StoredCart)>, FrontError> {
        let entry = self.book.find(order_id).await?;
        if !entry.is_under_way() {
            return Ok(None);
        }
        Ok(Some((entry, self.carts.of_order(order_id).await?)))
    }

    fn resume_one(&self, entry: Entry, cart: StoredCart, at_work: Placed) {
        let mut scope = telemetry::context::root().with_baggage(keys::ORDER_ID, entry.order_id.clone());
        if !entry.synthetic.is_empty() {
            scope = scope.with_baggage(keys::SYNTHETIC, entry.synthetic.clone());
        }
        let _entered = scope.with_parent(&entry.context()).enter();
        let span = tracing::info_span!("order.resume", order.stage = entry.stage);
        drop(span.in_scope(|| self.go_on(entry, cart, Some(at_work))));
    }

    async fn place(self, mut entry: Entry, cart: StoredCart) -> Result<(), FrontError> {
        if entry.stage == "placing" {
            let reason = match self.is_late(&entry) {
                true => Some("interrupted".to_owned()),
                false => self.refusal(&cart).await,
            };
            if let Some(reason) = reason {
                return self.book.advance(&entry.order_id, "failed", &reason, "").await.map(drop);
            }
            if !self.book.advance(&entry.order_id, "paying", "", "").await? {
                return Ok(());
            }
            "paying".clone_into(&mut entry.stage);
        }
        match self.money(&entry, &cart).await {
            None => self.book.advance(&entry.order_id, "failed", "interrupted", "").await.map(drop),
            Some(Paid::Declined { code }) => {
                self.book.advance(&entry.order_id, "declined", &code, "").await.map(drop)
            }
            Some(Paid::Charged(payment)) => self.hand_over(&entry, &cart, &payment).await,
        }
    }

    /// Why the restaurant cannot cook it.
    async fn refusal(&self, cart: &StoredCart) -> Option<String> {
        match self.neighbours.available(cart).await {
            Ok(reason) => reason,
            Err(error) => {
                tracing::error!(causes = error.causes(), "the restaurant's availability is unknown: {error}");
                Some("unavailable".to_owned())
            }
        }
    }

    /// Asks until it is known whether the money was taken. `None`: it was never asked for, and now it is too late to.
    async fn money(&self, entry: &Entry, cart: &StoredCart) -> Option<Paid> {
        let mut pause = FIRST_PAUSE;
        let mut asked = !self.is_late(entry);
        loop {
            let paid = match asked {
                true => self.neighbours.pay(entry, cart).await,
                false => match self.neighbours.was_asked_to_pay(&entry.order_id).await {
                    Ok(false) => return None,
                    Ok(true) => {
                        asked = true;
                        continue;
                    }
                    Err(error) => Err(error),
                },
            };
            match paid {
                Ok(Some(paid)) => return Some(paid),
                Ok(None) => {}
                Err(error) => tracing::warn!(causes = error.causes(), "the payment is open: {error}"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Hands over until it is taken; for a refund only, once the customer has waited too long.
    async fn hand_over(&self, entry: &Entry, cart: &StoredCart, payment: &Payment) -> Result<(), FrontError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let late = self.is_late(entry);
            // Its own deadline: the customer's last milliseconds must not cut what was paid for.
            let handed =
                deadline::fresh(LONGEST_PAUSE, self.neighbours.place(entry, cart, payment, late)).await;
            match handed {
                Ok(Ok((state, reason))) => {
                    return self.book.hand_over(&entry.order_id, &payment.reference, &state, &reason).await;
                }
                Ok(Err(error)) => {
                    tracing::warn!(causes = error.causes(), "the order is not handed over yet: {error}")
                }
                Err(_) => tracing::warn!("the order is not handed over yet: no answer in time"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn is_late(&self, entry: &Entry) -> bool {
        let patience = i64::try_from(self.patience.as_millis()).unwrap_or(i64::MAX);
        now_ms() - entry.claimed_ms > patience
    }
}

// === impl AtWork ===

impl AtWork {
    /// `None`: somebody here is at it.
    fn begin(&self, order_id: &str) -> Option<Placed> {
        let free = self.lock().insert(order_id.to_owned());
        free.then(|| Placed { order_id: order_id.to_owned(), of: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        self.of.lock().remove(&self.order_id);
    }
}

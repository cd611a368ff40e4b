//! What the card network left open is asked again, with the same key, until it is known: in the order's own trace, with
//! growing pauses, across restarts.

use std::{sync::Arc, time::Duration};

use chassis::deadline;
use contracts::{http::PaymentStatus, keys};
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    PaymentError,
    ledger::{Ledger, Row, now_ms},
    network::CardNetwork,
};

/// How often the ledger is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// Payments that are asked about at once.
const AT_ONCE: usize = 16;
/// The longest pause between two questions.
const LONGEST_PAUSE_MS: i64 = 30_000;

/// Ledger and card network together.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) ledger: Ledger,
    pub(crate) network: CardNetwork,
}

// === impl Desk ===

impl Desk {
    /// Asks the card network about a payment that is open and writes down the answer, or when to ask again.
    pub(crate) async fn ask(&self, row: &Row) -> Result<Row, PaymentError> {
        let verdict = match row.status() {
            PaymentStatus::Pending => self.network.charge(row).await,
            PaymentStatus::Refunding => self.network.refund(row).await,
            _ => return Ok(row.clone()),
        };
        match verdict {
            Some(verdict) => self.ledger.settle(&row.payment_id, verdict).await,
            None => {
                self.ledger.postpone(row, now_ms() + pause_ms(row.attempts)).await?;
                self.ledger.get(&row.payment_id).await
            }
        }
    }

    /// When the reconciler may step in for a request that is asking now.
    pub(crate) fn after_request(&self) -> i64 {
        now_ms() + i64::try_from(self.network.limit().as_millis()).unwrap_or(LONGEST_PAUSE_MS) + 1000
    }
}

/// Runs until `stop`; a question under way is finished.
pub(crate) async fn run(desk: Desk, stop: CancellationToken) {
    let free = Arc::new(Semaphore::new(AT_ONCE));
    let mut asking = JoinSet::new();
    while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        while asking.try_join_next().is_some() {}
        let limit = i64::try_from(free.available_permits()).unwrap_or(0);
        let due = match desk.ledger.due(now_ms(), limit).await {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(causes = chassis::Error::from(error).causes(), "the ledger cannot be read");
                continue;
            }
        };
        for row in due {
            let Ok(permit) = free.clone().try_acquire_owned() else { break };
            // Not due again before this question is over.
            match desk.ledger.reserve(&row, desk.after_request()).await {
                Ok(true) => {}
                Ok(false) => continue,
                Err(_) => break,
            }
            let desk = desk.clone();
            asking.spawn(async move {
                reconcile(&desk, row).await;
                drop(permit);
            });
        }
    }
    while asking.join_next().await.is_some() {}
}

async fn reconcile(desk: &Desk, row: Row) {
    let scope = telemetry::context::root()
        .with_baggage(keys::ORDER_ID, row.order_id.clone())
        .with_parent(&row.context());
    let work = async {
        let span = tracing::info_span!(
            "payment.reconcile",
            payment.reference = row.reference,
            payment.attempt = row.attempts + 1
        );
        let asked = deadline::fresh(desk.network.limit() + Duration::from_secs(5), desk.ask(&row))
            .instrument(span)
            .await;
        match asked {
            Ok(Ok(now)) if now.status != row.status => {
                tracing::info!(
                    payment.id = row.payment_id,
                    status = now.status,
                    "an open payment was settled"
                );
            }
            Ok(Err(error)) => {
                let error = chassis::Error::from(error);
                tracing::error!(
                    payment.id = row.payment_id,
                    causes = error.causes(),
                    "an open payment stays open"
                );
            }
            _ => {}
        }
    };
    scope.run(work).await;
}

/// Half a second, doubled each time, half a minute at most.
fn pause_ms(attempts: i64) -> i64 {
    let doublings = u32::try_from(attempts.clamp(0, 6)).unwrap_or(0);
    (500 << doublings).min(LONGEST_PAUSE_MS)
}

#[cfg(test)]
mod tests {
    use super::pause_ms;

    #[test]
    fn pauses_grow_and_end_at_half_a_minute() {
        assert_eq!((pause_ms(0), pause_ms(1), pause_ms(6), pause_ms(1000)), (500, 1000, 30_000, 30_000));
    }
}

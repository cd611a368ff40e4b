//! The book of orders: every order from before its first call to the hand-over, and what its customer was shown.

use std::time::Duration;

use chassis::{Database, Traced, Tx};
use telemetry::context::StoredContext;

use crate::{
    bodies::{OrderEvent, State},
    clock::now_ms,
    error::{FrontError, is_ours},
};

/// The orders in the database.
#[derive(Clone)]
pub(crate) struct Book {
    database: Database,
}

/// An order of the book.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Entry {
    pub(crate) order_id: String,
    pub(crate) stage: String,
    pub(crate) reason: String,
    pub(crate) customer_id: String,
    pub(crate) idempotency_key: String,
    pub(crate) card_token: String,
    pub(crate) payment_reference: String,
    pub(crate) remote_state: String,
    pub(crate) traceparent: String,
    pub(crate) tracestate: String,
    pub(crate) synthetic: String,
    pub(crate) claimed_ms: i64,
}

/// Who orders, and how.
pub(crate) struct Claim<'a> {
    pub(crate) customer_id: &'a str,
    pub(crate) card_token: &'a str,
    /// Empty when none was sent.
    pub(crate) idempotency_key: &'a str,
}

/// What came of a claim.
pub(crate) enum Claimed {
    /// The order is the caller's to place.
    Ours(Entry),
    /// The same request came before: its order as it stands.
    Repeated(Entry),
}

// === impl Entry ===

impl Entry {
    /// As the customer sees it.
    pub(crate) fn state(&self) -> State {
        if self.stage == "placed" { State::of(&self.remote_state) } else { State::of(&self.stage) }
    }

    /// It is neither at an end nor handed over.
    pub(crate) fn is_under_way(&self) -> bool {
        matches!(self.stage.as_str(), "placing" | "paying")
    }

    /// The span of `POST /orders`.
    pub(crate) fn context(&self) -> StoredContext {
        StoredContext { traceparent: self.traceparent.clone(), tracestate: self.tracestate.clone() }
    }

    fn is_repeated_by(&self, claim: &Claim<'_>) -> bool {
        !claim.idempotency_key.is_empty() && self.idempotency_key == claim.idempotency_key
    }

    /// It failed before it was paid, and may be tried again: by anyone's fault but the customer's even with the same key.
    fn may_be_tried_again(&self, claim: &Claim<'_>) -> bool {
        self.stage == "failed"
            && self.customer_id == claim.customer_id
            && (!self.is_repeated_by(claim) || is_ours(&self.reason))
    }
}

// === impl Book ===

impl Book {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Writes the order down as `placing`, claimed by no one, before its first call. One that is there stays as it is.
    pub(crate) async fn open(&self, order_id: &str, cart_id: &str) -> Result<(), FrontError> {
        let mut tx = self.database.begin().await?;
        let made = sqlx::query(
            "INSERT INTO orders (order_id, cart_id, stage, reason, customer_id, idempotency_key, card_token,
                 payment_reference, remote_state, traceparent, tracestate, synthetic, created_ms, claimed_ms, updated_ms)
             VALUES ($1, $2, 'placing', '', '', '', '', '', '', '', '', '', $3, $3, $3) ON CONFLICT (order_id) DO NOTHING",
        )
        .bind(order_id)
        .bind(cart_id)
        .bind(now_ms())
        .execute(&mut *tx)
        .traced("INSERT orders")
        .await?;
        if made.rows_affected() == 1 {
            tx.commit().await?;
        }
        Ok(())
    }

    /// Gives the order to the first customer whose token has been verified.
    pub(crate) async fn claim(&self, order_id: &str, claim: &Claim<'_>) -> Result<Claimed, FrontError> {
        // The customer's key and the order are both decided upon: nobody else may, in this order. The key, not the customer:
        // one who orders much at once must not wait for himself.
        let mut tx = match claim.idempotency_key {
            "" => self.database.begin_for(order_id).await?,
            key => {
                let mut tx = self.database.begin_for(&format!("{} {key}", claim.customer_id)).await?;
                tx.alone_for(order_id).await?;
                tx
            }
        };
        self.check_key(&mut tx, order_id, claim).await?;
        let known = entry(&mut tx, order_id).await?.ok_or(FrontError::NoOrder)?;
        if !known.customer_id.is_empty() && !known.may_be_tried_again(claim) {
            return match known.customer_id == claim.customer_id && known.is_repeated_by(claim) {
                true if known.card_token == claim.card_token => Ok(Claimed::Repeated(known)),
                true => Err(FrontError::KeyReused { order_id: known.order_id }),
                // Whose it is and how it stands is not for strangers.
                false => Err(FrontError::CartOrdered { order_id: known.order_id }),
            };
        }
        let context = telemetry::context::store();
        let entry: Entry = sqlx::query_as(
            "UPDATE orders SET stage = 'placing', reason = '', customer_id = $1, card_token = $2, idempotency_key = $3,
                 traceparent = $4, tracestate = $5, synthetic = $6, claimed_ms = $7, updated_ms = $7 WHERE order_id = $8 RETURNING *",
        )
        .bind(claim.customer_id)
        .bind(claim.card_token)
        .bind(claim.idempotency_key)
        .bind(context.traceparent)
        .bind(context.tracestate)
        .bind(telemetry::context::baggage(contracts::keys::SYNTHETIC).unwrap_or_default())
        .bind(now_ms())
        .bind(order_id)
        .fetch_one(&mut *tx)
        .traced("UPDATE orders")
        .await?;
        note(&mut tx, order_id, State::Placing, "").await?;
        tx.commit().await?;
        Ok(Claimed::Ours(entry))
    }

    /// A key names one request: for another order of the same customer it is refused.
    async fn check_key(&self, tx: &mut Tx, order_id: &str, claim: &Claim<'_>) -> Result<(), FrontError> {
        if claim.idempotency_key.is_empty() {
            return Ok(());
        }
        let other: Option<String> = sqlx::query_scalar(
            "SELECT order_id FROM orders WHERE customer_id = $1 AND idempotency_key = $2 AND order_id <> $3 LIMIT 1",
        )
        .bind(claim.customer_id)
        .bind(claim.idempotency_key)
        .bind(order_id)
        .fetch_optional(&mut **tx)
        .traced("SELECT orders")
        .await?;
        other.map_or(Ok(()), |order_id| Err(FrontError::KeyReused { order_id }))
    }

    /// Moves an order of ours on, with the reason and the payment's reference where they are known; `false` when it is at
    /// its end or handed over already.
    pub(crate) async fn advance(
        &self,
        order_id: &str,
        stage: &'static str,
        reason: &str,
        payment_reference: &str,
    ) -> Result<bool, FrontError> {
        let mut tx = self.database.begin_for(order_id).await?;
        let moved = sqlx::query(
            "UPDATE orders SET stage = $1, reason = $2, payment_reference = $3, updated_ms = $4
                 WHERE order_id = $5 AND stage IN ('placing', 'paying')",
        )
        .bind(stage)
        .bind(reason)
        .bind(payment_reference)
        .bind(now_ms())
        .bind(order_id)
        .execute(&mut *tx)
        .traced("UPDATE orders")
        .await?;
        if moved.rows_affected() == 0 {
            return Ok(false);
        }
        note(&mut tx, order_id, State::of(stage), reason).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Hands the order over: what restaurant-orders said of it is its state from now on.
    pub(crate) async fn hand_over(
        &self,
        order_id: &str,
        payment_reference: &str,
        remote_state: &str,
        reason: &str,
    ) -> Result<(), FrontError> {
        let mut tx = self.database.begin_for(order_id).await?;
        sqlx::query(
            "UPDATE orders SET stage = 'placed', payment_reference = $1, remote_state = $2, reason = $3,
                 updated_ms = $4 WHERE order_id = $5",
        )
        .bind(payment_reference)
        .bind(remote_state)
        .bind(reason)
        .bind(now_ms())
        .bind(order_id)
        .execute(&mut *tx)
        .traced("UPDATE orders")
        .await?;
        note(&mut tx, order_id, State::of(remote_state), reason).await?;
        Ok(tx.commit().await?)
    }

    /// Notes what restaurant-orders says of an order that was handed over.
    pub(crate) async fn heard(
        &self,
        order_id: &str,
        remote_state: &str,
        reason: &str,
    ) -> Result<(), FrontError> {
        let mut tx = self.database.begin_for(order_id).await?;
        sqlx::query("UPDATE orders SET remote_state = $1, reason = $2, updated_ms = $3 WHERE order_id = $4 AND stage = 'placed'")
            .bind(remote_state)
            .bind(reason)
            .bind(now_ms())
            .bind(order_id)
            .execute(&mut *tx)
            .traced("UPDATE orders")
            .await?;
        note(&mut tx, order_id, State::of(remote_state), reason).await?;
        Ok(tx.commit().await?)
    }

    /// An order that a customer has claimed.
    pub(crate) async fn find(&self, order_id: &str) -> Result<Entry, FrontError> {
        let entry: Option<Entry> =
            sqlx::query_as("SELECT * FROM orders WHERE order_id = $1 AND customer_id <> ''")
                .bind(order_id)
                .fetch_optional(self.database.read())
                .traced("SELECT orders")
                .await?;
        entry.ok_or(FrontError::NoOrder)
    }

    /// Orders under way whose stage has not changed for so long.
    pub(crate) async fn under_way(&self, unmoved: Duration) -> Result<Vec<Entry>, FrontError> {
        let until = now_ms() - i64::try_from(unmoved.as_millis()).unwrap_or(i64::MAX / 2);
        Ok(sqlx::query_as(
            "SELECT * FROM orders WHERE stage IN ('placing', 'paying') AND customer_id <> '' AND updated_ms <= $1
                 ORDER BY created_ms",
        )
        .bind(until)
        .fetch_all(self.database.read())
        .await?)
    }

    /// Whether it is this process, of several front doors, that takes up what was left lying.
    pub(crate) async fn leads(&self) -> bool {
        self.database.leads("placing").await
    }

    /// What the customer was shown after event `seq`.
    pub(crate) async fn events(&self, order_id: &str, seq: i64) -> Result<Vec<OrderEvent>, FrontError> {
        let rows: Vec<(i64, String, String, i64)> = sqlx::query_as(
            "SELECT seq, state, reason, at_ms FROM order_events WHERE order_id = $1 AND seq > $2 ORDER BY seq LIMIT 100",
        )
        .bind(order_id)
        .bind(seq)
        .fetch_all(self.database.read())
        .await?;
        let event = |(seq, state, reason, at_ms): (i64, String, String, i64)| OrderEvent {
            order_id: order_id.to_owned(),
            seq,
            state: State::of(&state),
            reason,
            at_ms,
        };
        Ok(rows.into_iter().map(event).collect())
    }
}

async fn entry(tx: &mut Tx, order_id: &str) -> Result<Option<Entry>, sqlx::Error> {
    sqlx::query_as("SELECT * FROM orders WHERE order_id = $1")
        .bind(order_id)
        .fetch_optional(&mut **tx)
        .traced("SELECT orders")
        .await
}

/// Appends a change; what is not one is not noted.
async fn note(tx: &mut Tx, order_id: &str, state: State, reason: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO order_events (order_id, seq, state, reason, at_ms)
         SELECT $1, coalesce((SELECT max(seq) FROM order_events WHERE order_id = $1), 0) + 1, $2, $3, $4
         WHERE coalesce((SELECT state FROM order_events WHERE order_id = $1 ORDER BY seq DESC LIMIT 1), '') <> $2",
    )
    .bind(order_id)
    .bind(state.name())
    .bind(reason)
    .bind(now_ms())
    .execute(&mut **tx)
    .traced("INSERT order_events")
    .await?;
    Ok(())
}

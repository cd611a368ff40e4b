//! The ledger: where the money of each order is, and every line that led there, written in one transaction each.
//!
//! ```text
//! pending ─► charged ─► refunding ─► refunded
//!    └─────► declined
//! ```

use chassis::{Database, Traced, Tx};
use contracts::http::{Payment, PaymentRequest, PaymentStatus};
use serde::Serialize;
use telemetry::context::StoredContext;

use crate::PaymentError;

/// The payments and their entries.
#[derive(Clone)]
pub(crate) struct Ledger {
    database: Database,
}

/// A payment with what the outside need not know.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Row {
    pub(crate) seq: i64,
    pub(crate) payment_id: String,
    pub(crate) order_id: String,
    pub(crate) reference: String,
    pub(crate) status: String,
    pub(crate) amount_minor: i64,
    pub(crate) currency: String,
    pub(crate) card_token: String,
    pub(crate) network_reference: Option<String>,
    pub(crate) refund_reference: Option<String>,
    pub(crate) decline_code: Option<String>,
    pub(crate) refund_reason: Option<String>,
    pub(crate) traceparent: String,
    pub(crate) tracestate: String,
    pub(crate) attempts: i64,
}

/// A line of the ledger.
#[derive(Debug, Clone, Serialize, sqlx::FromRow)]
pub(crate) struct Entry {
    seq: i64,
    payment_id: String,
    kind: String,
    amount_minor: i64,
    note: String,
    at_ms: i64,
}

/// What the card network said for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Charged { network_reference: String },
    Declined { network_reference: Option<String>, code: String },
    Refunded { refund_reference: String },
}

// === impl Row ===

impl Row {
    pub(crate) fn status(&self) -> PaymentStatus {
        match self.status.as_str() {
            "charged" => PaymentStatus::Charged,
            "declined" => PaymentStatus::Declined,
            "refunding" => PaymentStatus::Refunding,
            "refunded" => PaymentStatus::Refunded,
            _ => PaymentStatus::Pending,
        }
    }

    pub(crate) fn payment(&self) -> Payment {
        Payment {
            payment_id: self.payment_id.clone(),
            order_id: self.order_id.clone(),
            reference: self.reference.clone(),
            network_reference: self.network_reference.clone(),
            status: self.status(),
            amount_minor: self.amount_minor,
            currency: self.currency.clone(),
        }
    }

    pub(crate) fn context(&self) -> StoredContext {
        StoredContext { traceparent: self.traceparent.clone(), tracestate: self.tracestate.clone() }
    }
}

// === impl Ledger ===

impl Ledger {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// The order's payment, made `pending` if there is none: committed before anyone is asked for money. Another amount,
    /// currency or card for the same order is refused.
    pub(crate) async fn open(&self, request: &PaymentRequest, next_ms: i64) -> Result<Row, PaymentError> {
        let mut tx = self.database.begin_for(&request.order_id).await?;
        if let Some(row) = find(&mut tx, "order_id", &request.order_id).await? {
            let same = row.amount_minor == request.amount_minor
                && row.currency == request.currency
                && row.card_token == request.card_token;
            return if same { Ok(row) } else { Err(PaymentError::KeyReused) };
        }
        let context = telemetry::context::store();
        let row: Row = sqlx::query_as(
            "INSERT INTO payments (payment_id, order_id, reference, status, amount_minor, currency, card_token,
                 traceparent, tracestate, attempts, next_ms, created_ms, updated_ms)
             VALUES ($1, $2, $3, 'pending', $4, $5, $6, $7, $8, 0, $9, $10, $10) RETURNING *",
        )
        .bind(format!("pay-{}", uuid::Uuid::new_v4().simple()))
        .bind(&request.order_id)
        .bind(format!("WB-{}", contracts::code::random(3)))
        .bind(request.amount_minor)
        .bind(&request.currency)
        .bind(&request.card_token)
        .bind(context.traceparent)
        .bind(context.tracestate)
        .bind(next_ms)
        .bind(now_ms())
        .fetch_one(&mut *tx)
        .traced("INSERT payments")
        .await?;
        enter(&mut tx, &row.payment_id, "asked", 0, "").await?;
        tx.commit().await?;
        Ok(row)
    }

    /// A payment by its id.
    pub(crate) async fn get(&self, payment_id: &str) -> Result<Row, PaymentError> {
        self.one("SELECT * FROM payments WHERE payment_id = $1", payment_id).await
    }

    /// A payment by its order.
    pub(crate) async fn of_order(&self, order_id: &str) -> Result<Row, PaymentError> {
        self.one("SELECT * FROM payments WHERE order_id = $1", order_id).await
    }

    async fn one(&self, query: &'static str, id: &str) -> Result<Row, PaymentError> {
        let row = sqlx::query_as(query)
            .bind(id)
            .fetch_optional(self.database.read())
            .traced("SELECT payments")
            .await?;
        row.ok_or(PaymentError::NotFound)
    }

    /// Writes down what the card network said. A verdict that comes twice changes nothing the second time.
    pub(crate) async fn settle(&self, payment_id: &str, verdict: Verdict) -> Result<Row, PaymentError> {
        let mut tx = self.database.begin_for(payment_id).await?;
        let mut row = find(&mut tx, "payment_id", payment_id).await?.ok_or(PaymentError::NotFound)?;
        match (row.status(), verdict) {
            (PaymentStatus::Pending, Verdict::Charged { network_reference }) => {
                enter(&mut tx, payment_id, "charged", row.amount_minor, &network_reference).await?;
                let refund = row.refund_reason.is_some();
                row.status = if refund { "refunding" } else { "charged" }.to_owned();
                row.network_reference = Some(network_reference);
            }
            (PaymentStatus::Pending, Verdict::Declined { network_reference, code }) => {
                enter(&mut tx, payment_id, "declined", 0, &code).await?;
                "declined".clone_into(&mut row.status);
                row.network_reference = network_reference;
                row.decline_code = Some(code);
            }
            (PaymentStatus::Refunding, Verdict::Refunded { refund_reference }) => {
                enter(&mut tx, payment_id, "refunded", -row.amount_minor, &refund_reference).await?;
                "refunded".clone_into(&mut row.status);
                row.refund_reference = Some(refund_reference);
            }
            _ => return Ok(row),
        }
        row.attempts = 0;
        save(&mut tx, &row, now_ms()).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Notes that the money must go back. What is pending goes back once it turns out charged.
    pub(crate) async fn want_refund(
        &self,
        payment_id: &str,
        reason: &str,
        next_ms: i64,
    ) -> Result<Row, PaymentError> {
        let mut tx = self.database.begin_for(payment_id).await?;
        let mut row = find(&mut tx, "payment_id", payment_id).await?.ok_or(PaymentError::NotFound)?;
        match row.status() {
            PaymentStatus::Declined => return Err(PaymentError::NothingCharged),
            PaymentStatus::Refunding | PaymentStatus::Refunded => return Ok(row),
            PaymentStatus::Pending if row.refund_reason.is_some() => return Ok(row),
            PaymentStatus::Pending => {}
            PaymentStatus::Charged => "refunding".clone_into(&mut row.status),
        }
        enter(&mut tx, payment_id, "refund_asked", 0, reason).await?;
        row.refund_reason = Some(reason.to_owned());
        row.attempts = 0;
        save(&mut tx, &row, next_ms).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// The card network gave no answer: when to ask again.
    pub(crate) async fn postpone(&self, row: &Row, next_ms: i64) -> Result<(), PaymentError> {
        let mut tx = self.database.begin().await?;
        sqlx::query(
            "UPDATE payments SET attempts = attempts + 1, next_ms = $1 WHERE payment_id = $2 AND status = $3",
        )
        .bind(next_ms)
        .bind(&row.payment_id)
        .bind(&row.status)
        .execute(&mut *tx)
        .traced("UPDATE payments")
        .await?;
        Ok(tx.commit().await?)
    }

    /// Puts off an open payment that this process is about to ask about; `false` when another one was quicker.
    pub(crate) async fn reserve(&self, row: &Row, next_ms: i64) -> Result<bool, PaymentError> {
        let mut tx = self.database.begin_quiet().await?;
        let reserved = sqlx::query(
            "UPDATE payments SET attempts = attempts + 1, next_ms = $1 \
             WHERE payment_id = $2 AND status = $3 AND attempts = $4",
        )
        .bind(next_ms)
        .bind(&row.payment_id)
        .bind(&row.status)
        .bind(row.attempts)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(reserved.rows_affected() == 1)
    }

    /// Payments whose time has come to be asked about again. No span: it runs all the time, for no order.
    pub(crate) async fn due(&self, now_ms: i64, limit: i64) -> Result<Vec<Row>, PaymentError> {
        Ok(sqlx::query_as(
            "SELECT * FROM payments WHERE status IN ('pending', 'refunding') AND next_ms <= $1 ORDER BY next_ms LIMIT $2",
        )
        .bind(now_ms)
        .bind(limit)
        .fetch_all(self.database.read())
        .await?)
    }

    /// Payments by age, for audits.
    pub(crate) async fn page(&self, after: i64, limit: i64) -> Result<Vec<Row>, PaymentError> {
        Ok(sqlx::query_as("SELECT * FROM payments WHERE seq > $1 ORDER BY seq LIMIT $2")
            .bind(after)
            .bind(limit)
            .fetch_all(self.database.read())
            .traced("SELECT payments")
            .await?)
    }

    /// The lines of one payment.
    pub(crate) async fn entries(&self, payment_id: &str) -> Result<Vec<Entry>, PaymentError> {
        Ok(sqlx::query_as("SELECT * FROM entries WHERE payment_id = $1 ORDER BY seq")
            .bind(payment_id)
            .fetch_all(self.database.read())
            .traced("SELECT entries")
            .await?)
    }
}

async fn find(tx: &mut Tx, column: &'static str, id: &str) -> Result<Option<Row>, sqlx::Error> {
    let query = if column == "order_id" {
        "SELECT * FROM payments WHERE order_id = $1"
    } else {
        "SELECT * FROM payments WHERE payment_id = $1"
    };
    sqlx::query_as(query).bind(id).fetch_optional(&mut **tx).traced("SELECT payments").await
}

async fn save(tx: &mut Tx, row: &Row, next_ms: i64) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE payments SET status = $1, network_reference = $2, refund_reference = $3, decline_code = $4,
             refund_reason = $5, attempts = $6, next_ms = $7, updated_ms = $8 WHERE payment_id = $9",
    )
    .bind(&row.status)
    .bind(&row.network_reference)
    .bind(&row.refund_reference)
    .bind(&row.decline_code)
    .bind(&row.refund_reason)
    .bind(row.attempts)
    .bind(next_ms)
    .bind(now_ms())
    .bind(&row.payment_id)
    .execute(&mut **tx)
    .traced("UPDATE payments")
    .await?;
    Ok(())
}

async fn enter(
    tx: &mut Tx,
    payment_id: &str,
    kind: &str,
    amount: i64,
    note: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO entries (payment_id, kind, amount_minor, note, at_ms) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(payment_id)
    .bind(kind)
    .bind(amount)
    .bind(note)
    .bind(now_ms())
    .execute(&mut **tx)
    .traced("INSERT entries")
    .await?;
    Ok(())
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> i64 {
    i64::try_from(time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

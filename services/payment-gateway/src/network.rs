//! The card network, as a third party: what it says counts only when it is unmistakable. All else leaves the question open.

use std::time::Duration;

use chassis::Http;
use contracts::keys;
use serde::Deserialize;
use serde_json::json;

use crate::ledger::{Row, Verdict};

/// Attempts within one request; later ones are the reconciler's.
const ATTEMPTS: u32 = 3;

/// The way to the card network.
#[derive(Clone)]
pub(crate) struct CardNetwork {
    http: Http,
    limit: Duration,
}

#[derive(Deserialize)]
struct Charge {
    charge_id: String,
    reference: String,
    amount_minor: i64,
    currency: String,
    status: String,
    decline_code: Option<String>,
}

#[derive(Deserialize)]
struct Refund {
    refund_id: String,
    charge_id: String,
    amount_minor: i64,
    status: String,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

// === impl CardNetwork ===

impl CardNetwork {
    pub(crate) fn new(http: Http, limit: Duration) -> Self {
        Self { http, limit }
    }

    /// The longest that [`Self::charge`] and [`Self::refund`] take.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Asks for the money, with the order's id as key: asking again is asking the same. `None` when there is no answer.
    pub(crate) async fn charge(&self, row: &Row) -> Option<Verdict> {
        let body = json!({
            "reference": row.order_id,
            "amount_minor": row.amount_minor,
            "currency": row.currency,
            "card_token": row.card_token,
        });
        let verdict = self
            .ask(|attempt| {
                let call =
                    self.http.post("/charges").idempotency_key(&row.order_id).json(&body).attempt(attempt);
                async { judge_charge(row, &call.send().await?) }
            })
            .await;
        if let Some(
            Verdict::Charged { network_reference }
            | Verdict::Declined { network_reference: Some(network_reference), .. },
        ) = &verdict
        {
            telemetry::context::set_attribute(keys::PARTNER_REFERENCE, network_reference.clone());
        }
        verdict
    }

    /// Asks for the money to go back, once per payment whatever happens.
    pub(crate) async fn refund(&self, row: &Row) -> Option<Verdict> {
        let charge_id = row.network_reference.as_deref()?;
        let body = json!({ "amount_minor": row.amount_minor, "reason": row.refund_reason });
        let verdict = self
            .ask(|attempt| {
                let call = self
                    .http
                    .post("/charges/{id}/refunds")
                    .path(format!("/charges/{charge_id}/refunds"))
                    .idempotency_key(format!("refund-{}", row.payment_id))
                    .json(&body)
                    .attempt(attempt);
                async { judge_refund(row, charge_id, &call.send().await?) }
            })
            .await;
        if let Some(Verdict::Refunded { refund_reference }) = &verdict {
            telemetry::context::set_attribute(keys::PARTNER_REFERENCE, refund_reference.clone());
        }
        verdict
    }

    async fn ask<F>(&self, once: impl Fn(u32) -> F) -> Option<Verdict>
    where
        F: Future<Output = chassis::Result<Verdict>>,
    {
        let asked = chassis::deadline::within(
            self.limit,
            chassis::retry(async |attempt| {
                let verdict = once(attempt).await;
                // A network that is down for longer is the reconciler's business.
                if attempt + 1 == ATTEMPTS { Ok(verdict.ok()) } else { verdict.map(Some) }
            }),
        )
        .await;
        match asked {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(error)) => {
                tracing::warn!(error = %error, causes = error.causes(), "the card network gave no clear answer");
                None
            }
            Err(_) => None,
        }
    }
}

/// Charged or declined, if it says so about this very order and amount; or the request was refused before any charge.
fn judge_charge(row: &Row, reply: &chassis::client::Reply) -> chassis::Result<Verdict> {
    if reply.status == http::StatusCode::UNPROCESSABLE_ENTITY
        && let Ok(Refusal { error }) = reply.json()
        && matches!(error.as_str(), "invalid_card_token" | "invalid_request")
    {
        return Ok(Verdict::Declined { network_reference: None, code: error });
    }
    let charge: Charge = settled(reply)?;
    let same = charge.reference == row.order_id
        && charge.amount_minor == row.amount_minor
        && charge.currency == row.currency;
    match charge.status.as_str() {
        "charged" if same => Ok(Verdict::Charged { network_reference: charge.charge_id }),
        "declined" if same => Ok(Verdict::Declined {
            network_reference: Some(charge.charge_id),
            code: charge.decline_code.unwrap_or_else(|| "declined".to_owned()),
        }),
        _ => Err(wrong("a charge that is not the one asked for")),
    }
}

fn judge_refund(row: &Row, charge_id: &str, reply: &chassis::client::Reply) -> chassis::Result<Verdict> {
    // Refunded under another key, by hand for example: the money is back.
    if reply.status == http::StatusCode::CONFLICT
        && let Ok(Refusal { error }) = reply.json()
        && error == "already_refunded"
    {
        return Ok(Verdict::Refunded { refund_reference: error });
    }
    let refund: Refund = settled(reply)?;
    if refund.charge_id == charge_id && refund.amount_minor == row.amount_minor && refund.status == "refunded"
    {
        Ok(Verdict::Refunded { refund_reference: refund.refund_id })
    } else {
        Err(wrong("a refund that is not the one asked for"))
    }
}

/// The body of a 201; a 200 with who knows what is no answer.
fn settled<T: serde::de::DeserializeOwned>(reply: &chassis::client::Reply) -> chassis::Result<T> {
    match chassis::Kind::from_status(reply.status) {
        None if reply.status == http::StatusCode::CREATED => reply.json(),
        None => Err(wrong("a status that it never uses")),
        Some(kind) => Err(chassis::Error::upstream_kind("card-network", kind)
            .source(format!("card-network answered {}", reply.status.as_u16()))),
    }
}

fn wrong(what: &'static str) -> chassis::Error {
    chassis::Error::upstream_kind("card-network", chassis::Kind::Internal).typed("bad-reply").source(what)
}

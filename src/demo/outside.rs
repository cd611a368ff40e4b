//! What the third parties say of an order: did the card network keep the money, what was the customer told.

use anyhow::Context;
use serde_json::Value;

/// The partners' own records.
#[derive(Debug)]
pub(crate) struct Outside {
    client: reqwest::Client,
    url: String,
}

// === impl Outside ===

impl Outside {
    /// The partners at `url`.
    pub(crate) fn new(url: String) -> Self {
        Self { client: reqwest::Client::default(), url }
    }

    /// The card network on order `id`, in a few words: its idempotency key is the order's id.
    ///
    /// # Errors
    /// When the card network does not answer.
    pub(crate) async fn money(&self, id: &str) -> anyhow::Result<String> {
        let answer = self.get(&format!("/card-network/charges?idempotency_key={id}")).await?;
        let Some(charge) = first(&answer, "charges") else {
            return Ok("nothing was charged".to_owned());
        };
        let amount = |of: &Value| dollars(of.get("amount_minor").and_then(Value::as_i64).unwrap_or(0));
        let refunds = charge.get("refunds").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let back: Vec<_> = refunds.iter().map(amount).collect();
        Ok(match back.as_slice() {
            [] => format!("{} charged, nothing refunded", amount(charge)),
            [one] => format!("{} charged, {one} refunded", amount(charge)),
            many => format!("{} charged, refunded {} times", amount(charge), many.len()),
        })
    }

    /// What the push provider told the customer about order `id`; empty when nothing.
    ///
    /// # Errors
    /// When the push provider does not answer.
    pub(crate) async fn told(&self, id: &str) -> anyhow::Result<Vec<String>> {
        let answer = self.get(&format!("/push-provider/pushes?order_id={id}")).await?;
        let pushes = list(&answer, "pushes");
        let text =
            |push: &Value, key: &str| push.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(pushes.iter().map(|p| format!("{}: {}", text(p, "title"), text(p, "body"))).collect())
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.url);
        let reply = self.client.get(&url).send().await.with_context(|| format!("asking {url}"))?;
        reply.error_for_status()?.json().await.with_context(|| format!("reading {url}"))
    }
}

/// A list, bare or under its name.
fn list<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    let list = answer.as_array().or_else(|| answer.get(name).and_then(Value::as_array));
    list.map(Vec::as_slice).unwrap_or_default()
}

fn first<'a>(answer: &'a Value, name: &str) -> Option<&'a Value> {
    list(answer, name).first().or_else(|| answer.get("charge_id").map(|_| answer))
}

fn dollars(minor: i64) -> String {
    format!("${}.{:02}", minor / 100, minor % 100)
}

//! The trace store's query API, as any Jaeger has it: what the demo reads its stamps from.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use journey::Trace;
use reqwest::Url;

/// A query that has not been answered within this time will not be.
const LIMIT: Duration = Duration::from_secs(5);
/// Traces asked for at once.
const MOST: &str = "20";

/// A Jaeger query API.
#[derive(Debug, Clone)]
pub(crate) struct Jaeger {
    client: reqwest::Client,
    url: Url,
}

// === impl Jaeger ===

impl Jaeger {
    /// The API at `url`.
    ///
    /// # Errors
    /// When `url` is none.
    pub(crate) fn new(url: &str) -> anyhow::Result<Self> {
        // Questions about traces are no part of them: a plain client.
        let client = reqwest::Client::builder().timeout(LIMIT).no_proxy().build()?;
        Ok(Self { client, url: Url::parse(url).with_context(|| format!("{url:?} is no URL"))? })
    }

    /// Where people see trace `id`.
    pub(crate) fn link(&self, id: &str) -> String {
        format!("{}/trace/{id}", self.url.as_str().trim_end_matches('/'))
    }

    /// The trace of which a span of `service` bears `key` = `value`. Later looks at an order are small traces of their
    /// own; the order's is the largest.
    ///
    /// # Errors
    /// When the API cannot be reached, or answers something else than traces.
    pub(crate) async fn find(&self, service: &str, key: &str, value: &str) -> anyhow::Result<Option<Trace>> {
        let tags = serde_json::json!({ key: value }).to_string();
        let found = self.search(&[("service", service), ("tags", &tags), ("limit", MOST)]).await?;
        Ok(found.into_iter().max_by_key(|t| t.spans.len()))
    }

    /// One trace of `service` that ended before `before`, with a span called `operation`.
    ///
    /// # Errors
    /// As [`Jaeger::find`].
    pub(crate) async fn earlier(
        &self,
        service: &str,
        operation: &str,
        before: SystemTime,
    ) -> anyhow::Result<Option<Trace>> {
        let end = before.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros().to_string();
        let query =
            [("service", service), ("operation", operation), ("start", "0"), ("end", &end), ("limit", "1")];
        Ok(self.search(&query).await?.into_iter().next())
    }

    async fn search(&self, query: &[(&str, &str)]) -> anyhow::Result<Vec<Trace>> {
        let mut url = self.url.join("/api/traces")?;
        url.query_pairs_mut().extend_pairs(query);
        let reply = self.client.get(url).send().await.context("asking the trace store")?;
        let status = reply.status();
        let body = reply.bytes().await.context("reading the trace store's answer")?;
        if !status.is_success() {
            bail!("the trace store answered {status}: {}", String::from_utf8_lossy(&body).trim());
        }
        Ok(journey::adapters::jaeger::parse(&body)?)
    }
}

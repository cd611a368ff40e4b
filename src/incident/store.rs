//! The traces as the store had them: raw OTLP JSON, one trace per line, and when each service was last heard of.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use journey::{Heard, adapters::otlp};
use serde_json::Value;

/// Traces asked for at once of one service; more than any incident makes.
const MOST: &str = "1500";
/// How long spans may still come in.
const PATIENCE: Duration = Duration::from_secs(12);
/// Spans leave a service within half a second, the collector within a tenth more.
const PAUSE: Duration = Duration::from_millis(1_200);

/// What the store held.
pub(super) struct Recorded {
    /// One JSON text per trace.
    pub(super) lines: Vec<String>,
    /// Newest span per service.
    pub(super) heard: Heard,
}

/// A query API, read as a whole.
pub(super) struct Store {
    client: reqwest::Client,
    url: String,
}

// === impl Store ===

impl Store {
    /// The store at `url`.
    pub(super) fn new(url: String) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).no_proxy().build()?;
        Ok(Self { client, url })
    }

    /// Waits until no more spans come in, for a bounded time, and reads all traces.
    ///
    /// # Errors
    /// When the store does not answer, or with something else than traces.
    pub(super) async fn read(&self) -> anyhow::Result<Recorded> {
        let begun = Instant::now();
        let mut before = 0;
        loop {
            let spans = self.spans().await?;
            if (spans == before && spans > 0) || begun.elapsed() > PATIENCE {
                return self.all().await;
            }
            before = spans;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn all(&self) -> anyhow::Result<Recorded> {
        let (mut lines, mut heard) = (Vec::new(), BTreeMap::<String, u64>::new());
        for id in self.ids().await?.into_keys() {
            let body = self.get(&format!("/api/v3/traces/{id}?rawTraces=true")).await?;
            let value: Value = serde_json::from_slice(&body).context("the trace store's answer")?;
            for span in otlp::parse(&body)?.into_iter().flat_map(|t| t.spans) {
                let newest = heard.entry(span.service).or_default();
                *newest = span.start_ns.max(*newest);
            }
            lines.push(value.to_string());
        }
        Ok(Recorded { lines, heard: Heard(heard) })
    }

    async fn spans(&self) -> anyhow::Result<usize> {
        Ok(self.ids().await?.into_values().sum())
    }

    /// Every trace id with its number of spans.
    async fn ids(&self) -> anyhow::Result<BTreeMap<String, usize>> {
        let mut ids = BTreeMap::new();
        let services: Value = serde_json::from_slice(&self.get("/api/services").await?)?;
        let services: BTreeSet<_> =
            services["data"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for service in services {
            // The end lies far ahead: a clock may be wrong.
            let query = format!("/api/traces?service={service}&start=0&end=9000000000000000&limit={MOST}");
            for trace in journey::adapters::jaeger::parse(&self.get(&query).await?)? {
                ids.insert(trace.id, trace.spans.len());
            }
        }
        Ok(ids)
    }

    async fn get(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let reply =
            self.client.get(format!("{}{path}", self.url)).send().await.context("asking the trace store")?;
        let status = reply.status();
        let body = reply.bytes().await.context("reading the trace store's answer")?;
        if !status.is_success() {
            bail!("the trace store answered {status} to {path}: {}", String::from_utf8_lossy(&body).trim());
        }
        Ok(body.to_vec())
    }
}

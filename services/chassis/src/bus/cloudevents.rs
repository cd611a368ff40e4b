//! CloudEvents 1.0 over HTTP, binary mode: attributes in `ce-` headers, the body is the data (HTTP protocol binding, 3.1).
//!
//! `ce-traceparent` and `ce-tracestate` (distributed tracing extension) are the event's creation; `traceparent` and
//! `baggage` are the transport's, as of every request.

use std::time::Duration;

use async_trait::async_trait;
use http::HeaderMap;
use reqwest_middleware::ClientWithMiddleware;
use telemetry::context::StoredContext;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Event, Transport, Undelivered};
use crate::{
    Settings, carried,
    due::now_ms,
    error::{Error, Result},
};

/// Events as `POST <url>/events`. A 2xx says that the receiver has committed the event.
#[derive(Debug)]
pub struct OverHttp {
    client: ClientWithMiddleware,
    limit: Duration,
}

// === impl OverHttp ===

impl OverHttp {
    /// Reads `WAYBILL_DELIVERY_TIMEOUT`.
    pub fn new(settings: &Settings) -> Self {
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(3))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .build()
            .unwrap_or_default();
        let client = telemetry::http::carrier(client, telemetry::Peer::ours("events"));
        Self { client, limit: settings.duration("WAYBILL_DELIVERY_TIMEOUT", "10s") }
    }
}

#[async_trait]
impl Transport for OverHttp {
    async fn deliver(&self, _receiver: &str, url: &str, event: &Event) -> Result<(), Undelivered> {
        let mut request = self
            .client
            .post(format!("{url}/events"))
            .timeout(self.limit)
            .header(http::header::CONTENT_TYPE, "application/json");
        for (name, value) in attributes(event) {
            request = request.header(name, value);
        }
        let response = request.body(event.body.clone()).send().await;
        let response = response.map_err(|e| Undelivered::Later(no_reply(&e)))?;
        let status = response.status();
        let text = format!("answered {}", status.as_u16());
        match status.as_u16() {
            200..=299 => Ok(()),
            // Of the 4xx these say "not now"; all others "never".
            408 | 425 | 429 => Err(Undelivered::Later(text)),
            400..=499 => Err(Undelivered::Refused(text)),
            _ => Err(Undelivered::Later(text)),
        }
    }
}

/// The event's attributes as `ce-` headers, but for its data's type.
pub(super) fn attributes(event: &Event) -> Vec<(&'static str, String)> {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(event.created_unix_ms) * 1_000_000);
    let time = time.ok().and_then(|t| t.format(&Rfc3339).ok()).unwrap_or_default();
    let mut all = vec![
        ("ce-specversion", "1.0".to_owned()),
        ("ce-id", event.id.clone()),
        ("ce-source", format!("/{}", event.source)),
        ("ce-type", event.event_type.clone()),
        ("ce-subject", event.subject.clone()),
        ("ce-time", time),
    ];
    if !event.created.traceparent.is_empty() {
        all.push(("ce-traceparent", event.created.traceparent.clone()));
    }
    if !event.created.tracestate.is_empty() {
        all.push(("ce-tracestate", event.created.tracestate.clone()));
    }
    all
}

/// Reads an event from a request: what is missing or malformed is the sender's mistake.
pub(crate) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Event> {
    let version = required(headers, "ce-specversion")?;
    if version != "1.0" {
        return Err(bad(format!("ce-specversion is {version:?}, this service reads 1.0")));
    }
    let json = headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|t| t.as_bytes().starts_with(b"application/json"));
    if !json {
        return Err(Error::new(crate::Kind::Unsupported, "events are application/json, in binary mode"));
    }
    let body = std::str::from_utf8(body).map_err(|_| bad("the event's data is not UTF-8"))?;
    let subject = required(headers, "ce-subject")?;
    let baggage = carried::baggage(&subject);
    let optional = |name| text(headers, name).unwrap_or_default();
    Ok(Event {
        id: required(headers, "ce-id")?,
        source: required(headers, "ce-source")?.trim_start_matches('/').to_owned(),
        event_type: required(headers, "ce-type")?,
        subject,
        body: body.to_owned(),
        created: StoredContext {
            traceparent: optional("ce-traceparent"),
            tracestate: optional("ce-tracestate"),
        },
        baggage,
        created_unix_ms: now_ms(),
    })
}

fn required(headers: &HeaderMap, name: &str) -> Result<String> {
    match text(headers, name) {
        Some(value) if !value.is_empty() && value.len() <= 256 => Ok(value),
        Some(_) => Err(bad(format!("header {name} must have 1 to 256 characters"))),
        None => Err(bad(format!("header {name} is missing"))),
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn bad(detail: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::invalid(detail).typed("malformed-event")
}

/// The innermost cause, which says what happened ("Connection refused").
fn no_reply(e: &reqwest_middleware::Error) -> String {
    let mut innermost: &dyn std::error::Error = e;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

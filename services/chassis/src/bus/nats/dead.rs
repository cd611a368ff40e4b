//! Dead letters: messages that were handled in vain until nobody tried any more, for a human to look at.

use std::time::Duration;

use async_nats::{
    HeaderMap,
    jetstream::{
        consumer::{AckPolicy, DeliverPolicy, pull::Config as PullConfig},
        stream::{Config as StreamConfig, RetentionPolicy, Stream},
    },
};
use futures::StreamExt;
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{ANSWER, Nats, Trouble, connect, jetstream, servers, words};

const STREAM: &str = "waybill-dead";
/// How long dead letters are kept.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// A message that nobody will handle any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// Who handled it in vain.
    pub service: String,
    /// Such as `order.accepted`.
    pub event_type: String,
    /// Unique together with `source`.
    pub event_id: String,
    /// Who sent it.
    pub source: String,
    /// The order's id.
    pub order_id: String,
    /// What the last attempt failed of.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was given up, RFC 3339.
    pub failed_at: String,
    /// W3C `traceparent` of the message's creation: the order's trace.
    pub traceparent: String,
    /// The data, JSON.
    pub body: String,
}

/// Why dead letters cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DeadLettersError {
    /// The URL makes no sense.
    #[error("NATS_URL cannot be used: {0}")]
    Url(String),
    /// The server cannot be reached, or has no JetStream.
    #[error("NATS does not answer: {0}; is NATS_URL right, and the server up?")]
    Away(String),
}

/// The newest `most` dead letters, oldest first; none where no service has made the stream yet.
///
/// # Errors
/// [`DeadLettersError`], within a few seconds.
pub async fn dead_letters(
    nats_url: &str,
    credentials: Option<&str>,
    most: usize,
) -> Result<Vec<DeadLetter>, DeadLettersError> {
    let servers = servers(nats_url).map_err(DeadLettersError::Url)?;
    let read = async {
        let client = connect(&servers, credentials, "dead-letters").await?;
        client.flush().await.map_err(Trouble::of)?;
        let jetstream = jetstream::context::ContextBuilder::new().timeout(ANSWER).build(client);
        let mut streams = jetstream.stream_names();
        while let Some(name) = streams.next().await {
            if name.map_err(Trouble::of)? == STREAM {
                let stream = jetstream.get_stream(STREAM).await.map_err(Trouble::of)?;
                return newest(stream, most).await;
            }
        }
        Ok(Vec::new())
    };
    match tokio::time::timeout(ANSWER * 3, read).await {
        Ok(Ok(letters)) => Ok(letters),
        Ok(Err(e)) => Err(DeadLettersError::Away(e.to_string())),
        Err(_) => Err(DeadLettersError::Away("no answer in time".to_owned())),
    }
}

async fn newest(mut stream: Stream, most: usize) -> Result<Vec<DeadLetter>, Trouble> {
    let state = stream.info().await.map_err(Trouble::of)?.state.clone();
    let there = usize::try_from(state.messages).unwrap_or(usize::MAX).min(most);
    if there == 0 {
        return Ok(Vec::new());
    }
    let from = state.last_sequence.saturating_sub(there as u64 - 1).max(state.first_sequence).max(1);
    let config = PullConfig {
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from },
        ack_policy: AckPolicy::None,
        inactive_threshold: Duration::from_secs(30),
        ..PullConfig::default()
    };
    let consumer = stream.create_consumer(config).await.map_err(Trouble::of)?;
    let fetch = consumer.fetch().max_messages(there).expires(Duration::from_secs(2));
    let mut messages = fetch.messages().await.map_err(Trouble::of)?;
    let mut letters = Vec::new();
    while let Some(message) = messages.next().await {
        let message = message.map_err(|e| Trouble(e.to_string()))?;
        letters.push(letter(message.headers.as_ref(), &message.payload));
    }
    Ok(letters)
}

fn letter(headers: Option<&HeaderMap>, body: &[u8]) -> DeadLetter {
    let text =
        |name: &str| headers.and_then(|h| h.get(name)).map(|v| v.as_str().to_owned()).unwrap_or_default();
    DeadLetter {
        service: text("waybill-service"),
        event_type: text("ce-type"),
        event_id: text("ce-id"),
        source: text("ce-source").trim_start_matches('/').to_owned(),
        order_id: text("ce-subject"),
        error: text("waybill-error"),
        attempts: text("waybill-attempts").parse().unwrap_or(0),
        failed_at: text("waybill-failed-at"),
        traceparent: text("ce-traceparent"),
        body: String::from_utf8_lossy(body).into_owned(),
    }
}

// === impl Nats ===

impl Nats {
    /// Puts a message among the dead letters: with its own headers, and why. `Ok`: JetStream has it on disk.
    pub(super) async fn bury(
        &self,
        mut headers: HeaderMap,
        body: bytes::Bytes,
        error: &str,
        attempts: u32,
    ) -> Result<(), Trouble> {
        let jetstream = self.jetstream().await?;
        let config = StreamConfig {
            name: STREAM.to_owned(),
            subjects: vec!["dead.>".to_owned()],
            description: Some("messages that were handled in vain".to_owned()),
            retention: RetentionPolicy::Limits,
            max_bytes: self.stream_bytes,
            max_age: KEPT,
            duplicate_window: super::REMEMBERED,
            num_replicas: self.replicas,
            ..StreamConfig::default()
        };
        jetstream.get_or_create_stream(config).await.map_err(Trouble::of)?;
        let get = |name: &str| headers.get(name).map(|v| v.as_str().to_owned()).unwrap_or_default();
        let event = get("ce-type");
        let event = if event.is_empty() { "unknown".to_owned() } else { words(&event) };
        let id = format!("{}{}/{}", self.name, get("ce-source"), get("ce-id"));
        let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        // Of a message that makes no sense the id does not tell it from others.
        if get("ce-id").is_empty() {
            headers.insert(async_nats::header::NATS_MESSAGE_ID, uuid::Uuid::now_v7().to_string().as_str());
        } else {
            headers.insert(async_nats::header::NATS_MESSAGE_ID, id.as_str());
        }
        headers.insert("waybill-service", self.name);
        headers.insert("waybill-error", line(error).as_str());
        headers.insert("waybill-attempts", attempts.to_string().as_str());
        headers.insert("waybill-failed-at", now.as_str());
        let subject = format!("dead.{}.{event}", self.name);
        let sent = jetstream.publish_with_headers(subject, headers, body).await.map_err(Trouble::of)?;
        sent.await.map(drop).map_err(Trouble::of)
    }
}

/// A header is one line.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect()
}

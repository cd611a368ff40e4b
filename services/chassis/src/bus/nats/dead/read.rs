//! Reads the stream of dead letters from outside: for `waybill lost`. Only headers travel, in batches, and each letter is
//! cut to size before the next is taken, so that no stream, however large, costs more than some megabytes.

use std::time::Duration;

use async_nats::{
    Client, HeaderMap, ServerAddr,
    jetstream::{
        ErrorCode,
        consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull::Config as PullConfig},
        context::{ContextBuilder, GetStreamErrorKind},
        stream::Stream,
    },
};
use futures::StreamExt;
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    super::{ANSWER, Nats, Trouble, credentials, options},
    STREAM,
};
use crate::Settings;

/// Messages asked for at once.
const BATCH: usize = 256;
/// Most of one batch, in bytes: above what a server lets one message weigh unless told otherwise (1 MiB).
const BATCH_BYTES: usize = 8 << 20;
/// Most that is read in all, in bytes.
const MOST_BYTES: usize = 64 << 20;
/// Longest text of one header, in characters.
const LONGEST: usize = 500;
/// Longest time for everything.
const PATIENCE: Duration = Duration::from_secs(15);

/// A message that nobody will handle any more. What a foreign message lacks is empty.
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
    /// When it was made, by its sender's clock, Unix milliseconds.
    pub created_ms: Option<i64>,
    /// When it was given up, by its receiver's clock, Unix milliseconds.
    pub failed_ms: Option<i64>,
    /// The order's trace, 32 hex digits: that of the message's creation.
    pub trace_id: Option<String>,
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetters {
    /// Oldest first.
    pub letters: Vec<DeadLetter>,
    /// How many more there are that were not read.
    pub unread: u64,
}

/// Where dead letters are, as the services' own settings say.
#[derive(Debug, Clone)]
pub struct DeadLetterBox {
    servers: Vec<ServerAddr>,
    credentials: Option<String>,
}

/// Why dead letters cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("NATS at {server} does not answer: {why}")]
pub struct DeadLettersError {
    /// Host and port, without user and password.
    pub server: String,
    /// In the words of NATS or of the system.
    pub why: String,
}

// === impl DeadLetterBox ===

impl DeadLetterBox {
    /// Reads `NATS_URL` (or `NATS_URL_FILE`) and `NATS_CREDS`, as the services do; `None` where the URL is unset or bad
    /// ([`Settings::check`] tells which). Nothing is opened yet.
    pub fn from_settings(settings: &Settings) -> Option<Self> {
        let servers = Nats::servers(settings)?;
        Some(Self { servers, credentials: credentials(settings) })
    }

    /// What was given up at `since_ms` (Unix milliseconds) or later, the newest `most` of it; nothing where no service has made
    /// the stream yet.
    ///
    /// # Errors
    /// [`DeadLettersError`], within 15 seconds.
    pub async fn read(&self, since_ms: i64, most: usize) -> Result<DeadLetters, DeadLettersError> {
        let read = async {
            let client = self.connect().await?;
            let jetstream = ContextBuilder::new().timeout(ANSWER).build(client);
            match jetstream.get_stream(STREAM).await {
                Ok(stream) => newest(stream, since_ms, most).await,
                Err(e) => match e.kind() {
                    GetStreamErrorKind::JetStream(ref why)
                        if why.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                    {
                        Ok(DeadLetters::default())
                    }
                    _ => Err(Trouble::of(e)),
                },
            }
        };
        let ended = tokio::time::timeout(PATIENCE, read).await;
        let ended = ended.unwrap_or_else(|_| Err(Trouble(format!("not done within {PATIENCE:?}"))));
        ended.map_err(|e| DeadLettersError { server: self.server(), why: e.to_string() })
    }

    /// Once: who asks by hand is told at once that nobody is there.
    async fn connect(&self) -> Result<Client, Trouble> {
        let options = options(&self.servers, self.credentials.as_deref(), "dead-letters")?;
        options.connect(&self.servers[..]).await.map_err(Trouble::of)
    }

    fn server(&self) -> String {
        let named = self.servers.iter().map(|s| format!("{}:{}", s.host(), s.port()));
        named.collect::<Vec<_>>().join(", ")
    }
}

async fn newest(mut stream: Stream, since_ms: i64, most: usize) -> Result<DeadLetters, Trouble> {
    let since = OffsetDateTime::from_unix_timestamp_nanos(i128::from(since_ms) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let mut consumer = reader(&stream, DeliverPolicy::ByStartTime { start_time: since }).await?;
    let there = consumer.cached_info().num_pending;
    let wanted = u64::try_from(most).unwrap_or(u64::MAX);
    let mut unread = 0;
    if there > wanted {
        unread = there - wanted;
        let last = stream.info().await.map_err(Trouble::of)?.state.last_sequence;
        let start_sequence = last.saturating_sub(wanted).saturating_add(1).max(1);
        consumer = reader(&stream, DeliverPolicy::ByStartSequence { start_sequence }).await?;
    }
    let pending = usize::try_from(consumer.cached_info().num_pending).unwrap_or(usize::MAX).min(most);
    let mut letters = Vec::with_capacity(pending.min(BATCH));
    let mut bytes = 0;
    while letters.len() < pending && bytes < MOST_BYTES {
        let before = letters.len();
        bytes += batch(&consumer, &mut letters, (pending - before).min(BATCH)).await?;
        if letters.len() == before {
            break;
        }
    }
    unread += u64::try_from(pending - letters.len()).unwrap_or_default();
    Ok(DeadLetters { letters, unread })
}

/// A reader that the server forgets by itself.
async fn reader(stream: &Stream, deliver_policy: DeliverPolicy) -> Result<PullConsumer, Trouble> {
    let config = PullConfig {
        deliver_policy,
        ack_policy: AckPolicy::None,
        headers_only: true,
        memory_storage: true,
        num_replicas: 1,
        inactive_threshold: Duration::from_secs(30),
        ..PullConfig::default()
    };
    stream.create_consumer(config).await.map_err(Trouble::of)
}

/// Adds up to `most` letters; what they weighed.
async fn batch(
    consumer: &PullConsumer,
    letters: &mut Vec<DeadLetter>,
    most: usize,
) -> Result<usize, Trouble> {
    let fetch = consumer.fetch().max_messages(most).max_bytes(BATCH_BYTES);
    let mut messages = fetch.messages().await.map_err(Trouble::of)?;
    let (mut bytes, before) = (0, letters.len());
    while let Some(message) = messages.next().await {
        match message {
            Ok(message) => {
                bytes += message.length;
                letters.push(letter(message.headers.as_ref()));
            }
            // The next one would make the batch too heavy: it begins another.
            Err(_) if letters.len() > before => break,
            Err(e) => return Err(Trouble(e.to_string())),
        }
    }
    Ok(bytes)
}

fn letter(headers: Option<&HeaderMap>) -> DeadLetter {
    let text = |name: &str| {
        let value = headers.and_then(|h| h.get(name)).map(|v| v.as_str()).unwrap_or_default();
        value.chars().take(LONGEST).collect::<String>()
    };
    DeadLetter {
        service: text("waybill-service"),
        event_type: text("ce-type"),
        event_id: text("ce-id"),
        source: text("ce-source").trim_start_matches('/').to_owned(),
        order_id: text("ce-subject"),
        error: text("waybill-error"),
        attempts: text("waybill-attempts").parse().unwrap_or(0),
        created_ms: unix_ms(&text("ce-time")),
        failed_ms: unix_ms(&text("waybill-failed-at")),
        trace_id: crate::book::trace_id(&text("ce-traceparent")),
    }
}

fn unix_ms(text: &str) -> Option<i64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_read_from_its_headers_and_cut_to_size() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("ce-id", "e-1"),
            ("ce-source", "/restaurant-orders"),
            ("ce-subject", "o-1"),
            ("ce-time", "2026-11-21T10:00:00Z"),
            ("ce-traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("waybill-attempts", "3"),
        ] {
            headers.insert(name, value);
        }
        headers.insert("waybill-error", "x".repeat(10_000).as_str());
        let read = letter(Some(&headers));
        assert_eq!((read.source.as_str(), read.order_id.as_str()), ("restaurant-orders", "o-1"));
        assert_eq!((read.attempts, read.created_ms, read.failed_ms), (3, Some(1_795_255_200_000), None));
        assert_eq!(read.trace_id.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
        assert_eq!(read.error.len(), LONGEST);
        assert_eq!(letter(None).order_id, "");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named_without_its_password() {
        let settings = Settings::from_pairs([("NATS_URL", "nats://u:secret@127.0.0.1:1")]);
        let error = DeadLetterBox::from_settings(&settings).unwrap().read(0, 1).await.unwrap_err();
        let told = error.to_string();
        assert!(
            told.contains("127.0.0.1:1") && told.contains("refused") && !told.contains("secret"),
            "{told}"
        );
    }
}

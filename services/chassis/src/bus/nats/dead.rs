//! Dead letters: messages that were handled in vain until nobody tried any more, for a human to look at.

use std::time::Duration;

use async_nats::{
    HeaderMap,
    jetstream::stream::{Config as StreamConfig, RetentionPolicy},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Nats, Trouble, words};

mod read;

pub use read::{DeadLetter, DeadLetterBox, DeadLetters, DeadLettersError};

const STREAM: &str = "waybill-dead";
/// How long dead letters are kept.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

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

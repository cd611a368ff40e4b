//! Messages over NATS JetStream, when `NATS_URL` is set. The outbox stays the source of truth: a message leaves it when
//! JetStream has said that it is on its disk.
//!
//! | what | name | why |
//! |--|--|--|
//! | stream for each receiver | `waybill-<service>`, subjects `waybill.<service>.<order>.<event>` | work queue: a message stays until it was handled; full, it refuses new ones, which wait in outboxes |
//! | durable pull consumer | `<service>` | explicit ack after the work, not after the receipt; progress acks while it lasts |
//! | stream of dead letters | `waybill-dead`, subjects `dead.<service>.<event>` | what was handled in vain, before it is terminated |
//!
//! `Nats-Msg-Id` is the event's id: JetStream drops what it has had within ten minutes, and the inbox, whose commit decides,
//! whatever comes later. Streams are made by whoever needs them first, and left as they are when they exist: an operator may
//! change their limits and replicas.

use std::{
    collections::HashSet,
    str::FromStr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::{
    Client, ConnectOptions, Event as Change, HeaderMap, ServerAddr,
    connection::State,
    jetstream::{
        self, Context,
        stream::{Config as StreamConfig, DiscardPolicy, RetentionPolicy, Stream},
    },
};
use async_trait::async_trait;
use telemetry::context;
use tokio::sync::OnceCell;

use super::{Event, Transport, Undelivered, cloudevents};
use crate::Settings;

mod dead;
mod receiver;

pub use dead::{DeadLetter, DeadLetterBox, DeadLetters, DeadLettersError};
pub(super) use receiver::{Held, receive};

/// JetStream drops a message whose id it has had within this time.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Longest wait for JetStream's answer to a question of administration.
const ANSWER: Duration = Duration::from_secs(5);
/// The subject's first word.
const ROOT: &str = "waybill";

/// The connection, made when first needed, and everything held back from it.
#[derive(Debug)]
pub(crate) struct Nats {
    servers: Vec<ServerAddr>,
    credentials: Option<String>,
    name: &'static str,
    /// JetStream's word on a message must come within this time.
    limit: Duration,
    ack_wait: Duration,
    stream_bytes: i64,
    replicas: usize,
    jetstream: OnceCell<Context>,
    /// Streams known to be there.
    made: Mutex<HashSet<String>>,
    held: Held,
}

/// Hands events to [`Nats`] for the relay.
#[derive(Debug, Clone)]
pub(super) struct OverNats(pub(super) std::sync::Arc<Nats>);

/// What went wrong with JetStream, in its own words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Trouble(String);

// === impl Nats ===

impl Nats {
    /// Reads `NATS_URL` (or `NATS_URL_FILE`) and what belongs to it; `None` where it is unset. Nothing is opened yet.
    pub(super) fn from_settings(settings: &Settings, name: &'static str) -> Option<Self> {
        let this = Self {
            servers: Vec::new(),
            credentials: credentials(settings),
            name,
            limit: settings.duration("WAYBILL_DELIVERY_TIMEOUT", "10s"),
            ack_wait: settings.duration("WAYBILL_NATS_ACK_WAIT", "30s"),
            stream_bytes: settings.number("WAYBILL_NATS_STREAM_BYTES", 256 << 20, 1 << 20..=1 << 50),
            replicas: settings.number("WAYBILL_NATS_REPLICAS", 1, 1..=5),
            jetstream: OnceCell::new(),
            made: Mutex::default(),
            held: Held::default(),
        };
        Some(Self { servers: Self::servers(settings)?, ..this })
    }

    /// The servers that `NATS_URL` (or `NATS_URL_FILE`) names; `None` where it is unset or bad.
    fn servers(settings: &Settings) -> Option<Vec<ServerAddr>> {
        servers(&settings.secret("NATS_URL")?).map_err(|why| settings.reject("NATS_URL", why)).ok()
    }

    /// Whether the connection stands now.
    pub(crate) fn connected(&self) -> bool {
        self.jetstream.get().is_some_and(|js| js.client().connection_state() == State::Connected)
    }

    /// JetStream, through a connection that is made anew for as long as it takes: a server that is away at start is no
    /// reason not to start.
    async fn jetstream(&self) -> Result<&Context, Trouble> {
        let connect = || async {
            let client = connect(&self.servers, self.credentials.as_deref(), self.name).await?;
            Ok(jetstream::context::ContextBuilder::new()
                .timeout(ANSWER)
                .ack_timeout(self.limit)
                .max_ack_inflight(4096)
                .build(client))
        };
        self.jetstream.get_or_try_init(connect).await
    }

    /// The stream that `receiver`'s messages wait in.
    async fn stream(&self, receiver: &str) -> Result<Stream, Trouble> {
        let name = format!("{ROOT}-{receiver}");
        let config = StreamConfig {
            subjects: vec![format!("{ROOT}.{receiver}.>")],
            description: Some(format!("messages that {receiver} has still to handle")),
            retention: RetentionPolicy::WorkQueue,
            max_bytes: self.stream_bytes,
            discard: DiscardPolicy::New,
            duplicate_window: REMEMBERED,
            num_replicas: self.replicas,
            name,
            ..StreamConfig::default()
        };
        self.jetstream().await?.get_or_create_stream(config).await.map_err(Trouble::of)
    }

    async fn publish(&self, receiver: &str, event: &Event) -> Result<(), Trouble> {
        let jetstream = self.jetstream().await?;
        let known = |name: &str| self.made.lock().unwrap_or_else(PoisonError::into_inner).contains(name);
        if !known(receiver) {
            self.stream(receiver).await?;
            self.made.lock().unwrap_or_else(PoisonError::into_inner).insert(receiver.to_owned());
        }
        let subject = format!("{ROOT}.{receiver}.{}.{}", word(&event.subject), words(&event.event_type));
        let sent = async {
            let sent = jetstream.publish_with_headers(subject, headers(event), event.body.clone().into());
            sent.await.map_err(Trouble::of)?.await.map_err(Trouble::of)
        };
        match sent.await {
            Ok(_) => Ok(()),
            Err(e) => {
                // Somebody may have removed the stream; it is looked for again.
                self.made.lock().unwrap_or_else(PoisonError::into_inner).remove(receiver);
                Err(e)
            }
        }
    }
}

#[async_trait]
impl Transport for OverNats {
    async fn deliver(&self, receiver: &str, _url: &str, event: &Event) -> Result<(), Undelivered> {
        self.0.publish(receiver, event).await.map_err(|e| Undelivered::Later(e.to_string()))
    }

    /// While the connection is down nothing is tried: it would only make the pauses longer.
    async fn ready(&self) -> bool {
        self.0.jetstream().await.is_ok() && self.0.connected()
    }

    fn system(&self) -> &'static str {
        "nats"
    }
}

// === impl Trouble ===

impl Trouble {
    fn of(e: impl std::error::Error) -> Self {
        let mut text = e.to_string();
        let mut next = e.source();
        while let Some(source) = next {
            let line = source.to_string();
            if !text.contains(&line) {
                text = format!("{text}: {line}");
            }
            next = source.source();
        }
        Self(text)
    }
}

/// Connects in the background: what cannot be reached now is tried again, at first often, then every two seconds.
async fn connect(servers: &[ServerAddr], credentials: Option<&str>, name: &str) -> Result<Client, Trouble> {
    let told = AtomicBool::new(false);
    options(servers, credentials, name)?
        .retry_on_initial_connect()
        // A server behind a partition is noticed after two pings without an answer.
        .ping_interval(Duration::from_secs(5))
        .reconnect_delay_callback(|attempts| {
            Duration::from_millis(100 << attempts.min(5)).min(Duration::from_secs(2))
        })
        .event_callback(move |change| {
            let quiet = note(&change, &told);
            async move {
                if !quiet {
                    tracing::warn!(%change, "NATS: messages wait in the outbox meanwhile");
                }
            }
        })
        .connect(servers)
        .await
        .map_err(Trouble::of)
}

/// Who asks, and how long an answer may take.
fn options(servers: &[ServerAddr], credentials: Option<&str>, name: &str) -> Result<ConnectOptions, Trouble> {
    let options = match credentials {
        Some(text) => ConnectOptions::with_credentials(text).map_err(Trouble::of)?,
        None => in_url(servers),
    };
    Ok(options.name(format!("waybill-{name}")).connection_timeout(ANSWER).request_timeout(Some(ANSWER)))
}

/// What stands before the `@` of `NATS_URL`: user and password, or a token. The client itself overlooks it.
fn in_url(servers: &[ServerAddr]) -> ConnectOptions {
    let plain = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let given = servers.iter().find_map(|s| Some((plain(s.username()?), s.password().map(plain))));
    match given {
        Some((user, Some(password))) => ConnectOptions::with_user_and_password(user, password),
        Some((token, None)) => ConnectOptions::with_token(token),
        None => ConnectOptions::new(),
    }
}

/// Whether the change is no news: each outage is told once, and so is its end.
fn note(change: &Change, told: &AtomicBool) -> bool {
    match change {
        Change::Connected => {
            if told.swap(false, Ordering::Relaxed) {
                tracing::info!("NATS: connected again");
            }
            true
        }
        Change::Draining | Change::Closed => true,
        _ => told.swap(true, Ordering::Relaxed),
    }
}

fn servers(url: &str) -> Result<Vec<ServerAddr>, String> {
    let one = |text: &str| match ServerAddr::from_str(text.trim()) {
        Ok(server) if server.host().is_empty() => Err("names no host; write nats://host:4222".to_owned()),
        Ok(server) if matches!(server.scheme(), "nats" | "tls") => Ok(server),
        Ok(_) => Err("must begin with nats:// or tls://".to_owned()),
        Err(e) => Err(format!("{e}; write nats://host:4222, several with commas")),
    };
    url.split(',').map(one).collect()
}

/// The text of the file that `NATS_CREDS` names.
fn credentials(settings: &Settings) -> Option<String> {
    let path = settings.optional("NATS_CREDS")?;
    let text = std::fs::read_to_string(path).map_err(|e| format!("{e}; name a .creds file"));
    let usable = |text: String| match ConnectOptions::with_credentials(&text) {
        Ok(_) => Ok(text),
        Err(e) => Err(format!("{e}; name a .creds file")),
    };
    text.and_then(usable).map_err(|why| settings.reject("NATS_CREDS", why)).ok()
}

/// CloudEvents 1.0, NATS protocol binding, binary mode: attributes as `ce-` headers. `traceparent`, `tracestate` and
/// `baggage` are the transport's, as in HTTP.
fn headers(event: &Event) -> HeaderMap {
    let mut http = http::HeaderMap::new();
    context::inject(&mut http, true);
    let mut headers = HeaderMap::new();
    for (name, value) in &http {
        if let Ok(value) = value.to_str() {
            headers.insert(name.as_str(), value);
        }
    }
    headers.insert(async_nats::header::NATS_MESSAGE_ID, event.id.as_str());
    for (name, value) in cloudevents::attributes(event) {
        headers.insert(name, value.as_str());
    }
    headers.insert("ce-datacontenttype", "application/json");
    headers
}

/// As words of a subject: without what has a meaning there.
fn words(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '_' }).collect()
}

/// As one word of a subject.
fn word(text: &str) -> String {
    words(text).replace('.', "_")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_name_several_servers_and_nothing_but_nats() {
        assert_eq!(servers("nats://a:4222, tls://b:4222").unwrap().len(), 2);
        for text in ["http://a:4222", "nats://a:x", "", "nats://"] {
            assert!(servers(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bad_settings_are_named_without_passwords() {
        let settings = Settings::from_pairs([("NATS_URL", "http://u:secret@h"), ("NATS_CREDS", "/nowhere")]);
        assert!(Nats::from_settings(&settings, "auth").is_none());
        let text = settings.check().unwrap_err().to_string();
        assert!(
            text.contains("NATS_URL") && text.contains("NATS_CREDS") && !text.contains("secret"),
            "{text}"
        );
    }
}

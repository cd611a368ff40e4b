//! Messages: `create`, `send`, `process`, `settle`, by the messaging conventions (development).
//!
//! A message outlives the request that made it, so its context is stored with it:
//!
//! ```
//! # async fn demo() -> Result<(), std::io::Error> {
//! use telemetry::messaging::{self, Message};
//! let message = Message::new("order.accepted", "event-1").system("cloudevents").conversation("order-1");
//! // in the transaction that writes the event; store both strings with it
//! let stored = messaging::create(&message);
//! // in the relay: a client span; `context::inject` or `http::carrier` inside it carries its context
//! messaging::send(&message, &stored, async { Ok::<_, std::io::Error>(()) }).await?;
//! // at the receiver: child of *and* linked to the creation, numbered by delivery
//! messaging::process(&message.clone().delivery(2), &stored, async { Ok::<_, std::io::Error>(()) }).await?;
//! messaging::settle(&message, async { Ok::<_, std::io::Error>(()) }).await?;
//! # Ok(()) }
//! ```
//!
//! A failed operation is a span with status Error, `error.type` and the error's text; what a future that is dropped was
//! doing ends as cancelled.

use crate::active;
use crate::context::{Attribute, StoredContext};
use opentelemetry::context::FutureExt as _;
use opentelemetry::trace::{Link, SpanBuilder, SpanKind, Status, TraceContextExt as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_semantic_conventions::attribute as semconv;
use std::borrow::Cow;
use std::fmt::Display;
use std::future::Future;

/// How often a message was delivered, this time included (int); the conventions have no general name for it.
pub const DELIVERY_ATTEMPT: &str = "handoff.delivery_attempt";

/// A message as its spans describe it.
#[derive(Debug, Clone)]
pub struct Message {
    destination: Cow<'static, str>,
    id: String,
    system: &'static str,
    conversation: Option<String>,
    group: Option<Cow<'static, str>>,
    delivery: Option<i64>,
    attributes: Vec<Attribute>,
}

/// The four operations, which are `messaging.operation.name` and `.type`.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Create,
    Send,
    Receive,
    Process,
    Settle,
}

/// Ends its span when dropped, as cancelled if nothing else was said.
struct Ending {
    cx: Context,
    ended: bool,
}

/// The span of a message's birth: PRODUCER, child of the running span, over at once. Store what it returns with the
/// message; both strings are empty outside a trace.
#[must_use]
pub fn create(message: &Message) -> StoredContext {
    let cx = message.start(Kind::Create, &Context::current(), Vec::new());
    let span = cx.span();
    if active::tracer().is_some() {
        span.end();
    }
    StoredContext::of(&cx)
}

/// Runs the delivery of a message in a CLIENT span `send <destination>`, child of its creation. Its context is what the
/// transport must carry.
///
/// # Errors
/// Those of `future`.
pub async fn send<T, E: Display>(
    message: &Message,
    created: &StoredContext,
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let parent = under(created);
    watch(message.start(Kind::Send, &parent, Vec::new()), future).await
}

/// Runs the taking of a message from a broker in a CLIENT span `receive <destination>`: child of the running context, which
/// is the transport's, and linked to the message's creation.
///
/// # Errors
/// Those of `future`.
pub async fn receive<T, E: Display>(
    message: &Message,
    created: &StoredContext,
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let links = created.span_context().map(|span| Link::new(span, Vec::new(), 0)).into_iter().collect();
    watch(message.start(Kind::Receive, &Context::current(), links), future).await
}

/// Runs the work on a message in a CONSUMER span `process <destination>`: child of its creation and linked to it. Baggage
/// is that of the running context (the transport's). Give each redelivery its number ([`Message::delivery`]).
///
/// # Errors
/// Those of `future`.
pub async fn process<T, E: Display>(
    message: &Message,
    created: &StoredContext,
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let links = created.span_context().map(|span| Link::new(span, Vec::new(), 0)).into_iter().collect();
    let parent = under(created);
    watch(message.start(Kind::Process, &parent, links), future).await
}

/// Runs the acknowledgement of a message in a CLIENT span `settle <destination>`, child of the running span.
///
/// # Errors
/// Those of `future`.
pub async fn settle<T, E: Display>(
    message: &Message,
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    watch(message.start(Kind::Settle, &Context::current(), Vec::new()), future).await
}

// === impl Message ===

impl Message {
    /// A message for a destination (a topic, or the type of an event) with its unique id.
    pub fn new(destination: impl Into<Cow<'static, str>>, id: impl Into<String>) -> Self {
        Self {
            destination: destination.into(),
            id: id.into(),
            system: "cloudevents",
            conversation: None,
            group: None,
            delivery: None,
            attributes: Vec::new(),
        }
    }

    /// `messaging.system`: `cloudevents` unless told otherwise.
    #[must_use]
    pub fn system(mut self, system: &'static str) -> Self {
        self.system = system;
        self
    }

    /// `messaging.message.conversation_id`: what the message is about, such as an order's id.
    #[must_use]
    pub fn conversation(mut self, id: impl Into<String>) -> Self {
        self.conversation = Some(id.into());
        self
    }

    /// `messaging.consumer.group.name`: who receives it.
    #[must_use]
    pub fn consumer_group(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.group = Some(name.into());
        self
    }

    /// How often it was delivered, 1 the first time: [`DELIVERY_ATTEMPT`].
    #[must_use]
    pub fn delivery(mut self, attempt: u32) -> Self {
        self.delivery = Some(i64::from(attempt));
        self
    }

    /// An attribute of the caller's own, on every span of this message.
    #[must_use]
    pub fn with(mut self, attribute: Attribute) -> Self {
        self.attributes.push(attribute);
        self
    }

    fn start(&self, kind: Kind, parent: &Context, links: Vec<Link>) -> Context {
        if active::tracer().is_none() {
            return parent.clone();
        }
        let mut attributes = vec![
            KeyValue::new(semconv::MESSAGING_SYSTEM, self.system),
            KeyValue::new(semconv::MESSAGING_DESTINATION_NAME, self.destination.clone()),
            KeyValue::new(semconv::MESSAGING_OPERATION_NAME, kind.name()),
            KeyValue::new(semconv::MESSAGING_OPERATION_TYPE, kind.name()),
            KeyValue::new(semconv::MESSAGING_MESSAGE_ID, self.id.clone()),
        ];
        let text = |key: &'static str, value: &str| KeyValue::new(key, value.to_owned());
        attributes.extend(
            self.conversation.as_deref().map(|v| text(semconv::MESSAGING_MESSAGE_CONVERSATION_ID, v)),
        );
        attributes.extend(self.group.as_deref().map(|v| text(semconv::MESSAGING_CONSUMER_GROUP_NAME, v)));
        attributes.extend(self.delivery.map(|attempt| KeyValue::new(DELIVERY_ATTEMPT, attempt)));
        attributes.extend(self.attributes.iter().cloned());
        let builder = SpanBuilder::from_name(format!("{} {}", kind.name(), self.destination))
            .with_kind(kind.span_kind())
            .with_attributes(attributes)
            .with_links(links);
        active::start(builder, parent)
    }
}

// === impl Kind ===

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Process => "process",
            Self::Settle => "settle",
        }
    }

    fn span_kind(self) -> SpanKind {
        match self {
            Self::Create => SpanKind::Producer,
            Self::Process => SpanKind::Consumer,
            Self::Send | Self::Receive | Self::Settle => SpanKind::Client,
        }
    }
}

// === impl Ending ===

impl Ending {
    fn end(&mut self, error: Option<(&'static str, String)>) {
        if std::mem::replace(&mut self.ended, true) || active::tracer().is_none() {
            return;
        }
        let span = self.cx.span();
        if let Some((kind, description)) = error {
            span.set_attribute(KeyValue::new(semconv::ERROR_TYPE, kind));
            span.set_status(Status::error(description));
        }
        span.end();
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let kind = if std::thread::panicking() { "panic" } else { "cancelled" };
        self.end(Some((kind, format!("{kind} before it was complete"))));
    }
}

async fn watch<T, E: Display>(cx: Context, future: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let mut ending = Ending { cx: cx.clone(), ended: false };
    let result = future.with_context(cx).await;
    ending.end(result.as_ref().err().map(|error| ("_OTHER", error.to_string())));
    result
}

/// The running context under the message's creation, which is the sender's span to all that happens in it.
fn under(created: &StoredContext) -> Context {
    let cx = Context::current();
    created.over(&cx).unwrap_or(cx)
}

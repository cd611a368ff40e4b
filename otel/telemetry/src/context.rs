//! The context of the code that is running: which trace it belongs to and which baggage travels with it.
//!
//! Nothing here names OpenTelemetry, so that a service need not. All of it works with the SDK disabled, too: then the
//! context is the caller's.
//!
//! ```
//! # async fn demo() {
//! use telemetry::context;
//! // keep the context of now with work that outlives this call
//! context::spawn(async { /* spans in here belong to the same trace */ });
//! // all spans in here, and all calls to our own services, bear the order's id
//! context::current().with_baggage("order.id", "o-1").run(async {}).await;
//! # }
//! ```

use crate::active;
use crate::propagation::{self, Inbound, traceparent};
use opentelemetry::baggage::{BaggageExt as _, KeyValueMetadata};
use opentelemetry::context::{FutureExt as _, WithContext};
use opentelemetry::trace::{SpanBuilder, SpanContext, Status, TraceContextExt as _};
use opentelemetry::{Context, ContextGuard, KeyValue};
use std::future::Future;
use tokio::task::JoinHandle;

pub use opentelemetry::{KeyValue as Attribute, Value};

/// A span's context in the form in which it is stored with a cart, an order or an event. Both parts are empty when
/// there was no trace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct StoredContext {
    /// W3C `traceparent`, or empty.
    pub traceparent: String,
    /// W3C `tracestate`, or empty.
    pub tracestate: String,
}

/// A context that is not (yet) the running one.
#[derive(Debug, Clone)]
#[must_use = "a scope does nothing until it is run or entered"]
pub struct Scope(pub(crate) Context);

/// Leaves the scope when dropped. Must not be held over an `.await`: use [`Scope::run`] there.
#[derive(Debug)]
#[must_use = "dropping it leaves the scope at once"]
pub struct Entered(#[expect(dead_code, reason = "held for its drop")] ContextGuard);

/// The context of the code that is running.
pub fn current() -> Scope {
    Scope(Context::current())
}

/// A context without trace and baggage, for work that is not part of what runs now.
pub fn root() -> Scope {
    Scope(Context::new())
}

/// The current context under the stored span, with the current baggage: what happens in this scope is its child.
/// When nothing valid is stored it is the current context.
pub fn attach(stored: &StoredContext) -> Scope {
    current().with_parent(stored)
}

/// [`tokio::spawn`] that keeps the running context. A bare `tokio::spawn` always loses it.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[allow(clippy::disallowed_methods, reason = "this is the one place that wraps it")]
    tokio::spawn(current().run(future))
}

/// Trace id of the running context, 32 lower-case hex digits; `None` outside a trace.
#[must_use]
pub fn trace_id() -> Option<String> {
    Context::map_current(|cx| span_of(cx).map(|span| span.trace_id().to_string()))
}

/// Span id of the running context, 16 lower-case hex digits; `None` outside a trace.
#[must_use]
pub fn span_id() -> Option<String> {
    Context::map_current(|cx| span_of(cx).map(|span| span.span_id().to_string()))
}

/// W3C `traceparent` of the running context; `None` outside a trace.
#[must_use]
pub fn traceparent() -> Option<String> {
    Context::map_current(|cx| propagation::outgoing(cx).map(|(parent, _)| parent))
}

/// The running context to be stored. Empty outside a trace.
#[must_use]
pub fn store() -> StoredContext {
    Context::map_current(StoredContext::of)
}

/// Whether the running span is being recorded: costly attributes can be left out when it is not.
#[must_use]
pub fn is_recording() -> bool {
    Context::map_current(|cx| cx.span().is_recording())
}

/// A baggage entry of the running context.
#[must_use]
pub fn baggage(key: &str) -> Option<String> {
    Context::map_current(|cx| cx.baggage().get(key).map(ToString::to_string))
}

/// Links the running span to the stored one: related, but not its child.
pub fn link(stored: &StoredContext, attributes: Vec<Attribute>) {
    if let Some(span) = stored.span_context() {
        Context::map_current(|cx| cx.span().add_link(span, attributes));
    }
}

/// Sets an attribute of the running span, which may be the server span of the request. Numbers must be `i64`.
pub fn set_attribute(key: &'static str, value: impl Into<Value>) {
    Context::map_current(|cx| cx.span().set_attribute(KeyValue::new(key, value)));
}

/// Marks the running span as failed: `error.type` (low cardinality) and status Error with its description.
pub fn fail(error_type: &'static str, description: impl Into<std::borrow::Cow<'static, str>>) {
    Context::map_current(|cx| {
        let span = cx.span();
        span.set_attribute(KeyValue::new(
            opentelemetry_semantic_conventions::attribute::ERROR_TYPE,
            error_type,
        ));
        span.set_status(Status::error(description));
    });
}

/// A receipt: the short span `accept <step>`, child of the *sender's* span, sent before long work begins. A hang or a
/// death is then visible a second after the hand-off and not when a span ends that never will.
///
/// The sender's span is what the caller's `traceparent` named, or the message's creation context inside
/// [`messaging::process`](crate::messaging::process); outside both it is the running span.
pub fn accept(step: &str, attributes: Vec<Attribute>) {
    let cx = Context::current();
    let parent = match cx.get::<Inbound>() {
        Some(inbound) => cx.with_remote_span_context(inbound.sender.clone()),
        None => cx,
    };
    if active::tracer().is_some() {
        let builder = SpanBuilder::from_name(format!("accept {step}")).with_attributes(attributes);
        active::start(builder, &parent).span().end();
    }
}

/// Writes the running context to the headers of a message or request that no layer of ours sends: `traceparent`,
/// `tracestate` and, only towards our own services, `baggage`.
pub fn inject(headers: &mut http::HeaderMap, with_baggage: bool) {
    Context::map_current(|cx| propagation::inject(cx, headers, with_baggage));
}

/// The sender's context in the headers of a message that no layer of ours has received. `with_baggage`: the sender is one
/// of our own services.
pub fn extract(headers: &http::HeaderMap, with_baggage: bool) -> Scope {
    Scope(propagation::extract(headers, with_baggage))
}

// === impl StoredContext ===

impl StoredContext {
    /// Nothing valid is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.span_context().is_none()
    }

    /// Trace id of the stored span, 32 lower-case hex digits.
    #[must_use]
    pub fn trace_id(&self) -> Option<String> {
        self.span_context().map(|span| span.trace_id().to_string())
    }

    pub(crate) fn of(cx: &Context) -> Self {
        let (traceparent, tracestate) = propagation::outgoing(cx).unwrap_or_default();
        Self { traceparent, tracestate }
    }

    pub(crate) fn span_context(&self) -> Option<SpanContext> {
        let under = self.over(&Context::new())?;
        Some(under.span().span_context().clone())
    }

    /// `cx` under the stored span; `None` when nothing valid is stored.
    pub(crate) fn over(&self, cx: &Context) -> Option<Context> {
        let span = traceparent::parse(&self.traceparent)?;
        Some(propagation::under(cx, &span, std::iter::once(self.tracestate.as_str())))
    }
}

// === impl Scope ===

impl Scope {
    /// Adds (or replaces) one baggage entry and keeps the others.
    pub fn with_baggage(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let kept =
            self.0.baggage().iter().map(|(k, (v, m))| KeyValueMetadata::new(k.clone(), v.clone(), m.clone()));
        let added = KeyValueMetadata::new(key.into(), value.into(), "");
        let all: Vec<_> = kept.chain(std::iter::once(added)).collect();
        Self(self.0.with_baggage(all))
    }

    /// Drops all baggage.
    pub fn without_baggage(self) -> Self {
        Self(self.0.with_cleared_baggage())
    }

    /// Puts the scope under the stored span; unchanged when nothing valid is stored.
    pub fn with_parent(self, stored: &StoredContext) -> Self {
        Self(stored.over(&self.0).unwrap_or(self.0))
    }

    /// Runs a future in this context, wherever it is polled.
    pub fn run<F: Future>(self, future: F) -> WithContext<F> {
        future.with_context(self.0)
    }

    /// Makes this the running context until the guard is dropped; for code that does not await.
    pub fn enter(&self) -> Entered {
        Entered(self.0.clone().attach())
    }

    /// W3C `traceparent` of this scope.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        propagation::outgoing(&self.0).map(|(parent, _)| parent)
    }

    /// This scope's span to be stored.
    #[must_use]
    pub fn store(&self) -> StoredContext {
        StoredContext::of(&self.0)
    }
}

fn span_of(cx: &Context) -> Option<SpanContext> {
    let span = cx.span().span_context().clone();
    span.is_valid().then_some(span)
}

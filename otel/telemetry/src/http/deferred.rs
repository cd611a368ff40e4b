//! A server span whose parent the handler knows better than the request does.
//!
//! Some requests carry on a trace that is older than they are and whose context is in a database: an order that is
//! placed from a cart. A span's parent cannot be changed once it is started, so on such routes
//! ([`ServerLayer::deferred`](super::ServerLayer::deferred)) the layer waits for the handler to name it.

use crate::context::{Scope, StoredContext};
use opentelemetry::Context;
use opentelemetry::baggage::{BaggageExt as _, KeyValueMetadata};
use opentelemetry::trace::{Link, SpanBuilder, TraceContextExt as _};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

/// The server span that has not been started yet, shared between layer and handler.
#[derive(Debug, Clone)]
pub(crate) struct Pending(Arc<Mutex<State>>);

/// What contexts hold of it: not the state itself, which in the end holds a context, and neither would ever be freed.
#[derive(Debug, Clone)]
pub(crate) struct Awaited(Weak<Mutex<State>>);

#[derive(Debug)]
pub(crate) enum State {
    Waiting { builder: Box<SpanBuilder>, remote: Context },
    Started(Context),
}

/// Puts the server span of the running request under the stored span and returns the scope to run the rest of the
/// handler in. The span keeps the start time of the request.
///
/// - The caller's own `traceparent` has the same trace id (or nothing is stored): the caller is the parent.
/// - It has another trace id, or there is none: the stored span is the parent, and the caller's span becomes a link.
///
/// Call it before the handler makes spans of its own: those would not be in the trace that it chooses.
///
/// On routes that are not deferred the server span has its parent already: it gets a link to the stored span, and the
/// scope is the running one.
pub fn continue_trace(stored: &StoredContext) -> Scope {
    let cx = Context::current();
    match cx.get::<Awaited>().and_then(|awaited| awaited.0.upgrade()).map(Pending) {
        Some(pending) => Scope(pending.start(Some(stored), &cx)),
        None => {
            crate::context::link(stored, Vec::new());
            Scope(cx)
        }
    }
}

// === impl Pending ===

impl Pending {
    pub(crate) fn new(builder: SpanBuilder, remote: Context) -> Self {
        let builder = Box::new(builder.with_start_time(SystemTime::now()));
        Self(Arc::new(Mutex::new(State::Waiting { builder, remote })))
    }

    /// For the context of the request.
    pub(crate) fn awaited(&self) -> Awaited {
        Awaited(Arc::downgrade(&self.0))
    }

    /// Starts the span (once) and returns its context, with the baggage of `running`.
    pub(crate) fn start(&self, stored: Option<&StoredContext>, running: &Context) -> Context {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (builder, remote) = match &mut *state {
            State::Started(cx) => return cx.clone(),
            State::Waiting { builder, remote } => {
                (std::mem::take(&mut **builder), remote.span().span_context().clone())
            }
        };
        let other =
            stored.filter(|s| s.span_context().is_some_and(|span| span.trace_id() != remote.trace_id()));
        let (base, builder) = match other.and_then(|stored| stored.over(running)) {
            Some(base) if remote.is_valid() => {
                (base, builder.with_links(vec![Link::new(remote, Vec::new(), 0)]))
            }
            Some(base) => (base, builder),
            // Not the running span, which may be one of the handler's own by now.
            None if remote.is_valid() => (running.with_remote_span_context(remote), builder),
            // A root. An invalid parent is still a parent to a parent-based sampler: an unsampled one.
            None => (without_span(running), builder),
        };
        let cx = crate::active::start(builder, &base);
        *state = State::Started(cx.clone());
        cx
    }
}

/// The baggage of `cx` and nothing else of it.
fn without_span(cx: &Context) -> Context {
    let entries = cx.baggage().iter();
    Context::new().with_baggage(
        entries
            .map(|(key, (value, metadata))| {
                KeyValueMetadata::new(key.clone(), value.clone(), metadata.clone())
            })
            .collect::<Vec<_>>(),
    )
}

//! One request or call at the edge of the process: its span and its duration metric, which end together, exactly once,
//! and also when the future that carried it is dropped.

use crate::active;
use crate::http::Pending;
use crate::metrics::Side;
use opentelemetry::trace::{SpanBuilder, Status, TraceContextExt as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_semantic_conventions::attribute as semconv;
use std::borrow::Cow;
use std::time::Instant;

/// An operation under way. Dropping it unfinished ends it as cancelled (or as a panic while unwinding).
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) cx: Context,
    pending: Option<Pending>,
    side: Side,
    started: Instant,
    /// Attributes of the metric: low cardinality only.
    measured: Vec<KeyValue>,
    on_drop: OnDrop,
    ended: bool,
}

/// What an operation is when nobody finished it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnDrop {
    Cancelled,
    Fine,
}

/// How an operation came out.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Attributes for the span and the metric, such as the status code.
    pub(crate) measured: Vec<KeyValue>,
    /// `error.type`, for the span and the metric.
    pub(crate) error_type: Option<Cow<'static, str>>,
    /// Span status Error with this description (possibly empty); `None` leaves the status unset.
    pub(crate) error: Option<Cow<'static, str>>,
}

// === impl Operation ===

impl Operation {
    pub(crate) fn start(side: Side, builder: SpanBuilder, parent: &Context, measured: Vec<KeyValue>) -> Self {
        Self::new(side, active::start(builder, parent), measured)
    }

    /// An operation whose span the handler starts, or else [`Operation::settle`].
    pub(crate) fn wait(side: Side, cx: Context, pending: Pending, measured: Vec<KeyValue>) -> Self {
        let mut operation = Self::new(side, cx, measured);
        operation.pending = Some(pending);
        operation
    }

    /// An operation whose span is made elsewhere.
    pub(crate) fn new(side: Side, cx: Context, measured: Vec<KeyValue>) -> Self {
        Self {
            cx,
            pending: None,
            side,
            started: Instant::now(),
            measured,
            on_drop: OnDrop::Cancelled,
            ended: false,
        }
    }

    /// From here on being dropped is the usual way to end (an event stream that its reader leaves).
    pub(crate) fn may_be_dropped(&mut self) {
        self.on_drop = OnDrop::Fine;
    }

    /// Remembers attributes for the metric and writes them to the span.
    pub(crate) fn observe(&mut self, attributes: Vec<KeyValue>) {
        self.cx.span().set_attributes(attributes.iter().cloned());
        self.measured.extend(attributes);
    }

    /// Nobody here knows the method that was called: its name is the caller's invention and must not become one of ours
    /// (RPC conventions, `rpc.method`).
    pub(crate) fn disown_method(&mut self) {
        let Some(method) = self.measured.iter_mut().find(|kv| kv.key.as_str() == semconv::RPC_METHOD) else {
            return;
        };
        let original = std::mem::replace(&mut method.value, "_OTHER".into());
        let span = self.cx.span();
        span.update_name("grpc");
        span.set_attribute(KeyValue::new(semconv::RPC_METHOD, "_OTHER"));
        span.set_attribute(KeyValue::new(semconv::RPC_METHOD_ORIGINAL, original));
    }

    /// A span that was waiting for the handler and that no one has started takes the caller as parent.
    pub(crate) fn settle(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.cx = pending.start(None, &self.cx);
        }
    }

    pub(crate) fn finish(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.settle();
        let mut attributes = outcome.measured;
        attributes.extend(outcome.error_type.map(|kind| KeyValue::new(semconv::ERROR_TYPE, kind)));
        let span = self.cx.span();
        if span.is_recording() {
            span.set_attributes(attributes.iter().cloned());
            if let Some(description) = outcome.error {
                span.set_status(Status::Error { description });
            }
        }
        if let Some(instruments) = active::instruments() {
            self.measured.extend(attributes);
            // The span is current while measuring, so that exemplars can point to it once the SDK has them.
            let _current = self.cx.clone().attach();
            instruments.record(self.side, self.started.elapsed().as_secs_f64(), &self.measured);
        }
        span.end();
    }

    /// Nobody finished it: the future was dropped, or a panic unwinds.
    fn abandon(&mut self) {
        let panicked = std::thread::panicking();
        let (kind, text) =
            if panicked { ("panic", "panicked") } else { ("cancelled", "cancelled before it was complete") };
        if !matches!(self.side, Side::RpcServer | Side::RpcClient) {
            return self.finish(Outcome::failed(kind, text));
        }
        let code = if panicked { "INTERNAL" } else { "CANCELLED" };
        // A caller that hangs up is no error of a server (RPC conventions, gRPC status); `error.type` shows it all the same.
        let error = panicked || self.side == Side::RpcClient;
        self.finish(Outcome {
            measured: vec![KeyValue::new(semconv::RPC_RESPONSE_STATUS_CODE, code)],
            error_type: Some(Cow::Borrowed(code)),
            error: error.then_some(Cow::Borrowed(text)),
        });
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        match self.on_drop {
            _ if self.ended => {}
            OnDrop::Fine => self.finish(Outcome::default()),
            OnDrop::Cancelled => self.abandon(),
        }
    }
}

// === impl Outcome ===

impl Outcome {
    /// Failed with a cause other than a status code.
    pub(crate) fn failed(
        error_type: impl Into<Cow<'static, str>>,
        description: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { measured: Vec::new(), error_type: Some(error_type.into()), error: Some(description.into()) }
    }
}

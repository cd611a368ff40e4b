//! How a log line looks: JSON for machines, a short line for people at a terminal.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use serde_json::{Map, Value};
use std::fmt;
use std::time::SystemTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime as Clock};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, format::Writer};
use tracing_subscriber::registry::LookupSpan;

/// One JSON object a line: `timestamp` (RFC 3339, UTC), `level`, `message`, `service`, `target`, `trace_id`, `span_id`
/// (inside a trace) and `fields`.
#[derive(Debug, Clone)]
pub(super) struct Json {
    pub(super) service: String,
}

/// `time LEVEL message key=value trace=…`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pretty;

#[derive(Default)]
struct Fields {
    message: String,
    rest: Map<String, Value>,
}

// === impl Json ===

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut line = Map::new();
        line.insert("timestamp".into(), timestamp().into());
        line.insert("level".into(), event.metadata().level().as_str().into());
        line.insert("message".into(), fields.message.into());
        line.insert("service".into(), self.service.as_str().into());
        line.insert("target".into(), event.metadata().target().into());
        if let Some(span) = current_span() {
            line.insert("trace_id".into(), span.trace_id().to_string().into());
            line.insert("span_id".into(), span.span_id().to_string().into());
        }
        if !fields.rest.is_empty() {
            line.insert("fields".into(), Value::Object(fields.rest));
        }
        writeln!(out, "{}", Value::Object(line))
    }
}

// === impl Pretty ===

impl<S, N> FormatEvent<S, N> for Pretty
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = event.metadata().level();
        let colour = match *level {
            Level::ERROR => "31",
            Level::WARN => "33",
            Level::INFO => "32",
            _ => "2",
        };
        let time = timestamp();
        let clock = time.get(11..23).unwrap_or(&time);
        if out.has_ansi_escapes() {
            write!(out, "\u{1b}[2m{clock}\u{1b}[0m \u{1b}[{colour}m{level:>5}\u{1b}[0m {}", fields.message)?;
        } else {
            write!(out, "{clock} {level:>5} {}", fields.message)?;
        }
        for (key, value) in &fields.rest {
            match value {
                Value::String(text) => write!(out, " {key}={text}")?,
                other => write!(out, " {key}={other}")?,
            }
        }
        if let Some(span) = current_span() {
            write!(out, " trace={}", span.trace_id())?;
        }
        writeln!(out)
    }
}

// === impl Fields ===

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => {
                self.rest.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        self.put(field, text.into());
    }
}

/// The span in whose context the event happens: `tracing`'s own current span knows nothing of the layers' spans.
fn current_span() -> Option<SpanContext> {
    Context::map_current(|cx| {
        let span = cx.span().span_context().clone();
        span.is_valid().then_some(span)
    })
}

fn timestamp() -> String {
    let mut text = String::with_capacity(30);
    let _ = Clock.format_time(&mut Writer::new(&mut text));
    if text.is_empty() { format!("{:?}", SystemTime::now()) } else { text }
}

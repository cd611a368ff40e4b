//! What the SDK leaves undone on spans and log records: limits of value length, limits of log attributes, and one value
//! per key. Done by the export thread, so that ending a span stays cheap.

use crate::settings::{AttributeLimits, Limits};
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _};
use opentelemetry::{Array, Key, KeyValue, StringValue, Value};
use opentelemetry_sdk::logs::{SdkLogRecord, SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::trace::SpanData;

/// Applies the limits.
#[derive(Debug)]
pub(crate) struct Clip {
    limits: Limits,
    /// The only way to a new record, which a shorter one must be.
    blank: SdkLogger,
}

// === impl Clip ===

impl Clip {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, blank: SdkLoggerProvider::builder().build().logger("limits") }
    }

    pub(super) fn span(&self, span: &mut SpanData) {
        last_wins(&mut span.attributes);
        let Some(length) = self.limits.span_value_length else { return };
        let events = span.events.events.iter_mut().map(|event| &mut event.attributes);
        let links = span.links.links.iter_mut().map(|link| &mut link.attributes);
        for attributes in std::iter::once(&mut span.attributes).chain(events).chain(links) {
            for attribute in attributes {
                shorten(&mut attribute.value, length);
            }
        }
    }

    pub(super) fn record(&self, record: &mut SdkLogRecord) {
        let AttributeLimits { count, value_length } = self.limits.records;
        let too_long = |value: &AnyValue| match (value, value_length) {
            (AnyValue::String(text), Some(length)) => text.as_str().chars().nth(length).is_some(),
            _ => false,
        };
        let too_many = record.attributes_iter().nth(count).is_some();
        if !too_many && !record.attributes_iter().any(|(_, value)| too_long(value)) {
            return;
        }
        let kept: Vec<(Key, AnyValue)> = record
            .attributes_iter()
            .take(count)
            .map(|(key, value)| match (value, value_length) {
                (AnyValue::String(text), Some(length)) => {
                    (key.clone(), AnyValue::String(prefix(text.as_str(), length).to_owned().into()))
                }
                _ => (key.clone(), value.clone()),
            })
            .collect();
        let mut clipped = self.blank.create_log_record();
        copy(record, &mut clipped);
        clipped.add_attributes(kept);
        *record = clipped;
    }
}

/// Everything but the attributes.
fn copy(from: &SdkLogRecord, to: &mut SdkLogRecord) {
    if let Some(name) = from.event_name() {
        to.set_event_name(name);
    }
    if let Some(target) = from.target() {
        to.set_target(target.clone());
    }
    if let Some(time) = from.timestamp() {
        to.set_timestamp(time);
    }
    if let Some(time) = from.observed_timestamp() {
        to.set_observed_timestamp(time);
    }
    if let Some(text) = from.severity_text() {
        to.set_severity_text(text);
    }
    if let Some(number) = from.severity_number() {
        to.set_severity_number(number);
    }
    if let Some(body) = from.body() {
        to.set_body(body.clone());
    }
    if let Some(trace) = from.trace_context() {
        to.set_trace_context(trace.trace_id, trace.span_id, trace.trace_flags);
    }
}

/// Setting an attribute again replaces it (trace API, "Set Attributes"); the SDK exports both.
fn last_wins(attributes: &mut Vec<KeyValue>) {
    let mut i = 0;
    while i < attributes.len() {
        let later = attributes[i + 1..].iter().position(|other| other.key == attributes[i].key);
        match later {
            Some(offset) => {
                attributes.swap(i, i + 1 + offset);
                attributes.remove(i + 1 + offset);
            }
            None => i += 1,
        }
    }
}

fn shorten(value: &mut Value, length: usize) {
    let clip = |text: &mut StringValue| {
        let kept = prefix(text.as_str(), length);
        if kept.len() < text.as_str().len() {
            *text = kept.to_owned().into();
        }
    };
    match value {
        Value::String(text) => clip(text),
        Value::Array(Array::String(all)) => all.iter_mut().for_each(clip),
        _ => {}
    }
}

/// The first `length` characters.
fn prefix(text: &str, length: usize) -> &str {
    text.char_indices().nth(length).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_that_was_set_again_is_there_once_with_its_last_value() {
        let mut all =
            vec![KeyValue::new("a", 1), KeyValue::new("b", 2), KeyValue::new("a", 3), KeyValue::new("a", 4)];
        last_wins(&mut all);
        assert_eq!(all, [KeyValue::new("a", 4), KeyValue::new("b", 2)]);
    }

    #[test]
    fn values_are_cut_at_characters_and_numbers_are_left_alone() {
        let mut text = Value::from("héllo");
        shorten(&mut text, 2);
        assert_eq!(text, Value::from("hé"));
        let mut number = Value::from(12_345);
        shorten(&mut number, 2);
        assert_eq!(number, Value::from(12_345));
    }
}

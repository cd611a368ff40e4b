//! How much a span or a log record may hold.

use super::reader::Reader;
use opentelemetry_sdk::trace::SpanLimits;

/// Limits of spans and of log records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// What the SDK itself can enforce.
    pub(crate) sdk: SpanLimits,
    /// Longest string of a span's attribute, in characters.
    pub(crate) span_value_length: Option<usize>,
    pub(crate) records: AttributeLimits,
}

/// Limits of attributes, where the SDK has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AttributeLimits {
    pub(crate) count: usize,
    pub(crate) value_length: Option<usize>,
}

// === impl Limits ===

impl Limits {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let length = number(r, "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT");
        let count = number(r, "OTEL_ATTRIBUTE_COUNT_LIMIT").unwrap_or(128);
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            sdk: SpanLimits {
                max_attributes_per_span: small(number(r, "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT").unwrap_or(count)),
                max_events_per_span: small(number(r, "OTEL_SPAN_EVENT_COUNT_LIMIT").unwrap_or(128)),
                max_links_per_span: small(number(r, "OTEL_SPAN_LINK_COUNT_LIMIT").unwrap_or(128)),
                max_attributes_per_event: small(number(r, "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT").unwrap_or(128)),
                max_attributes_per_link: small(number(r, "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT").unwrap_or(128)),
            },
            span_value_length: number(r, "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT").or(length),
            records: AttributeLimits {
                count: number(r, "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT").unwrap_or(count),
                value_length: number(r, "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT").or(length),
            },
        }
    }
}

fn number(r: &mut Reader<'_>, name: &str) -> Option<usize> {
    r.number(name, 0).map(|number| usize::try_from(number).unwrap_or(usize::MAX))
}

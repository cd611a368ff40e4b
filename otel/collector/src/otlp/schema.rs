//! The messages of OTLP 1.11 (`opentelemetry/proto/**`), as tables: field number, JSON name, kind.

use crate::pipeline::Signal;

/// A message type.
#[derive(Debug)]
pub struct Message {
    /// Its name, for errors.
    pub name: &'static str,
    /// Whether it is what the signal counts: a span, a log record, a metric point.
    pub item: bool,
    /// Its fields.
    pub fields: &'static [Field],
}

/// A field of a message.
#[derive(Debug)]
pub struct Field {
    /// Its number on the wire.
    pub number: u32,
    /// Its name in JSON (lowerCamelCase, no other is valid).
    pub json: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it repeats.
    pub repeated: bool,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// Bytes, base64 in JSON.
    Bytes,
    /// An identifier of so many bytes, or of none, hexadecimal in JSON.
    Identifier {
        /// 16 for traces, 8 for spans.
        length: usize,
    },
    /// A varint.
    Varint(Integer),
    /// `fixed64`, `sfixed64`.
    Fixed64 {
        /// Whether it is `sfixed64`.
        signed: bool,
    },
    /// `fixed32`.
    Fixed32,
    /// `double`.
    Double,
    /// A message within.
    Message(&'static Message),
}

/// How a varint is to be understood; only JSON needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Integer {
    /// `bool`.
    Bool,
    /// `uint32`.
    U32,
    /// `uint64`.
    U64,
    /// `int64`.
    I64,
    /// `sint32`, zigzag.
    S32,
    /// An enumeration: its number.
    Enum,
}

const fn one(number: u32, json: &'static str, kind: Kind) -> Field {
    Field { number, json, kind, repeated: false }
}

const fn many(number: u32, json: &'static str, kind: Kind) -> Field {
    Field { number, json, kind, repeated: true }
}

const fn message(name: &'static str, fields: &'static [Field]) -> Message {
    Message { name, item: false, fields }
}

const fn item(name: &'static str, fields: &'static [Field]) -> Message {
    Message { name, item: true, fields }
}

const U32: Kind = Kind::Varint(Integer::U32);
const ENUM: Kind = Kind::Varint(Integer::Enum);
const TIME: Kind = Kind::Fixed64 { signed: false };
const COUNT: Kind = Kind::Fixed64 { signed: false };
const TRACE_ID: Kind = Kind::Identifier { length: 16 };
const SPAN_ID: Kind = Kind::Identifier { length: 8 };

/// The request's message of a signal.
#[must_use]
pub fn request(signal: Signal) -> &'static Message {
    match signal {
        Signal::Traces => &TRACES,
        Signal::Logs => &LOGS,
        Signal::Metrics => &METRICS,
    }
}

static TRACES: Message =
    message("ExportTraceServiceRequest", &[many(1, "resourceSpans", Kind::Message(&RESOURCE_SPANS))]);
static LOGS: Message =
    message("ExportLogsServiceRequest", &[many(1, "resourceLogs", Kind::Message(&RESOURCE_LOGS))]);
static METRICS: Message =
    message("ExportMetricsServiceRequest", &[many(1, "resourceMetrics", Kind::Message(&RESOURCE_METRICS))]);

static RESOURCE_SPANS: Message = message(
    "ResourceSpans",
    &[
        one(1, "resource", Kind::Message(&RESOURCE)),
        many(2, "scopeSpans", Kind::Message(&SCOPE_SPANS)),
        one(3, "schemaUrl", Kind::Text),
    ],
);
static RESOURCE_LOGS: Message = message(
    "ResourceLogs",
    &[
        one(1, "resource", Kind::Message(&RESOURCE)),
        many(2, "scopeLogs", Kind::Message(&SCOPE_LOGS)),
        one(3, "schemaUrl", Kind::Text),
    ],
);
static RESOURCE_METRICS: Message = message(
    "ResourceMetrics",
    &[
        one(1, "resource", Kind::Message(&RESOURCE)),
        many(2, "scopeMetrics", Kind::Message(&SCOPE_METRICS)),
        one(3, "schemaUrl", Kind::Text),
    ],
);
static RESOURCE: Message = message(
    "Resource",
    &[
        many(1, "attributes", Kind::Message(&KEY_VALUE)),
        one(2, "droppedAttributesCount", U32),
        many(3, "entityRefs", Kind::Message(&ENTITY_REF)),
    ],
);
static ENTITY_REF: Message = message(
    "EntityRef",
    &[
        one(1, "schemaUrl", Kind::Text),
        one(2, "type", Kind::Text),
        many(3, "idKeys", Kind::Text),
        many(4, "descriptionKeys", Kind::Text),
    ],
);
static SCOPE: Message = message(
    "InstrumentationScope",
    &[
        one(1, "name", Kind::Text),
        one(2, "version", Kind::Text),
        many(3, "attributes", Kind::Message(&KEY_VALUE)),
        one(4, "droppedAttributesCount", U32),
    ],
);
static KEY_VALUE: Message =
    message("KeyValue", &[one(1, "key", Kind::Text), one(2, "value", Kind::Message(&ANY_VALUE))]);
static ANY_VALUE: Message = message(
    "AnyValue",
    &[
        one(1, "stringValue", Kind::Text),
        one(2, "boolValue", Kind::Varint(Integer::Bool)),
        one(3, "intValue", Kind::Varint(Integer::I64)),
        one(4, "doubleValue", Kind::Double),
        one(5, "arrayValue", Kind::Message(&ARRAY)),
        one(6, "kvlistValue", Kind::Message(&KEY_VALUES)),
        one(7, "bytesValue", Kind::Bytes),
    ],
);
static ARRAY: Message = message("ArrayValue", &[many(1, "values", Kind::Message(&ANY_VALUE))]);
static KEY_VALUES: Message = message("KeyValueList", &[many(1, "values", Kind::Message(&KEY_VALUE))]);

static SCOPE_SPANS: Message = message(
    "ScopeSpans",
    &[
        one(1, "scope", Kind::Message(&SCOPE)),
        many(2, "spans", Kind::Message(&SPAN)),
        one(3, "schemaUrl", Kind::Text),
    ],
);
static SPAN: Message = item(
    "Span",
    &[
        one(1, "traceId", TRACE_ID),
        one(2, "spanId", SPAN_ID),
        one(3, "traceState", Kind::Text),
        one(4, "parentSpanId", SPAN_ID),
        one(5, "name", Kind::Text),
        one(6, "kind", ENUM),
        one(7, "startTimeUnixNano", TIME),
        one(8, "endTimeUnixNano", TIME),
        many(9, "attributes", Kind::Message(&KEY_VALUE)),
        one(10, "droppedAttributesCount", U32),
        many(11, "events", Kind::Message(&EVENT)),
        one(12, "droppedEventsCount", U32),
        many(13, "links", Kind::Message(&LINK)),
        one(14, "droppedLinksCount", U32),
        one(15, "status", Kind::Message(&STATUS)),
        one(16, "flags", Kind::Fixed32),
    ],
);
static EVENT: Message = message(
    "Event",
    &[
        one(1, "timeUnixNano", TIME),
        one(2, "name", Kind::Text),
        many(3, "attributes", Kind::Message(&KEY_VALUE)),
        one(4, "droppedAttributesCount", U32),
    ],
);
static LINK: Message = message(
    "Link",
    &[
        one(1, "traceId", TRACE_ID),
        one(2, "spanId", SPAN_ID),
        one(3, "traceState", Kind::Text),
        many(4, "attributes", Kind::Message(&KEY_VALUE)),
        one(5, "droppedAttributesCount", U32),
        one(6, "flags", Kind::Fixed32),
    ],
);
static STATUS: Message = message("Status", &[one(2, "message", Kind::Text), one(3, "code", ENUM)]);

static SCOPE_LOGS: Message = message(
    "ScopeLogs",
    &[
        one(1, "scope", Kind::Message(&SCOPE)),
        many(2, "logRecords", Kind::Message(&LOG_RECORD)),
        one(3, "schemaUrl", Kind::Text),
    ],
);
static LOG_RECORD: Message = item(
    "LogRecord",
    &[
        one(1, "timeUnixNano", TIME),
        one(2, "severityNumber", ENUM),
        one(3, "severityText", Kind::Text),
        one(5, "body", Kind::Message(&ANY_VALUE)),
        many(6, "attributes", Kind::Message(&KEY_VALUE)),
        one(7, "droppedAttributesCount", U32),
        one(8, "flags", Kind::Fixed32),
        one(9, "traceId", TRACE_ID),
        one(10, "spanId", SPAN_ID),
        one(11, "observedTimeUnixNano", TIME),
        one(12, "eventName", Kind::Text),
    ],
);

static SCOPE_METRICS: Message = message(
    "ScopeMetrics",
    &[
        one(1, "scope", Kind::Message(&SCOPE)),
        many(2, "metrics", Kind::Message(&METRIC)),
        one(3, "schemaUrl", Kind::Text),
    ],
);
static METRIC: Message = message(
    "Metric",
    &[
        one(1, "name", Kind::Text),
        one(2, "description", Kind::Text),
        one(3, "unit", Kind::Text),
        one(5, "gauge", Kind::Message(&GAUGE)),
        one(7, "sum", Kind::Message(&SUM)),
        one(9, "histogram", Kind::Message(&HISTOGRAM)),
        one(10, "exponentialHistogram", Kind::Message(&EXPONENTIAL_HISTOGRAM)),
        one(11, "summary", Kind::Message(&SUMMARY)),
        many(12, "metadata", Kind::Message(&KEY_VALUE)),
    ],
);
static GAUGE: Message = message("Gauge", &[many(1, "dataPoints", Kind::Message(&NUMBER_POINT))]);
static SUM: Message = message(
    "Sum",
    &[
        many(1, "dataPoints", Kind::Message(&NUMBER_POINT)),
        one(2, "aggregationTemporality", ENUM),
        one(3, "isMonotonic", Kind::Varint(Integer::Bool)),
    ],
);
static HISTOGRAM: Message = message(
    "Histogram",
    &[many(1, "dataPoints", Kind::Message(&HISTOGRAM_POINT)), one(2, "aggregationTemporality", ENUM)],
);
static EXPONENTIAL_HISTOGRAM: Message = message(
    "ExponentialHistogram",
    &[many(1, "dataPoints", Kind::Message(&EXPONENTIAL_POINT)), one(2, "aggregationTemporality", ENUM)],
);
static SUMMARY: Message = message("Summary", &[many(1, "dataPoints", Kind::Message(&SUMMARY_POINT))]);
static NUMBER_POINT: Message = item(
    "NumberDataPoint",
    &[
        one(2, "startTimeUnixNano", TIME),
        one(3, "timeUnixNano", TIME),
        one(4, "asDouble", Kind::Double),
        many(5, "exemplars", Kind::Message(&EXEMPLAR)),
        one(6, "asInt", Kind::Fixed64 { signed: true }),
        many(7, "attributes", Kind::Message(&KEY_VALUE)),
        one(8, "flags", U32),
    ],
);
static HISTOGRAM_POINT: Message = item(
    "HistogramDataPoint",
    &[
        one(2, "startTimeUnixNano", TIME),
        one(3, "timeUnixNano", TIME),
        one(4, "count", COUNT),
        one(5, "sum", Kind::Double),
        many(6, "bucketCounts", COUNT),
        many(7, "explicitBounds", Kind::Double),
        many(8, "exemplars", Kind::Message(&EXEMPLAR)),
        many(9, "attributes", Kind::Message(&KEY_VALUE)),
        one(10, "flags", U32),
        one(11, "min", Kind::Double),
        one(12, "max", Kind::Double),
    ],
);
static EXPONENTIAL_POINT: Message = item(
    "ExponentialHistogramDataPoint",
    &[
        many(1, "attributes", Kind::Message(&KEY_VALUE)),
        one(2, "startTimeUnixNano", TIME),
        one(3, "timeUnixNano", TIME),
        one(4, "count", COUNT),
        one(5, "sum", Kind::Double),
        one(6, "scale", Kind::Varint(Integer::S32)),
        one(7, "zeroCount", COUNT),
        one(8, "positive", Kind::Message(&BUCKETS)),
        one(9, "negative", Kind::Message(&BUCKETS)),
        one(10, "flags", U32),
        many(11, "exemplars", Kind::Message(&EXEMPLAR)),
        one(12, "min", Kind::Double),
        one(13, "max", Kind::Double),
        one(14, "zeroThreshold", Kind::Double),
    ],
);
static BUCKETS: Message = message(
    "Buckets",
    &[one(1, "offset", Kind::Varint(Integer::S32)), many(2, "bucketCounts", Kind::Varint(Integer::U64))],
);
static SUMMARY_POINT: Message = item(
    "SummaryDataPoint",
    &[
        one(2, "startTimeUnixNano", TIME),
        one(3, "timeUnixNano", TIME),
        one(4, "count", COUNT),
        one(5, "sum", Kind::Double),
        many(6, "quantileValues", Kind::Message(&QUANTILE)),
        many(7, "attributes", Kind::Message(&KEY_VALUE)),
        one(8, "flags", U32),
    ],
);
static QUANTILE: Message =
    message("ValueAtQuantile", &[one(1, "quantile", Kind::Double), one(2, "value", Kind::Double)]);
static EXEMPLAR: Message = message(
    "Exemplar",
    &[
        one(2, "timeUnixNano", TIME),
        one(3, "asDouble", Kind::Double),
        one(4, "spanId", SPAN_ID),
        one(5, "traceId", TRACE_ID),
        one(6, "asInt", Kind::Fixed64 { signed: true }),
        many(7, "filteredAttributes", Kind::Message(&KEY_VALUE)),
    ],
);

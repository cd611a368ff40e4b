//! Jaeger's JSON form of a trace, exactly as its UI reads it.

use std::collections::HashMap;

use base64::Engine as _;
use serde::ser::{SerializeMap, SerializeSeq, SerializeStruct};
use serde::{Serialize, Serializer};

use super::convert::float_text;
use super::{KeyValue, Log, Process, Reference, ReferenceKind, Span, Trace, Value};
use crate::api::ids::{format_span_id, format_trace_id};

/// Integers beyond this lose digits in JavaScript and are written as text.
const MAX_SAFE_INTEGER: i64 = (1 << 53) - 1;

impl Serialize for Trace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = ProcessNames::of(self);
        let trace_id = self.spans.first().map(|span| format_trace_id(span.trace_id)).unwrap_or_default();
        let mut out = serializer.serialize_struct("Trace", 4)?;
        out.serialize_field("traceID", &trace_id)?;
        out.serialize_field("spans", &Spans { trace: self, names: &names })?;
        out.serialize_field("processes", &Processes { trace: self, names: &names })?;
        out.serialize_field("warnings", &None::<()>)?;
        out.end()
    }
}

/// `p1`, `p2` … in the order in which spans first use a process; equal processes share a name.
struct ProcessNames {
    by_index: HashMap<usize, String>,
    /// One index for each name, in order.
    order: Vec<usize>,
}

impl ProcessNames {
    fn of(trace: &Trace) -> Self {
        let mut by_index: HashMap<usize, String> = HashMap::new();
        let mut by_value: HashMap<&Process, String> = HashMap::new();
        let mut order = Vec::new();
        for at in trace.spans.iter().map(|span| span.process) {
            let (false, Some(process)) = (by_index.contains_key(&at), trace.processes.get(at)) else {
                continue;
            };
            let name = by_value.entry(process).or_insert_with(|| {
                order.push(at);
                format!("p{}", order.len())
            });
            by_index.insert(at, name.clone());
        }
        Self { by_index, order }
    }

    fn name(&self, process: usize) -> &str {
        self.by_index.get(&process).map_or("", String::as_str)
    }
}

struct Spans<'a> {
    trace: &'a Trace,
    names: &'a ProcessNames,
}

impl Serialize for Spans<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_seq(Some(self.trace.spans.len()))?;
        for span in &self.trace.spans {
            out.serialize_element(&NamedSpan { span, process: self.names.name(span.process) })?;
        }
        out.end()
    }
}

struct NamedSpan<'a> {
    span: &'a Span,
    process: &'a str,
}

impl Serialize for NamedSpan<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let span = self.span;
        let mut out = serializer.serialize_struct("Span", 10)?;
        out.serialize_field("traceID", &format_trace_id(span.trace_id))?;
        out.serialize_field("spanID", &format_span_id(span.span_id))?;
        out.serialize_field("operationName", &span.operation)?;
        out.serialize_field("references", &span.references)?;
        out.serialize_field("startTime", &(span.start_ns / 1_000))?;
        out.serialize_field("duration", &(span.duration_ns / 1_000))?;
        out.serialize_field("tags", &span.tags)?;
        out.serialize_field("logs", &span.logs)?;
        out.serialize_field("processID", self.process)?;
        out.serialize_field("warnings", &Some(&span.warnings).filter(|w| !w.is_empty()))?;
        out.end()
    }
}

struct Processes<'a> {
    trace: &'a Trace,
    names: &'a ProcessNames,
}

impl Serialize for Processes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(Some(self.names.order.len()))?;
        for at in &self.names.order {
            if let Some(process) = self.trace.processes.get(*at) {
                out.serialize_entry(self.names.name(*at), process)?;
            }
        }
        out.end()
    }
}

impl Serialize for Process {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Process", 2)?;
        out.serialize_field("serviceName", &self.service)?;
        out.serialize_field("tags", &self.tags)?;
        out.end()
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kind = match self.kind {
            ReferenceKind::ChildOf => "CHILD_OF",
            ReferenceKind::FollowsFrom => "FOLLOWS_FROM",
        };
        let mut out = serializer.serialize_struct("Reference", 3)?;
        out.serialize_field("refType", kind)?;
        out.serialize_field("traceID", &format_trace_id(self.trace_id))?;
        out.serialize_field("spanID", &format_span_id(self.span_id))?;
        out.end()
    }
}

impl Serialize for Log {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Log", 2)?;
        out.serialize_field("timestamp", &(self.time_ns / 1_000))?;
        out.serialize_field("fields", &self.fields)?;
        out.end()
    }
}

impl Serialize for KeyValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("KeyValue", 3)?;
        out.serialize_field("key", &self.key)?;
        let kind = match &self.value {
            Value::Text(_) => "string",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int64",
            Value::Float(_) => "float64",
            Value::Binary(_) => "binary",
        };
        out.serialize_field("type", kind)?;
        match &self.value {
            Value::Text(v) => out.serialize_field("value", v)?,
            Value::Bool(v) => out.serialize_field("value", v)?,
            Value::Int(v) if v.unsigned_abs() > MAX_SAFE_INTEGER.unsigned_abs() => {
                out.serialize_field("value", &v.to_string())?;
            }
            Value::Int(v) => out.serialize_field("value", v)?,
            // The reference implementation answers 500 to such a trace; showing it is more use.
            Value::Float(v) if !v.is_finite() => out.serialize_field("value", &float_text(*v))?,
            Value::Float(v) => out.serialize_field("value", v)?,
            // Go's empty slice.
            Value::Binary(v) if v.is_empty() => out.serialize_field("value", &None::<&str>)?,
            Value::Binary(v) => {
                out.serialize_field("value", &base64::engine::general_purpose::STANDARD.encode(v))?;
            }
        }
        out.end()
    }
}

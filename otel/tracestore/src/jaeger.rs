//! A trace in Jaeger's own model: what its UI and its legacy API speak.
//!
//! `convert` makes it from OTLP, `adjust` repairs and orders it as the Jaeger query service does, `json` writes it.

pub(crate) mod adjust;
pub(crate) mod convert;
pub(crate) mod json;

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use crate::model::TraceId;

/// Spans of one trace with the processes they name by index.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Trace {
    pub(crate) spans: Vec<Span>,
    pub(crate) processes: Vec<Process>,
}

/// One span; times in Unix nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: u64,
    pub(crate) operation: String,
    pub(crate) references: Vec<Reference>,
    pub(crate) start_ns: u64,
    pub(crate) duration_ns: u64,
    pub(crate) tags: Vec<KeyValue>,
    pub(crate) logs: Vec<Log>,
    /// Index into [`Trace::processes`].
    pub(crate) process: usize,
    pub(crate) warnings: Vec<String>,
}

/// A pointer to another span, of this trace or another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Reference {
    pub(crate) kind: ReferenceKind,
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: u64,
}

/// How the referring span depends on the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ReferenceKind {
    ChildOf,
    FollowsFrom,
}

/// A service instance, with what its resource says about it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) service: String,
    pub(crate) tags: Vec<KeyValue>,
}

/// Something that happened during a span.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Log {
    pub(crate) time_ns: u64,
    pub(crate) fields: Vec<KeyValue>,
}

/// A named, typed value; ordered by key, then type, then value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct KeyValue {
    pub(crate) key: String,
    pub(crate) value: Value,
}

/// Jaeger's five value types, in Jaeger's order.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(String),
    Bool(bool),
    Int(i64),
    Float(f64),
    Binary(Vec<u8>),
}

impl KeyValue {
    pub(crate) fn text(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), value: Value::Text(value.into()) }
    }
}

impl Span {
    /// The first same-trace CHILD_OF reference, else the first same-trace reference of any kind.
    pub(crate) fn parent(&self) -> Option<u64> {
        let own = || self.references.iter().filter(|r| r.trace_id == self.trace_id);
        own()
            .find(|r| r.kind == ReferenceKind::ChildOf)
            .or_else(|| own().next())
            .map(|r| r.span_id)
            .filter(|id| *id != 0)
    }

    /// Points the reference that [`Self::parent`] reads at `id`, adding one where there is none.
    pub(crate) fn set_parent(&mut self, id: u64) {
        let (own, old) = (self.trace_id, self.parent());
        match self.references.iter_mut().find(|r| r.trace_id == own && Some(r.span_id) == old) {
            Some(reference) => reference.span_id = id,
            None => {
                let kind = ReferenceKind::ChildOf;
                self.references.push(Reference { kind, trace_id: own, span_id: id });
            }
        }
    }

    /// The value of the `span.kind` tag.
    pub(crate) fn kind(&self) -> Option<&str> {
        self.tags.iter().find(|tag| tag.key == "span.kind").and_then(|tag| match &tag.value {
            Value::Text(kind) => Some(kind.as_str()),
            _ => None,
        })
    }
}

// === impl Value ===

impl Value {
    fn rank(&self) -> u8 {
        match self {
            Self::Text(_) => 0,
            Self::Bool(_) => 1,
            Self::Int(_) => 2,
            Self::Float(_) => 3,
            Self::Binary(_) => 4,
        }
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => a.total_cmp(b),
            (Self::Binary(a), Self::Binary(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rank().hash(state);
        match self {
            Self::Text(v) => v.hash(state),
            Self::Bool(v) => v.hash(state),
            Self::Int(v) => v.hash(state),
            Self::Float(v) => v.to_bits().hash(state),
            Self::Binary(v) => v.hash(state),
        }
    }
}

//! What policies see of a trace: its resources and spans, read from the protobuf without copying a text.
//!
//! Attributes are found by the first entry of a key, and one of another type reads as that type's zero, as upstream's
//! `pdata` does: a policy must decide here as it decides there.

use bytes::Bytes;

use crate::otlp::wire::{Reader, Value};

/// A trace as far as it has arrived.
pub(super) struct Trace<'a> {
    pub(super) id: [u8; 16],
    pub(super) resources: Vec<Resource<'a>>,
    pub(super) spans: u64,
    pub(super) bytes: u64,
}

/// Spans of one resource that came in one request.
#[derive(Default)]
pub(super) struct Resource<'a> {
    pub(super) attributes: Attributes<'a>,
    pub(super) scopes: Vec<Scope<'a>>,
}

/// Spans of one instrumentation scope.
#[derive(Default)]
pub(super) struct Scope<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) spans: Vec<Span<'a>>,
}

/// A span, as far as policies look at it.
#[derive(Default)]
pub(super) struct Span<'a> {
    pub(super) name: &'a str,
    pub(super) state: &'a str,
    pub(super) kind: i64,
    pub(super) flags: u32,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) status: i64,
    pub(super) message: &'a str,
    pub(super) attributes: Attributes<'a>,
}

/// Attributes in the order in which they were sent.
#[derive(Default)]
pub(super) struct Attributes<'a>(Vec<(&'a str, Any<'a>)>);

/// An attribute's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Any<'a> {
    Text(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(&'a [u8]),
    /// A list or a map: there, and equal to nothing.
    Compound,
    Empty,
}

// === impl Trace ===

impl<'a> Trace<'a> {
    /// Reads `pieces`, each an encoded `ExportTraceServiceRequest` that passed `walk::check`.
    pub(super) fn read(id: u128, pieces: impl Iterator<Item = &'a Bytes>, spans: u64, bytes: u64) -> Self {
        let mut resources = Vec::new();
        for piece in pieces {
            each(piece, |number, value| {
                if let (1, Value::Bytes(bytes)) = (number, value) {
                    resources.push(resource_spans(bytes));
                }
            });
        }
        Self { id: id.to_be_bytes(), resources, spans, bytes }
    }

    /// Every span with its resource and scope, in the order of arrival.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Resource<'a>, &Scope<'a>, &Span<'a>)> {
        self.resources.iter().flat_map(|resource| {
            let scopes = resource.scopes.iter();
            scopes.flat_map(move |scope| scope.spans.iter().map(move |span| (resource, scope, span)))
        })
    }
}

// === impl Attributes ===

impl<'a> Attributes<'a> {
    pub(super) fn get(&self, key: &str) -> Option<Any<'a>> {
        self.0.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    fn push(&mut self, bytes: &'a [u8]) {
        let (mut key, mut found) = ("", Any::Empty);
        each(bytes, |number, value| match (number, value) {
            (1, Value::Bytes(bytes)) => key = text(bytes),
            (2, Value::Bytes(bytes)) => found = any(bytes),
            _ => {}
        });
        self.0.push((key, found));
    }
}

// === impl Any ===

impl<'a> Any<'a> {
    pub(super) fn text(self) -> &'a str {
        if let Self::Text(text) = self { text } else { "" }
    }

    pub(super) fn int(self) -> i64 {
        if let Self::Int(int) = self { int } else { 0 }
    }

    pub(super) fn flag(self) -> bool {
        matches!(self, Self::Bool(true))
    }
}

fn resource_spans(bytes: &[u8]) -> Resource<'_> {
    let mut found = Resource::default();
    each(bytes, |number, value| match (number, value) {
        (1, Value::Bytes(resource)) => each(resource, |number, value| {
            if let (1, Value::Bytes(attribute)) = (number, value) {
                found.attributes.push(attribute);
            }
        }),
        (2, Value::Bytes(scope)) => found.scopes.push(scope_spans(scope)),
        _ => {}
    });
    found
}

fn scope_spans(bytes: &[u8]) -> Scope<'_> {
    let mut found = Scope::default();
    each(bytes, |number, value| match (number, value) {
        (1, Value::Bytes(scope)) => each(scope, |number, value| match (number, value) {
            (1, Value::Bytes(bytes)) => found.name = text(bytes),
            (2, Value::Bytes(bytes)) => found.version = text(bytes),
            _ => {}
        }),
        (2, Value::Bytes(bytes)) => found.spans.push(span(bytes)),
        _ => {}
    });
    found
}

fn span(bytes: &[u8]) -> Span<'_> {
    let mut found = Span::default();
    each(bytes, |number, value| match (number, value) {
        (3, Value::Bytes(bytes)) => found.state = text(bytes),
        (5, Value::Bytes(bytes)) => found.name = text(bytes),
        (6, Value::Varint(kind)) => found.kind = kind.cast_signed(),
        (7, Value::Fixed64(time)) => found.start = time,
        (8, Value::Fixed64(time)) => found.end = time,
        (9, Value::Bytes(bytes)) => found.attributes.push(bytes),
        (15, Value::Bytes(bytes)) => each(bytes, |number, value| match (number, value) {
            (2, Value::Bytes(bytes)) => found.message = text(bytes),
            (3, Value::Varint(code)) => found.status = code.cast_signed(),
            _ => {}
        }),
        (16, Value::Fixed32(flags)) => found.flags = flags,
        _ => {}
    });
    found
}

fn any(bytes: &[u8]) -> Any<'_> {
    let mut found = Any::Empty;
    each(bytes, |number, value| {
        found = match (number, value) {
            (1, Value::Bytes(bytes)) => Any::Text(text(bytes)),
            (2, Value::Varint(flag)) => Any::Bool(flag != 0),
            (3, Value::Varint(int)) => Any::Int(int.cast_signed()),
            (4, Value::Fixed64(bits)) => Any::Double(f64::from_bits(bits)),
            (5 | 6, Value::Bytes(_)) => Any::Compound,
            (7, Value::Bytes(bytes)) => Any::Bytes(bytes),
            _ => found,
        }
    });
    found
}

/// Calls `take` for each field. What is here passed `walk::check`, so the reading cannot fail.
pub(super) fn each<'a>(bytes: &'a [u8], mut take: impl FnMut(u32, Value<'a>)) {
    let mut reader = Reader::new(bytes);
    while let Ok(Some((number, value))) = reader.next() {
        take(number, value);
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or("")
}

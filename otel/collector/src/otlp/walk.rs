//! One pass over a request's protobuf that checks what a backend cannot read (structure, UTF-8, lengths of identifiers,
//! depth) and counts its items, without building anything. A batch that passed may be merged with others: it cannot
//! make the backend refuse its neighbours. A span without ids is passed on, as upstream does: what to make of it is the
//! backend's to say, in a partial success.

use std::fmt;

use super::schema::{self, Field, Kind, Message};
use super::wire::{Reader, Value, WireError};
use crate::pipeline::Signal;

/// The deepest nesting of messages taken. prost and others stop at 100; what is let through must not fail there.
pub const MAX_DEPTH: usize = 80;

/// Why a request is bad data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The innermost message that was being read.
    message: &'static str,
    /// The field, where it is known.
    field: Option<&'static str>,
    /// What is wrong.
    reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Wire(WireError),
    WireType,
    Utf8,
    Length { expected: usize, found: usize },
    Depth,
}

/// Checks a request and counts its spans, log records or metric points.
///
/// # Errors
/// [`Malformed`] names the message and field that is wrong.
pub fn check(signal: Signal, bytes: &[u8]) -> Result<u64, Malformed> {
    let mut items = 0;
    message(schema::request(signal), bytes, 0, &mut items)?;
    Ok(items)
}

/// Counts the items of a message that passed [`check`].
pub(crate) fn count(shape: &'static Message, bytes: &[u8]) -> u64 {
    if shape.item {
        return 1;
    }
    let mut items = 0;
    let mut reader = Reader::new(bytes);
    while let Ok(Some((number, value))) = reader.next() {
        let field = shape.fields.iter().find(|field| field.number == number);
        if let (Some(Field { kind: Kind::Message(inner), .. }), Value::Bytes(bytes)) = (field, value)
            && holds_items(inner)
        {
            items += count(inner, bytes);
        }
    }
    items
}

/// Whether items can be in a message: not below attributes, say.
fn holds_items(shape: &'static Message) -> bool {
    shape.item || shape.fields.iter().any(|field| matches!(field.kind, Kind::Message(inner) if inner.item))
}

fn message(shape: &'static Message, bytes: &[u8], depth: usize, items: &mut u64) -> Result<(), Malformed> {
    let fail = |field, reason| Malformed { message: shape.name, field, reason };
    if depth > MAX_DEPTH {
        return Err(fail(None, Reason::Depth));
    }
    *items += u64::from(shape.item);
    let mut reader = Reader::new(bytes);
    while let Some((number, value)) = reader.next().map_err(|error| fail(None, Reason::Wire(error)))? {
        let Some(field) = shape.fields.iter().find(|field| field.number == number) else { continue };
        match (field.kind, value) {
            (Kind::Message(inner), Value::Bytes(bytes)) => message(inner, bytes, depth + 1, items)?,
            (kind, value) => {
                scalar(field, kind, value).map_err(|reason| fail(Some(field.json), reason))?;
            }
        }
    }
    Ok(())
}

#[inline]
fn scalar(field: &Field, kind: Kind, value: Value<'_>) -> Result<(), Reason> {
    match (kind, value) {
        (Kind::Text, Value::Bytes(text)) => std::str::from_utf8(text).map(drop).map_err(|_| Reason::Utf8),
        (Kind::Bytes, Value::Bytes(_))
        | (Kind::Varint(_), Value::Varint(_))
        | (Kind::Fixed64 { .. } | Kind::Double, Value::Fixed64(_))
        | (Kind::Fixed32, Value::Fixed32(_)) => Ok(()),
        (Kind::Identifier { length }, Value::Bytes(id)) if id.is_empty() || id.len() == length => Ok(()),
        (Kind::Identifier { length }, Value::Bytes(id)) => {
            Err(Reason::Length { expected: length, found: id.len() })
        }
        (kind, Value::Bytes(packed)) if field.repeated => packed_numbers(kind, packed),
        _ => Err(Reason::WireType),
    }
}

fn packed_numbers(kind: Kind, packed: &[u8]) -> Result<(), Reason> {
    match kind {
        Kind::Fixed64 { .. } | Kind::Double if packed.len().is_multiple_of(8) => Ok(()),
        Kind::Fixed32 if packed.len().is_multiple_of(4) => Ok(()),
        Kind::Varint(_) => {
            let mut reader = Reader::new(packed);
            while reader.left() > 0 {
                reader.varint().map_err(Reason::Wire)?;
            }
            Ok(())
        }
        Kind::Fixed64 { .. } | Kind::Double | Kind::Fixed32 => Err(Reason::Wire(WireError::Truncated)),
        _ => Err(Reason::WireType),
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message)?;
        if let Some(field) = self.field {
            write!(f, ".{field}")?;
        }
        f.write_str(": ")?;
        match self.reason {
            Reason::Wire(error) => write!(f, "{error}"),
            Reason::WireType => f.write_str("wrong wire type"),
            Reason::Utf8 => f.write_str("not UTF-8"),
            Reason::Length { expected, found } => write!(f, "must have {expected} bytes, has {found}"),
            Reason::Depth => write!(f, "nested deeper than {MAX_DEPTH} messages"),
        }
    }
}

impl std::error::Error for Malformed {}

//! Cuts a request that is too large into several, without decoding it: resource and scope are repeated in each piece.

use bytes::Bytes;

use super::schema::{self, Kind, Message};
use super::walk;
use super::wire::{Reader, Value, put_nested, put_tag, put_varint};
use crate::pipeline::{Batch, Signal};

/// How large a batch may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// So many spans, log records or metric points.
    Items(u64),
    /// So many bytes.
    Bytes(u64),
}

/// Splits `batch` into pieces of at most `limit`. What cannot be divided (one span; one metric with all its points) stays
/// whole even when it is larger.
#[must_use]
pub fn split(batch: Batch, limit: Limit) -> Vec<Batch> {
    let fits = match limit {
        Limit::Items(items) => batch.items <= items,
        Limit::Bytes(bytes) => batch.bytes() <= bytes,
    };
    if fits || matches!(limit, Limit::Items(0) | Limit::Bytes(0)) {
        return vec![batch];
    }
    let mut cutter = Cutter { signal: batch.signal, limit, done: Vec::new(), current: Vec::new(), items: 0 };
    for part in &batch.parts {
        cutter.request(part);
    }
    cutter.flush();
    cutter.done
}

/// Fills one piece after another.
struct Cutter {
    signal: Signal,
    limit: Limit,
    done: Vec<Batch>,
    current: Vec<u8>,
    items: u64,
}

/// One message of a level: what every piece repeats, and the children that are divided.
pub(crate) struct Level<'a> {
    /// The encoded fields other than children.
    pub(crate) head: Vec<u8>,
    /// The children's field number.
    pub(crate) number: u32,
    pub(crate) children: Vec<&'a [u8]>,
}

// === impl Cutter ===

impl Cutter {
    fn request(&mut self, bytes: &[u8]) {
        let request = level(schema::request(self.signal), bytes);
        for resource in request.children {
            let resource = level(child(schema::request(self.signal)), resource);
            for scope in &resource.children {
                let shape = child(child(schema::request(self.signal)));
                self.scope(&resource, &level(shape, scope), shape);
            }
        }
    }

    /// Takes as many items of the scope at a time as fit into the current piece.
    fn scope(&mut self, resource: &Level<'_>, scope: &Level<'_>, shape: &'static Message) {
        let leaf = child(shape);
        let mut pending: Vec<&[u8]> = Vec::new();
        let (mut items, mut bytes) = (0, 0);
        let overhead = (resource.head.len() + scope.head.len() + 16) as u64;
        for entry in &scope.children {
            let (more, size) = (walk::count(leaf, entry), entry.len() as u64 + 4);
            let full = match self.limit {
                Limit::Items(limit) => self.items + items + more > limit,
                Limit::Bytes(limit) => self.current.len() as u64 + overhead + bytes + size > limit,
            };
            if full && (self.items + items > 0) {
                self.put(resource, scope, &pending, items);
                self.flush();
                pending.clear();
                (items, bytes) = (0, 0);
            }
            pending.push(entry);
            items += more;
            bytes += size;
        }
        if !pending.is_empty() {
            self.put(resource, scope, &pending, items);
        }
    }

    fn put(&mut self, resource: &Level<'_>, scope: &Level<'_>, entries: &[&[u8]], items: u64) {
        if entries.is_empty() {
            return;
        }
        let _ = put_nested(&mut self.current, 1, |out| {
            out.extend_from_slice(&resource.head);
            put_nested(out, resource.number, |out| {
                out.extend_from_slice(&scope.head);
                for entry in entries {
                    put_bytes(out, scope.number, entry);
                }
                Ok::<_, std::convert::Infallible>(())
            })
        });
        self.items += items;
    }

    fn flush(&mut self) {
        let bytes = Bytes::from(std::mem::take(&mut self.current));
        let items = std::mem::take(&mut self.items);
        if !bytes.is_empty() {
            self.done.push(Batch { signal: self.signal, items, parts: vec![bytes] });
        }
    }
}

/// The message that a container's one repeated message field holds (`ResourceSpans`, `ScopeSpans`, `Span`).
pub(crate) fn child(shape: &'static Message) -> &'static Message {
    let inner = shape.fields.iter().find_map(|field| match field.kind {
        Kind::Message(inner) if field.repeated => Some(inner),
        _ => None,
    });
    inner.unwrap_or(shape)
}

/// Reads one message of a level.
pub(crate) fn level<'a>(shape: &'static Message, bytes: &'a [u8]) -> Level<'a> {
    let repeats = |number: u32| {
        shape
            .fields
            .iter()
            .any(|field| field.number == number && field.repeated && matches!(field.kind, Kind::Message(_)))
    };
    let mut found = Level { head: Vec::new(), number: 1, children: Vec::new() };
    let mut reader = Reader::new(bytes);
    // What is here passed `walk::check`, so the reading cannot fail.
    while let Ok(Some((number, value))) = reader.next() {
        match value {
            Value::Bytes(child) if repeats(number) => {
                found.number = number;
                found.children.push(child);
            }
            Value::Bytes(other) => put_bytes(&mut found.head, number, other),
            Value::Varint(other) => {
                put_tag(&mut found.head, number, 0);
                put_varint(&mut found.head, other);
            }
            Value::Fixed64(other) => {
                put_tag(&mut found.head, number, 1);
                found.head.extend_from_slice(&other.to_le_bytes());
            }
            Value::Fixed32(other) => {
                put_tag(&mut found.head, number, 5);
                found.head.extend_from_slice(&other.to_le_bytes());
            }
        }
    }
    found
}

/// Appends a length-delimited field.
pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_tag(out, number, 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

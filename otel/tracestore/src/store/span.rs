//! Reading one span off the wire: checked throughout, filed by trace and time, its terms gathered.

use std::collections::HashMap;
use std::sync::Arc;

use super::batch::Name;
use super::terms::{self, Term};
use super::value::attribute;
use super::wire::{Fields, Malformed};
use crate::model::{Operation, TraceId};

/// Reads a `Span`, pushing its terms. None when its ids are unusable (OTLP: 16 and 8 bytes, not all zero).
pub(crate) fn read(
    span: &[u8],
    service: &Arc<str>,
    out: &mut Vec<Term>,
    names: &mut HashMap<u64, Name>,
    scratch: &mut String,
) -> Result<Option<(TraceId, u64, u64)>, Malformed> {
    let (mut trace, mut id, mut parent): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
    let (mut name, mut kind, mut start, mut end, mut status) = ("", 0_i32, 0, 0, 0);
    let mut fields = Fields::new(span);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => trace = field.wire.bytes()?,
            2 => id = field.wire.bytes()?,
            3 => drop(field.wire.text()?),
            4 => parent = field.wire.bytes()?,
            5 => name = field.wire.text()?,
            6 => kind = enumeration(field.wire.varint()?),
            7 => start = field.wire.fixed64()?,
            8 => end = field.wire.fixed64()?,
            9 => tag(field.wire.bytes()?, out, scratch)?,
            10 | 12 | 14 => drop(field.wire.varint()?),
            11 => tags_within(field.wire.bytes()?, Within::Event, out, scratch)?,
            13 => tags_within(field.wire.bytes()?, Within::Link, out, scratch)?,
            15 => status = read_status(field.wire.bytes()?)?,
            16 => drop(field.wire.fixed32()?),
            _ => {}
        }
    }
    let (Some(trace), Some(_)) = (usable::<16>(trace), usable::<8>(id)) else {
        return Ok(None);
    };
    if !matches!(parent.len(), 0 | 8) {
        return Ok(None);
    }
    let service_term = terms::service(service);
    let operation = terms::service_operation(service_term, name);
    out.extend([terms::operation(name), operation, terms::kind(kind)]);
    match status {
        1 => out.push(terms::OK),
        2 => out.extend([terms::ERROR, terms::service_error(service_term)]),
        _ => {}
    }
    names.entry(operation ^ terms::kind(kind)).or_insert_with(|| Name {
        service: Arc::clone(service),
        operation: Operation { name: name.to_owned(), kind: kind_name(kind) },
    });
    Ok(Some((TraceId(trace), start, duration(start, end))))
}

/// A span's own id and its parent's, 0 for none.
pub(crate) fn lineage(span: &[u8]) -> (u64, u64) {
    let (mut id, mut parent) = (0, 0);
    let mut fields = Fields::new(span);
    while let Ok(Some(field)) = fields.next() {
        match (field.number, field.wire.bytes()) {
            (2, Ok(bytes)) => id = bytes.try_into().map_or(0, u64::from_be_bytes),
            (4, Ok(bytes)) => parent = bytes.try_into().map_or(0, u64::from_be_bytes),
            // Encoders write fields in order, so the ids have been seen by now.
            (5..=u32::MAX, _) if id != 0 => break,
            _ => {}
        }
    }
    (id, parent)
}

/// A span's start and duration in nanoseconds.
pub(crate) fn times(span: &[u8]) -> (u64, u64) {
    let (mut start, mut end) = (0, 0);
    let mut fields = Fields::new(span);
    while let Ok(Some(field)) = fields.next() {
        match (field.number, field.wire.fixed64()) {
            (7, Ok(at)) => start = at,
            (8, Ok(at)) => end = at,
            _ => {}
        }
    }
    (start, duration(start, end))
}

/// As it is shown: a span that says that it ended before it started lasted one nanosecond.
pub(crate) fn duration(start: u64, end: u64) -> u64 {
    end.checked_sub(start).unwrap_or(1)
}

/// The name that Jaeger gives a span kind.
pub(crate) fn kind_name(kind: i32) -> &'static str {
    match kind {
        1 => "internal",
        2 => "server",
        3 => "client",
        4 => "producer",
        5 => "consumer",
        _ => "",
    }
}

/// An id of `N` bytes that is not all zero.
pub(crate) fn usable<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    let id: [u8; N] = bytes.try_into().ok()?;
    (id != [0; N]).then_some(id)
}

/// Protobuf enumerations are 32 bits; what is longer is cut, as every decoder does.
fn enumeration(value: u64) -> i32 {
    (value as u32).cast_signed()
}

#[inline]
fn tag(message: &[u8], out: &mut Vec<Term>, scratch: &mut String) -> Result<(), Malformed> {
    let (key, value) = attribute(message)?;
    out.push(terms::tag(key, value.text(scratch)));
    Ok(())
}

#[derive(Clone, Copy)]
enum Within {
    Event,
    Link,
}

fn tags_within(
    message: &[u8],
    within: Within,
    out: &mut Vec<Term>,
    scratch: &mut String,
) -> Result<(), Malformed> {
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match (within, field.number) {
            (Within::Event, 1) => drop(field.wire.fixed64()?),
            (Within::Event, 2) | (Within::Link, 3) => drop(field.wire.text()?),
            (Within::Event, 3) | (Within::Link, 4) => tag(field.wire.bytes()?, out, scratch)?,
            (Within::Event, 4) | (Within::Link, 5) => drop(field.wire.varint()?),
            (Within::Link, 1 | 2) => drop(field.wire.bytes()?),
            (Within::Link, 6) => drop(field.wire.fixed32()?),
            _ => {}
        }
    }
    Ok(())
}

fn read_status(message: &[u8]) -> Result<i32, Malformed> {
    let mut code = 0;
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match field.number {
            2 => drop(field.wire.text()?),
            3 => code = enumeration(field.wire.varint()?),
            _ => {}
        }
    }
    Ok(code)
}

/// Checks an `EntityRef` of a resource.
pub(crate) fn check_entity(message: &[u8]) -> Result<(), Malformed> {
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        if (1..=4).contains(&field.number) {
            field.wire.text()?;
        }
    }
    Ok(())
}

//! Reading one log record off the wire: checked throughout, filed by trace and time.

use super::span::usable;
use super::value::{Any, attribute};
use super::wire::{Fields, Malformed};
use crate::model::TraceId;

/// Log records that belong to no trace are kept under this id.
pub(crate) const NO_TRACE: TraceId = TraceId([0; 16]);

/// Reads a `LogRecord`. None when it has a trace or span id of a wrong length.
pub(crate) fn read(record: &[u8]) -> Result<Option<(TraceId, u64, u64)>, Malformed> {
    let (mut trace, mut span): (&[u8], &[u8]) = (&[], &[]);
    let (mut time, mut observed) = (0, 0);
    let mut fields = Fields::new(record);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => time = field.wire.fixed64()?,
            11 => observed = field.wire.fixed64()?,
            2 | 7 => drop(field.wire.varint()?),
            3 | 12 => drop(field.wire.text()?),
            5 => drop(Any::read(field.wire.bytes()?)?),
            6 => drop(attribute(field.wire.bytes()?)?),
            8 => drop(field.wire.fixed32()?),
            9 => trace = field.wire.bytes()?,
            10 => span = field.wire.bytes()?,
            _ => {}
        }
    }
    if !matches!(trace.len(), 0 | 16) || !matches!(span.len(), 0 | 8) {
        return Ok(None);
    }
    // A record without a time of its own has the time at which it was observed (logs data model, "Timestamp").
    let at = if time == 0 { observed } else { time };
    Ok(Some((usable(trace).map_or(NO_TRACE, TraceId), at, 0)))
}

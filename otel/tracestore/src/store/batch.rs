//! One accepted export request: its bytes as they came, and where in them each span or log record lies.

use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;

use super::terms::{self, Term};
use super::value::{Any, attribute};
use super::wire::{Field, Fields, Malformed, put_varint};
use crate::model::{Operation, TraceId};

/// Which of the two signals the store keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Signal {
    Spans,
    Logs,
}

/// The resource and scope that items share. The bytes are every field of `ResourceSpans`/`ScopeSpans` except the items,
/// as they came, so that nothing a client sent is lost on the way back.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) resource: Bytes,
    pub(crate) scope: Bytes,
    pub(crate) service: Arc<str>,
    pub(crate) terms: Vec<Term>,
}

/// A span or log record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    /// Unix nanoseconds.
    pub(crate) start: u64,
    /// Nanoseconds; 0 when the end is before the start.
    pub(crate) duration: u64,
    pub(crate) offset: u32,
    pub(crate) len: u32,
    pub(crate) context: u32,
    /// Where this item's terms end; they start where the one before ends.
    pub(crate) terms_end: u32,
}

/// A service and one of its span names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) service: Arc<str>,
    pub(crate) operation: Operation,
}

/// A request, walked.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) raw: Bytes,
    pub(crate) contexts: Vec<Context>,
    pub(crate) ids: Vec<TraceId>,
    pub(crate) items: Vec<Item>,
    pub(crate) terms: Vec<Term>,
    pub(crate) names: HashMap<u64, Name>,
    /// Items left out because their ids are unusable.
    pub(crate) rejected: usize,
    pub(crate) min_start: u64,
    pub(crate) max_start: u64,
    /// When the request was taken, Unix nanoseconds.
    pub(crate) arrived: u64,
}

/// One item with what surrounds it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Piece {
    pub(crate) resource: Bytes,
    pub(crate) scope: Bytes,
    pub(crate) item: Bytes,
}

/// What is needed of an item's own bytes to file it.
struct Filed {
    trace: TraceId,
    start: u64,
    duration: u64,
}

// === impl Batch ===

impl Batch {
    /// Walks an `ExportTraceServiceRequest` or `ExportLogsServiceRequest`.
    ///
    /// # Errors
    /// When the bytes are not that message: cut short, a wrong wire type, a string that is not UTF-8, values nested too deep.
    pub(crate) fn read(signal: Signal, raw: Bytes, arrived: u64) -> Result<Self, Malformed> {
        let mut batch = Self { min_start: u64::MAX, arrived, ..Self::default() };
        let mut fields = Fields::new(&raw);
        while let Some(field) = fields.next()? {
            if field.number == 1 {
                let group = field.wire.bytes()?;
                batch.read_resource(signal, &raw, field.end - group.len(), group)?;
            }
        }
        batch.contexts.shrink_to_fit();
        batch.ids.shrink_to_fit();
        batch.items.shrink_to_fit();
        batch.terms.shrink_to_fit();
        batch.raw = raw;
        Ok(batch)
    }

    /// Bytes of memory that it holds, near enough.
    pub(crate) fn memory(&self) -> usize {
        let contexts: usize = self.contexts.iter().map(|c| 128 + c.terms.len() * 8).sum();
        self.raw.len() + self.items.len() * (size_of::<Item>() + 16) + self.terms.len() * 8 + contexts + 256
    }

    pub(crate) fn item_bytes(&self, index: usize) -> &[u8] {
        self.items
            .get(index)
            .and_then(|i| self.raw.get(i.offset as usize..(i.offset + i.len) as usize))
            .unwrap_or_default()
    }

    pub(crate) fn context(&self, index: usize) -> Option<&Context> {
        self.items.get(index).and_then(|item| self.contexts.get(item.context as usize))
    }

    /// The item's own terms, without its context's.
    pub(crate) fn item_terms(&self, index: usize) -> &[Term] {
        let from =
            index.checked_sub(1).and_then(|i| self.items.get(i)).map_or(0, |item| item.terms_end as usize);
        let to = self.items.get(index).map_or(from, |item| item.terms_end as usize);
        self.terms.get(from..to).unwrap_or_default()
    }

    pub(crate) fn piece(&self, index: usize) -> Option<Piece> {
        let item = self.items.get(index)?;
        let context = self.contexts.get(item.context as usize)?;
        Some(Piece {
            resource: context.resource.clone(),
            scope: context.scope.clone(),
            item: self.raw.slice(item.offset as usize..(item.offset + item.len) as usize),
        })
    }

    fn read_resource(
        &mut self,
        signal: Signal,
        raw: &Bytes,
        base: usize,
        group: &[u8],
    ) -> Result<(), Malformed> {
        let (rest, scopes) = split_group(raw, base, group)?;
        let mut context = Context {
            resource: rest,
            scope: Bytes::new(),
            service: Arc::from("missing-service-name"),
            terms: Vec::new(),
        };
        let mut fields = Fields::new(&context.resource);
        let mut scratch = String::new();
        while let Some(field) = fields.next()? {
            match field.number {
                1 => read_resource_attributes(field, &mut context.service, &mut context.terms, &mut scratch)?,
                3 => drop(field.wire.text()?),
                _ => {}
            }
        }
        if signal == Signal::Spans {
            context.terms.push(terms::service(&context.service));
            // Searched by the name that is shown, as in Jaeger, which replaces unusable names before it stores them.
            context.terms.push(terms::tag("service.name", &context.service));
        }
        for (at, scope) in scopes {
            let (rest, items) = split_group(raw, at, scope)?;
            let mut context = Context { scope: rest, ..context.clone() };
            read_scope(&mut context, &mut scratch)?;
            if signal == Signal::Logs {
                context.terms = Vec::new();
            }
            let index = u32::try_from(self.contexts.len()).map_err(|_| Malformed("too many scopes"))?;
            let service = Arc::clone(&context.service);
            self.contexts.push(context);
            for (at, item) in items {
                self.read_item(signal, index, &service, at, item, &mut scratch)?;
            }
        }
        Ok(())
    }

    fn read_item(
        &mut self,
        signal: Signal,
        context: u32,
        service: &Arc<str>,
        at: usize,
        item: &[u8],
        scratch: &mut String,
    ) -> Result<(), Malformed> {
        let terms_before = self.terms.len();
        let filed = match signal {
            Signal::Spans => super::span::read(item, service, &mut self.terms, &mut self.names, scratch)?,
            Signal::Logs => super::record::read(item)?,
        };
        let Some(Filed { trace, start, duration }) = filed.map(Filed::from) else {
            self.terms.truncate(terms_before);
            self.rejected += 1;
            return Ok(());
        };
        let terms_end = u32::try_from(self.terms.len()).map_err(|_| Malformed("too many attributes"))?;
        let place = |n: usize| u32::try_from(n).map_err(|_| Malformed("the request is over 4 GiB"));
        self.ids.push(trace);
        self.items.push(Item {
            start,
            duration,
            offset: place(at)?,
            len: place(item.len())?,
            context,
            terms_end,
        });
        self.min_start = self.min_start.min(start);
        self.max_start = self.max_start.max(start);
        Ok(())
    }
}

impl From<(TraceId, u64, u64)> for Filed {
    fn from((trace, start, duration): (TraceId, u64, u64)) -> Self {
        Self { trace, start, duration }
    }
}

/// A part of a message and its offset in the request.
type Part<'a> = (usize, &'a [u8]);

/// Splits `ResourceSpans` or `ScopeSpans` (or their log twins) into field 2, repeated, and all the rest.
fn split_group<'a>(raw: &Bytes, base: usize, group: &'a [u8]) -> Result<(Bytes, Vec<Part<'a>>), Malformed> {
    let (mut ranges, mut parts): (Vec<(usize, usize)>, Vec<Part<'a>>) = (Vec::new(), Vec::new());
    let mut fields = Fields::new(group);
    while let Some(field) = fields.next()? {
        if field.number == 2 {
            let part = field.wire.bytes()?;
            parts.push((base + field.end - part.len(), part));
        } else if let Some(last) = ranges.last_mut().filter(|last| last.1 == field.start) {
            last.1 = field.end;
        } else {
            ranges.push((field.start, field.end));
        }
    }
    let rest = match ranges.as_slice() {
        [] => Bytes::new(),
        [(from, to)] => raw.slice(base + from..base + to),
        many => {
            many.iter().flat_map(|&(from, to)| group.get(from..to).unwrap_or_default()).copied().collect()
        }
    };
    Ok((rest, parts))
}

fn read_resource_attributes(
    field: Field<'_>,
    service: &mut Arc<str>,
    out: &mut Vec<Term>,
    scratch: &mut String,
) -> Result<(), Malformed> {
    let mut fields = Fields::new(field.wire.bytes()?);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => {
                let (key, value) = attribute(field.wire.bytes()?)?;
                if key == "service.name" {
                    *service = service_name(&value);
                } else {
                    out.push(terms::tag(key, value.text(scratch)));
                }
            }
            2 => drop(field.wire.varint()?),
            3 => super::span::check_entity(field.wire.bytes()?)?,
            _ => {}
        }
    }
    Ok(())
}

/// Unusable names are replaced as Jaeger's sanitizer does.
fn service_name(value: &Any<'_>) -> Arc<str> {
    Arc::from(match value {
        Any::Text("") => "empty-service-name",
        Any::Text(name) => name,
        _ => "service-name-wrong-type",
    })
}

fn read_scope(context: &mut Context, scratch: &mut String) -> Result<(), Malformed> {
    let mut groups = Fields::new(&context.scope);
    while let Some(group) = groups.next()? {
        match group.number {
            1 => {
                let mut fields = Fields::new(group.wire.bytes()?);
                while let Some(field) = fields.next()? {
                    match field.number {
                        1 => context.terms.push(terms::scope_name(field.wire.text()?)),
                        2 => context.terms.push(terms::scope_version(field.wire.text()?)),
                        3 => {
                            let (key, value) = attribute(field.wire.bytes()?)?;
                            context.terms.push(terms::tag(key, value.text(scratch)));
                        }
                        4 => drop(field.wire.varint()?),
                        _ => {}
                    }
                }
            }
            3 => drop(group.wire.text()?),
            _ => {}
        }
    }
    Ok(())
}

/// A request that holds exactly this piece, to file it anew.
pub(crate) fn put_request(out: &mut Vec<u8>, resource: &[u8], scope: &[u8], items: &[&[u8]]) {
    let body: usize = items.iter().map(|item| item.len() + 1 + varint_len(item.len())).sum();
    let scope_len = scope.len() + body;
    let resource_len = resource.len() + 1 + varint_len(scope_len) + scope_len;
    out.push(0x0a);
    put_varint(out, resource_len as u64);
    out.extend_from_slice(resource);
    out.push(0x12);
    put_varint(out, scope_len as u64);
    out.extend_from_slice(scope);
    for item in items {
        out.push(0x12);
        put_varint(out, item.len() as u64);
        out.extend_from_slice(item);
    }
}

fn varint_len(value: usize) -> usize {
    (usize::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

//! A block: about 128 KiB of chunks with the resources and scopes they share, compressed as one.
//!
//! Uncompressed: chunks, then the contexts (count; for each the resource's and the scope's length and bytes), then where
//! the contexts start (u32 LE). Chunk: trace id, item count, then for each item its context, length and bytes. Numbers
//! are varints.

use bytes::Bytes;
use std::collections::HashMap;

use super::super::batch::Piece;
use super::super::wire::{put_varint, take_varint};
use super::format::Fault;
use crate::model::TraceId;

/// Uncompressed bytes at which a block is full.
const FULL: usize = 128 << 10;

/// Gathers chunks.
#[derive(Debug, Default)]
pub(crate) struct BlockBuilder {
    raw: Vec<u8>,
    contexts: Vec<u8>,
    known: HashMap<(Bytes, Bytes), u32>,
}

/// A block read back.
#[derive(Debug)]
pub(crate) struct Block {
    raw: Bytes,
    contexts: Vec<(Bytes, Bytes)>,
}

// === impl BlockBuilder ===

impl BlockBuilder {
    /// Starts a chunk; its offset in the block.
    pub(crate) fn start(&mut self, id: TraceId, items: usize) -> usize {
        let offset = self.raw.len();
        self.raw.extend(id.0);
        put_varint(&mut self.raw, items as u64);
        offset
    }

    /// The number that this resource and scope have in the block.
    pub(crate) fn context(&mut self, resource: &Bytes, scope: &Bytes) -> u32 {
        let next = self.known.len() as u32;
        *self.known.entry((resource.clone(), scope.clone())).or_insert_with(|| {
            for part in [resource, scope] {
                put_varint(&mut self.contexts, part.len() as u64);
                self.contexts.extend_from_slice(part);
            }
            next
        })
    }

    /// Adds an item to the chunk.
    pub(crate) fn item(&mut self, context: u32, item: &[u8]) {
        put_varint(&mut self.raw, u64::from(context));
        put_varint(&mut self.raw, item.len() as u64);
        self.raw.extend_from_slice(item);
    }

    /// Bytes so far, without contexts.
    pub(crate) fn len(&self) -> usize {
        self.raw.len()
    }

    pub(crate) fn full(&self) -> bool {
        self.raw.len() + self.contexts.len() >= FULL
    }

    /// The block's bytes; the builder is empty after.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let start = self.raw.len() as u32;
        put_varint(&mut self.raw, self.known.len() as u64);
        self.raw.append(&mut self.contexts);
        self.raw.extend(start.to_le_bytes());
        self.known.clear();
        std::mem::take(&mut self.raw)
    }
}

// === impl Block ===

impl Block {
    pub(crate) fn read(raw: Bytes) -> Result<Self, Fault> {
        let bad = || Fault::Corrupt("a block's contexts cannot be read");
        let tail = raw.len().checked_sub(4).ok_or_else(bad)?;
        let start = super::format::u32_at(&raw, tail) as usize;
        let mut rest = raw.get(start..tail).ok_or_else(bad)?;
        let count = take_varint(&mut rest).ok_or_else(bad)?;
        let mut contexts = Vec::new();
        for _ in 0..count {
            let resource = take_part(&raw, &mut rest).ok_or_else(bad)?;
            let scope = take_part(&raw, &mut rest).ok_or_else(bad)?;
            contexts.push((resource, scope));
        }
        Ok(Self { raw, contexts })
    }

    /// Uncompressed size.
    pub(crate) fn len(&self) -> usize {
        self.raw.len()
    }

    /// The items of a chunk.
    pub(crate) fn chunk(&self, offset: u32, len: u32) -> Result<Vec<Piece>, Fault> {
        let bad = || Fault::Corrupt("a chunk cannot be read");
        let (from, to) = (offset as usize, (offset as usize).saturating_add(len as usize));
        let mut rest = self.raw.get(from..to).and_then(|chunk| chunk.get(16..)).ok_or_else(bad)?;
        let count = take_varint(&mut rest).ok_or_else(bad)?;
        let mut pieces = Vec::new();
        for _ in 0..count {
            let context = take_varint(&mut rest).ok_or_else(bad)?;
            let item = take_part(&self.raw, &mut rest).ok_or_else(bad)?;
            let (resource, scope) = self.contexts.get(context as usize).cloned().ok_or_else(bad)?;
            pieces.push(Piece { resource, scope, item });
        }
        Ok(pieces)
    }
}

/// A length and so many bytes, shared with the whole.
fn take_part(whole: &Bytes, rest: &mut &[u8]) -> Option<Bytes> {
    let len = usize::try_from(take_varint(rest)?).ok()?;
    let part = rest.get(..len)?;
    *rest = rest.get(len..)?;
    Some(whole.slice_ref(part))
}

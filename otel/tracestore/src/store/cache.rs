//! Uncompressed blocks that were read lately, bounded in bytes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::segment::Block;

/// Segment, block.
type Key = (u64, u32);

/// Shared by all readers.
#[derive(Debug)]
pub(crate) struct BlockCache {
    max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    blocks: HashMap<Key, (Arc<Block>, u64)>,
    bytes: usize,
    clock: u64,
}

// === impl BlockCache ===

impl BlockCache {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, state: Mutex::default() }
    }

    pub(crate) fn get(&self, segment: u64, block: u32) -> Option<Arc<Block>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.clock += 1;
        let now = state.clock;
        let (found, used) = state.blocks.get_mut(&(segment, block))?;
        *used = now;
        Some(Arc::clone(found))
    }

    /// Keeps a block, unless it alone would take a quarter of the room.
    pub(crate) fn put(&self, segment: u64, block: u32, read: Block) -> Arc<Block> {
        let read = Arc::new(read);
        if read.len() > self.max / 4 {
            return read;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.clock += 1;
        let now = state.clock;
        if state.blocks.insert((segment, block), (Arc::clone(&read), now)).is_none() {
            state.bytes += read.len();
        }
        while state.bytes > self.max {
            // A few dozen blocks at most, so looking at all of them is cheaper than keeping them in order.
            let Some(oldest) = state.blocks.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key)
            else {
                break;
            };
            if let Some((dropped, _)) = state.blocks.remove(&oldest) {
                state.bytes -= dropped.len();
            }
        }
        read
    }
}

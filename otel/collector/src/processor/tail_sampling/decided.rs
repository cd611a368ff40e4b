//! A decision cache: the ids of traces that were decided, the least recently seen ones forgotten first.

use std::collections::{BTreeMap, HashMap};

/// At most so many ids.
pub(super) struct Decided {
    size: usize,
    turn: u64,
    seen: HashMap<u128, u64>,
    order: BTreeMap<u64, u128>,
}

impl Decided {
    /// A size of 0 remembers nothing.
    pub(super) fn new(size: usize) -> Self {
        Self { size, turn: 0, seen: HashMap::new(), order: BTreeMap::new() }
    }

    /// Whether ids are kept at all.
    pub(super) fn on(&self) -> bool {
        self.size > 0
    }

    /// Whether `id` is known, which makes it the most recently seen.
    pub(super) fn knows(&mut self, id: u128) -> bool {
        if !self.seen.contains_key(&id) {
            return false;
        }
        self.put(id);
        true
    }

    /// Remembers `id`.
    pub(super) fn put(&mut self, id: u128) {
        if self.size == 0 {
            return;
        }
        self.turn += 1;
        if let Some(before) = self.seen.insert(id, self.turn) {
            self.order.remove(&before);
        }
        self.order.insert(self.turn, id);
        if self.seen.len() > self.size
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.seen.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_seen_id_is_forgotten_first() {
        let mut cache = Decided::new(2);
        cache.put(1);
        cache.put(2);
        assert!(cache.knows(1));
        cache.put(3);
        assert!(cache.knows(1) && cache.knows(3) && !cache.knows(2));
        assert!(!Decided::new(0).on());
    }
}

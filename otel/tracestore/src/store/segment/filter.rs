//! Which trace ids a segment cannot hold, in memory, so that most segments need not be read for a look-up.

/// Bits for each id: about one look-up in a hundred and fifty reads in vain.
const BITS: usize = 10;
const PROBES: u32 = 5;

/// A Bloom filter over id prefixes.
#[derive(Debug, Default)]
pub(super) struct Filter {
    words: Vec<u64>,
}

// === impl Filter ===

impl Filter {
    pub(super) fn of(count: usize, prefixes: impl Iterator<Item = u64>) -> Self {
        let mut filter = Self { words: vec![0; (count * BITS).div_ceil(64).max(1)] };
        for prefix in prefixes {
            for (word, bit) in filter.places(prefix) {
                if let Some(word) = filter.words.get_mut(word) {
                    *word |= bit;
                }
            }
        }
        filter
    }

    /// False only when the id is certainly not there.
    pub(super) fn may_hold(&self, prefix: u64) -> bool {
        self.places(prefix).all(|(word, bit)| self.words.get(word).is_none_or(|word| word & bit != 0))
    }

    fn places(&self, prefix: u64) -> impl Iterator<Item = (usize, u64)> + use<> {
        let bits = (self.words.len() * 64) as u64;
        // Ids need not be random: clients count, too.
        let first = (prefix ^ (prefix >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let step = first.rotate_left(32) | 1;
        (0..PROBES).map(move |n| {
            let place =
                first.wrapping_add(step.wrapping_mul(u64::from(n)).wrapping_mul(0xd6e8_feb8_6659_fd93));
            let bit = ((u128::from(place) * u128::from(bits)) >> 64) as u64;
            ((bit / 64) as usize, 1 << (bit % 64))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_there_is_never_denied_and_others_mostly_are() {
        let filter = Filter::of(10_000, 0..10_000);
        assert!((0..10_000).all(|id| filter.may_hold(id)));
        let wrong = (10_000..110_000).filter(|id| filter.may_hold(*id)).count();
        assert!(wrong < 3_000, "{wrong} of 100,000");
    }
}

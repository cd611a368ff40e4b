//! Stretches of time that a trace store is asked about.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A clock may be wrong by this much and its spans are still found: windows that end now end this much later.
const CLOCKS: Duration = Duration::from_secs(600);

/// From `start_ns` to `end_ns`, both included, Unix nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
}

// === impl Window ===

impl Window {
    /// The last `length`, and a little of the future for services whose clock is ahead.
    pub(crate) fn last(length: Duration) -> Self {
        let now = now_ns();
        Self { start_ns: now.saturating_sub(nanos(length)), end_ns: now.saturating_add(nanos(CLOCKS)) }
    }

    /// The newer and the older half; none when it cannot be halved in whole microseconds, which is what the legacy API
    /// counts in.
    pub(crate) fn halves(self) -> Option<(Self, Self)> {
        let middle = self.start_ns + self.end_ns.checked_sub(self.start_ns)? / 2;
        let middle = middle - middle % 1_000;
        if middle <= self.start_ns || middle >= self.end_ns {
            return None;
        }
        Some((Self { start_ns: middle, ..self }, Self { end_ns: middle, ..self }))
    }
}

/// Unix nanoseconds.
pub(crate) fn now_ns() -> u64 {
    nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn two_halves_cover_the_whole_and_are_shorter(start in 0u64..u64::MAX, length in 0u64..1 << 60) {
            let whole = Window { start_ns: start, end_ns: start.saturating_add(length) };
            if let Some((newer, older)) = whole.halves() {
                proptest::prop_assert_eq!((older.start_ns, newer.end_ns), (whole.start_ns, whole.end_ns));
                proptest::prop_assert_eq!(older.end_ns, newer.start_ns);
                proptest::prop_assert!(older.start_ns < older.end_ns && newer.start_ns < newer.end_ns);
            } else {
                proptest::prop_assert!(length < 2_000 || whole.end_ns - whole.start_ns < 2_000);
            }
        }
    }
}

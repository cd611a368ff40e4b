//! Failed sign-ins: a name that failed too often has to wait, whether it exists or not.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// One failure is forgiven after this long.
const FORGIVEN: Duration = Duration::from_secs(30);
/// Names that are remembered at most. Beyond it the longest untouched goes: an attacker can make us forget, not run out of memory.
const NAMES: usize = 100_000;

/// Failures by name, in memory: a restart forgives.
pub(crate) struct Attempts {
    allowed: u32,
    failures: Mutex<HashMap<String, (f64, Instant)>>,
}

// === impl Attempts ===

impl Attempts {
    pub(crate) fn new(allowed: u32) -> Self {
        Self { allowed, failures: Mutex::default() }
    }

    pub(crate) fn may_try(&self, name: &str) -> bool {
        self.may_try_at(name, Instant::now())
    }

    pub(crate) fn failed(&self, name: &str) {
        self.failed_at(name, Instant::now());
    }

    pub(crate) fn succeeded(&self, name: &str) {
        self.lock().remove(name);
    }

    fn may_try_at(&self, name: &str, now: Instant) -> bool {
        let left = self.lock().get(name).map_or(0.0, |entry| decayed(*entry, now));
        left + 1.0 <= f64::from(self.allowed)
    }

    fn failed_at(&self, name: &str, now: Instant) {
        let mut failures = self.lock();
        if failures.len() >= NAMES && !failures.contains_key(name) {
            failures.retain(|_, entry| decayed(*entry, now) > 0.0);
            let oldest = failures.iter().min_by_key(|(_, (_, at))| *at).map(|(name, _)| name.clone());
            if let Some(oldest) = oldest.filter(|_| failures.len() >= NAMES) {
                failures.remove(&oldest);
            }
        }
        let entry = failures.entry(name.to_owned()).or_insert((0.0, now));
        *entry = (decayed(*entry, now) + 1.0, now);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (f64, Instant)>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn decayed((failures, at): (f64, Instant), now: Instant) -> f64 {
    (failures - now.saturating_duration_since(at).as_secs_f64() / FORGIVEN.as_secs_f64()).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_waits_after_too_many_failures_and_is_forgiven_with_time() {
        let (attempts, start) = (Attempts::new(3), Instant::now());
        for _ in 0..3 {
            assert!(attempts.may_try_at("ada", start));
            attempts.failed_at("ada", start);
        }
        assert!(!attempts.may_try_at("ada", start));
        assert!(attempts.may_try_at("bob", start));
        assert!(attempts.may_try_at("ada", start + FORGIVEN));
        attempts.succeeded("ada");
        assert!(attempts.may_try_at("ada", start));
    }

    #[test]
    fn memory_is_bounded() {
        let (attempts, start) = (Attempts::new(3), Instant::now());
        for n in 0..NAMES + 5 {
            attempts.failed_at(&n.to_string(), start);
        }
        assert_eq!(attempts.lock().len(), NAMES);
    }
}

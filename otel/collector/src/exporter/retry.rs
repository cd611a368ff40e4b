//! The waits between attempts: exponential, randomised, bounded in length and in sum.

use std::time::{Duration, Instant};

use crate::config::RetryConfig;

/// The waits of one delivery.
pub(crate) struct Waits<'a> {
    config: &'a RetryConfig,
    started: Instant,
    next: Duration,
}

// === impl Waits ===

impl<'a> Waits<'a> {
    pub(crate) fn new(config: &'a RetryConfig) -> Self {
        Self { config, started: Instant::now(), next: config.initial }
    }

    /// How long to wait before the next attempt; `None` when there is to be none. A backend's own wish is a least wait.
    pub(crate) fn next(&mut self, asked: Option<Duration>) -> Option<Duration> {
        if !self.config.enabled {
            return None;
        }
        let spread = self.config.randomization * (rand::random::<f64>() * 2.0 - 1.0);
        let own = self.next.mul_f64((1.0 + spread).max(0.0)).min(self.config.max);
        self.next = self.next.mul_f64(self.config.multiplier).min(self.config.max);
        // A backend cannot park us for ever: an hour is the longest wish that is granted.
        let wait = asked.map_or(own, |asked| own.max(asked.min(Duration::from_secs(3600))));
        let in_time =
            self.config.max_elapsed.is_zero() || self.started.elapsed() + wait <= self.config.max_elapsed;
        in_time.then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(max_elapsed: Duration) -> RetryConfig {
        RetryConfig {
            enabled: true,
            initial: Duration::from_secs(1),
            max: Duration::from_secs(4),
            max_elapsed,
            multiplier: 2.0,
            randomization: 0.0,
        }
    }

    #[test]
    fn waits_grow_to_their_maximum_and_end_with_the_time_allowed() {
        let config = config(Duration::from_secs(10));
        let mut waits = Waits::new(&config);
        let seconds: Vec<u64> = (0..4).map(|_| waits.next(None).map_or(0, |wait| wait.as_secs())).collect();
        assert_eq!(seconds, [1, 2, 4, 4]);
        assert_eq!(waits.next(Some(Duration::from_secs(11))), None);
    }

    #[test]
    fn a_backend_can_ask_for_a_longer_wait_but_not_a_shorter_one() {
        let config = config(Duration::ZERO);
        let mut waits = Waits::new(&config);
        assert_eq!(waits.next(Some(Duration::from_secs(7))), Some(Duration::from_secs(7)));
        assert_eq!(waits.next(Some(Duration::ZERO)), Some(Duration::from_secs(2)));
    }
}

//! The token bucket of `rate_limiting` and `bytes_limiting`: full at first, refilled evenly.

use std::time::Instant;

/// So many units a second, and so many at once.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    filled: Option<Instant>,
}

impl Bucket {
    /// `burst` 0 stands for twice the rate, upstream's default.
    pub(super) fn new(rate: u64, burst: u64) -> Self {
        let burst = if burst == 0 { rate.saturating_mul(2) } else { burst } as f64;
        Self { rate: rate as f64, burst, tokens: burst, filled: None }
    }

    /// Takes `units` if they are there, else nothing.
    pub(super) fn take(&mut self, units: u64, now: Instant) -> bool {
        if let Some(before) = self.filled.replace(now) {
            let since = now.saturating_duration_since(before).as_secs_f64();
            self.tokens = (self.tokens + since * self.rate).min(self.burst);
        }
        let enough = self.tokens >= units as f64;
        if enough {
            self.tokens -= units as f64;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate() {
        let (mut bucket, start) = (Bucket::new(10, 0), Instant::now());
        assert!(!bucket.take(21, start), "more than the bucket holds");
        assert!(bucket.take(20, start));
        assert!(!bucket.take(1, start));
        assert!(bucket.take(5, start + Duration::from_millis(500)));
        assert!(!bucket.take(1, start + Duration::from_millis(500)));
        assert!(bucket.take(20, start + Duration::from_secs(60)), "never more than the burst is saved up");
        assert!(!bucket.take(1, start + Duration::from_secs(60)));
    }
}

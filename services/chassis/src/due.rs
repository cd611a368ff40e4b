//! When work that waits in a table is due again.
//!
//! Pauses are kept as wall-clock times, since they must survive the process. A clock that was set back must not stretch
//! them: read a time that is further away than any pause as due.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    ms(since)
}

/// Whole milliseconds.
pub fn ms(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}

/// The pause after `failures` failures (from 0): 100 ms, growing, with jitter, `most` at most.
pub fn pause(failures: i64, most: Duration) -> Duration {
    use backon::BackoffBuilder;
    let builder = backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(most)
        .without_max_times()
        .with_jitter();
    builder.build().nth(usize::try_from(failures.clamp(0, 16)).unwrap_or(0)).unwrap_or(most)
}

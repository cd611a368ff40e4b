//! Deadlines: how much time is left travels with every call, never a clock reading.
//!
//! Over gRPC it is the `grpc-timeout` header (gRPC over HTTP/2, "Requests"); over HTTP, which has no standard for it,
//! `X-Deadline-Ms`: the milliseconds that the caller is still willing to wait. A server takes the smaller of that and its
//! own limit, so a caller can shorten but never lengthen. Inside the process the deadline is a task-local
//! [`Instant`], which a shifted wall clock cannot move.

use std::{future::Future, time::Duration};

use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;

/// Remaining milliseconds, as a decimal integer.
pub const HEADER: &str = "x-deadline-ms";
/// gRPC's own header.
pub const GRPC_HEADER: &str = "grpc-timeout";

tokio::task_local! {
    static DEADLINE: Instant;
}

/// The deadline passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("deadline exceeded")]
pub struct Elapsed;

/// Runs `work` for at most `limit`, or for what is left of the deadline around it if that is less. Calls made within
/// carry the remaining time.
///
/// # Errors
/// [`Elapsed`] when the time is over; `work` is dropped then.
pub async fn within<F: Future>(limit: Duration, work: F) -> Result<F::Output, Elapsed> {
    let end = Instant::now() + remaining_or(limit);
    DEADLINE.scope(end, tokio::time::timeout_at(end, work)).await.map_err(|_| Elapsed)
}

/// Runs `work` with a deadline of its own, whatever surrounds it: a message starts its step's own deadline, and work that
/// must be finished (a refund, a release) must not inherit a caller's last milliseconds.
///
/// # Errors
/// [`Elapsed`] when the time is over.
pub async fn fresh<F: Future>(limit: Duration, work: F) -> Result<F::Output, Elapsed> {
    let end = Instant::now() + limit;
    DEADLINE.scope(end, tokio::time::timeout_at(end, work)).await.map_err(|_| Elapsed)
}

/// What is left of the current deadline; `None` where there is none.
pub fn remaining() -> Option<Duration> {
    DEADLINE.try_with(|end| end.saturating_duration_since(Instant::now())).ok()
}

/// The smaller of `limit` and what is left.
pub fn remaining_or(limit: Duration) -> Duration {
    remaining().map_or(limit, |left| left.min(limit))
}

/// What a caller of ours is still willing to wait, by either header. A value that cannot be read counts as absent.
pub(crate) fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    match (text(GRPC_HEADER), text(HEADER)) {
        (Some(grpc), _) => parse_grpc(grpc),
        (None, Some(ms)) if ms.len() <= 12 => ms.parse().ok().map(Duration::from_millis),
        _ => None,
    }
}

/// `X-Deadline-Ms`, rounded down.
pub(crate) fn http_value(left: Duration) -> HeaderValue {
    HeaderValue::from(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
}

/// `grpc-timeout`: at most eight digits and a unit.
pub(crate) fn grpc_value(left: Duration) -> HeaderValue {
    let ms = left.as_millis();
    let text =
        if ms < 100_000_000 { format!("{ms}m") } else { format!("{}S", left.as_secs().min(99_999_999)) };
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("0m"))
}

fn parse_grpc(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(n * 3600)),
        "M" => Some(Duration::from_secs(n * 60)),
        "S" => Some(Duration::from_secs(n)),
        "m" => Some(Duration::from_millis(n)),
        "u" => Some(Duration::from_micros(n)),
        "n" => Some(Duration::from_nanos(n)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static(name), HeaderValue::from_static(value))])
    }

    #[test]
    fn what_is_written_is_read_back_in_every_unit() {
        for (text, want) in
            [("3H", 10_800_000), ("2M", 120_000), ("45S", 45_000), ("300m", 300), ("5000u", 5)]
        {
            assert_eq!(asked(&headers(GRPC_HEADER, text)), Some(Duration::from_millis(want)), "{text}");
        }
        assert_eq!(asked(&headers(HEADER, "1500")), Some(Duration::from_millis(1500)));
        assert_eq!(grpc_value(Duration::from_secs(45)), "45000m");
        assert_eq!(grpc_value(Duration::from_secs(200_000)), "200000S");
    }

    #[test]
    fn an_unreadable_deadline_counts_as_absent() {
        for text in ["", "S", "-1S", "123456789S", "1x", "1.5S", "é"] {
            let value = HeaderValue::from_str(text).or_else(|_| HeaderValue::from_bytes(text.as_bytes()));
            let mut map = HeaderMap::new();
            map.insert(GRPC_HEADER, value.expect("a header value"));
            assert_eq!(asked(&map), None, "{text}");
        }
        assert_eq!(asked(&headers(HEADER, "soon")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_inner_limit_shortens_but_never_lengthens() {
        let seen = within(Duration::from_secs(2), async {
            within(Duration::from_secs(60), async { remaining() }).await.expect("in time")
        });
        assert!(seen.await.expect("in time") <= Some(Duration::from_secs(2)));
        let late = within(Duration::from_millis(10), std::future::pending::<()>()).await;
        assert_eq!(late, Err(Elapsed));
        assert_eq!(remaining(), None);
    }
}

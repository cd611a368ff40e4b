//! Times and texts as people read them.

use time::{OffsetDateTime, macros::format_description};

/// `06:45:26.123`, UTC.
pub(crate) fn clock(ns: u64) -> String {
    let form = format_description!("[hour]:[minute]:[second].[subsecond digits:3]");
    at(ns).format(form).unwrap_or_default()
}

/// `21 Nov 2026`, UTC.
pub(super) fn day(ns: u64) -> String {
    let form = format_description!("[day padding:none] [month repr:short] [year]");
    at(ns).format(form).unwrap_or_default()
}

/// `2026-11-21T06:45:26.123456789Z`.
pub(crate) fn rfc3339(ns: u64) -> String {
    at(ns).format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}

/// A length with as many digits as matter: `3 ms`, `1.2 s`, `45 s`, `2 min 5 s`, `1 h 4 min`; `-90 s` when it is negative.
pub(super) fn length(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let micros = ns.unsigned_abs() / 1_000;
    let (ms, s) = (micros / 1_000, micros / 1_000_000);
    let text = match () {
        () if micros == 0 => "0 ms".to_owned(),
        () if ms == 0 => format!("{micros} us"),
        () if s == 0 => format!("{ms} ms"),
        () if s < 10 => format!("{}.{} s", s, ms % 1_000 / 100),
        () if s < 120 => format!("{s} s"),
        () if s < 7_200 => format!("{} min {} s", s / 60, s % 60),
        () => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
    };
    format!("{sign}{text}")
}

/// Text from elsewhere without what a terminal would act on.
pub(crate) fn clean(text: &str) -> String {
    let harmless = |c: char| if c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) { ' ' } else { c };
    text.chars().map(harmless).collect()
}

fn at(ns: u64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ns)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_the_digits_that_matter() {
        let ms = 1_000_000;
        let lengths = [
            0,
            700_000,
            3 * ms,
            812 * ms,
            1_250 * ms,
            45_000 * ms,
            125_000 * ms,
            3_840_000 * ms,
            -90_000 * ms,
        ];
        let told = ["0 ms", "700 us", "3 ms", "812 ms", "1.2 s", "45 s", "2 min 5 s", "64 min 0 s", "-90 s"];
        assert_eq!(lengths.map(length), told);
        assert_eq!(length(8_000_000 * ms), "2 h 13 min");
    }

    #[test]
    fn times_are_told_in_utc_even_absurd_ones() {
        assert_eq!(clock(1_795_243_526_123_456_789), "06:45:26.123");
        assert_eq!(day(1_795_243_526_123_456_789), "21 Nov 2026");
        assert!(!clock(u64::MAX).is_empty() && !rfc3339(u64::MAX).is_empty());
    }

    #[test]
    fn nothing_that_a_terminal_acts_on_gets_through() {
        assert_eq!(clean("a\u{1b}[2Jb\nc\u{202e}d"), "a [2Jb c d");
    }
}

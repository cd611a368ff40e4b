//! Parameters as Go's standard library reads them.
//!
//! Jaeger's query API is defined by what `strconv` and `time` accept and by the texts of their errors, which clients
//! show to people. The rules below follow the documentation of those packages.

use std::fmt::Write as _;

use time::OffsetDateTime;

const NANOSECOND: u64 = 1;
const MICROSECOND: u64 = 1_000 * NANOSECOND;
const MILLISECOND: u64 = 1_000 * MICROSECOND;
const SECOND: u64 = 1_000 * MILLISECOND;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// The magnitude of Go's smallest `time.Duration`.
const MAX_MAGNITUDE: u64 = 1 << 63;

/// A decimal integer that must fit into `bits` bits (32 or 64), as `strconv.ParseInt(s, 10, bits)`.
pub(crate) fn parse_int(text: &str, bits: u32) -> Result<i64, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(syntax("ParseInt", text));
    }
    let range = || format!("strconv.ParseInt: parsing {}: value out of range", quote(text));
    let value: i64 = text.parse().map_err(|_| range())?;
    let bound = 1_i128 << (bits - 1);
    if (-bound..bound).contains(&i128::from(value)) { Ok(value) } else { Err(range()) }
}

/// A hexadecimal number without sign or prefix, as `strconv.ParseUint(s, 16, 64)`.
pub(crate) fn parse_hex(text: &str) -> Result<u64, String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(syntax("ParseUint", text));
    }
    u64::from_str_radix(text, 16)
        .map_err(|_| format!("strconv.ParseUint: parsing {}: value out of range", quote(text)))
}

/// As `strconv.ParseBool`: eleven spellings and nothing else.
pub(crate) fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(syntax("ParseBool", text)),
    }
}

/// Signed nanoseconds from text such as `1h15m30.5s`, as `time.ParseDuration`.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", quote(text));
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (whole, fraction, unit_text, tail) = split_term(rest).ok_or_else(invalid)?;
        if unit_text.is_empty() {
            return Err(format!("time: missing unit in duration {}", quote(text)));
        }
        let unit = unit_nanos(unit_text)
            .ok_or_else(|| format!("time: unknown unit {} in duration {}", quote(unit_text), quote(text)))?;
        let term = term_nanos(whole, fraction, unit).ok_or_else(invalid)?;
        total = total.checked_add(term).filter(|t| *t <= MAX_MAGNITUDE).ok_or_else(invalid)?;
        rest = tail;
    }
    match (negative, i64::try_from(total)) {
        (false, Ok(nanos)) => Ok(nanos),
        (false, Err(_)) => Err(invalid()),
        (true, Ok(nanos)) => Ok(-nanos),
        (true, Err(_)) => Ok(i64::MIN),
    }
}

/// One `number unit` at the start of `rest`: whole digits, fraction digits, unit, what follows.
fn split_term(rest: &str) -> Option<(&str, &str, &str, &str)> {
    let digits = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, after) = rest.split_at(digits(rest));
    let (fraction, after) = match after.strip_prefix('.') {
        Some(after) => after.split_at(digits(after)),
        None => ("", after),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let unit_len = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
    let (unit, tail) = after.split_at(unit_len);
    Some((whole, fraction, unit, tail))
}

fn unit_nanos(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => NANOSECOND,
        "us" | "\u{b5}s" | "\u{3bc}s" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return None,
    })
}

fn term_nanos(whole: &str, fraction: &str, unit: u64) -> Option<u64> {
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = whole.checked_mul(unit).filter(|n| *n <= MAX_MAGNITUDE)?;
    // Digits below a nanosecond are dropped, not rounded.
    let mut below: u128 = 0;
    let mut divisor: u128 = 1;
    for digit in fraction.bytes().take(18) {
        below = below * 10 + u128::from(digit - b'0');
        divisor *= 10;
    }
    nanos = nanos.checked_add(u64::try_from(below * u128::from(unit) / divisor).ok()?)?;
    Some(nanos).filter(|n| *n <= MAX_MAGNITUDE)
}

/// Signed nanoseconds as Go prints a `time.Duration`: `1h15m30.5s`, `12ms`, `0s`.
pub(crate) fn format_duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let magnitude = nanos.unsigned_abs();
    if magnitude == 0 {
        return "0s".to_owned();
    }
    if magnitude < SECOND {
        let (unit, name) = match magnitude {
            0..MICROSECOND => (NANOSECOND, "ns"),
            MICROSECOND..MILLISECOND => (MICROSECOND, "\u{b5}s"),
            _ => (MILLISECOND, "ms"),
        };
        return format!("{sign}{}{name}", decimal(magnitude, unit));
    }
    let (hours, minutes) = (magnitude / HOUR, magnitude % HOUR / MINUTE);
    let seconds = decimal(magnitude % MINUTE, SECOND);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, m) => format!("{sign}{m}m{seconds}s"),
        (h, m) => format!("{sign}{h}h{m}m{seconds}s"),
    }
}

/// Unix nanoseconds as Go prints a `time.Time` in UTC: `2026-11-21 04:22:16.009 +0000 UTC`.
pub(crate) fn format_time(nanos: u64) -> String {
    let Ok(time) = OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanos)) else {
        return nanos.to_string();
    };
    let (date, hour, minute, second) = (time.date(), time.hour(), time.minute(), time.second());
    let fraction = format!(".{:09}", time.nanosecond());
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    format!("{date} {hour:02}:{minute:02}:{second:02}{fraction} +0000 UTC")
}

/// `value / unit` without trailing zeros.
fn decimal(value: u64, unit: u64) -> String {
    let (whole, rest) = (value / unit, value % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    let fraction = format!("{rest:0width$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

fn syntax(function: &str, text: &str) -> String {
    format!("strconv.{function}: parsing {}: invalid syntax", quote(text))
}

/// A double-quoted text as `strconv.Quote` writes it.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() => _ = write!(out, "\\x{:02x}", u32::from(c)),
            c if c.is_control() => _ = write!(out, "\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, nanos) in [
            ("0", 0),
            ("+0", 0),
            ("5s", 5_000_000_000),
            ("1h15m30.5s", 4_530_500_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("-1.5ms", -1_500_000),
            ("3\u{b5}s", 3_000),
            ("3\u{3bc}s", 3_000),
            ("3us", 3_000),
            ("10ns", 10),
            ("0.3333333333333333333h", 1_200_000_000_000 - 1),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
        ] {
            assert_eq!(parse_duration(text), Ok(nanos), "{text}");
        }
    }

    #[test]
    fn bad_durations_are_refused_in_the_words_of_go() {
        for (text, error) in [
            ("", "time: invalid duration \"\""),
            ("-", "time: invalid duration \"-\""),
            ("20", "time: missing unit in duration \"20\""),
            ("5x", "time: unknown unit \"x\" in duration \"5x\""),
            ("1h 2m", "time: unknown unit \"h \" in duration \"1h 2m\""),
            ("s", "time: invalid duration \"s\""),
            (".s", "time: invalid duration \".s\""),
            ("9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\""),
            ("99999999999h", "time: invalid duration \"99999999999h\""),
        ] {
            assert_eq!(parse_duration(text), Err(error.to_owned()), "{text}");
        }
    }

    #[test]
    fn integers_and_booleans_are_refused_in_the_words_of_go() {
        assert_eq!(parse_int("x", 64), Err("strconv.ParseInt: parsing \"x\": invalid syntax".into()));
        assert_eq!(parse_int("1_0", 64), Err("strconv.ParseInt: parsing \"1_0\": invalid syntax".into()));
        assert_eq!(
            parse_int("2147483648", 32),
            Err("strconv.ParseInt: parsing \"2147483648\": value out of range".into())
        );
        assert_eq!(parse_int("-2147483648", 32), Ok(-2_147_483_648));
        assert_eq!(parse_int("+7", 32), Ok(7));
        assert_eq!(parse_bool("yes"), Err("strconv.ParseBool: parsing \"yes\": invalid syntax".into()));
        assert_eq!(parse_bool("T"), Ok(true));
        assert_eq!(parse_hex("zz"), Err("strconv.ParseUint: parsing \"zz\": invalid syntax".into()));
        assert_eq!(parse_hex("+1"), Err("strconv.ParseUint: parsing \"+1\": invalid syntax".into()));
    }

    #[test]
    fn durations_are_printed_as_go_prints_them() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1\u{b5}s"),
            (12_000_000, "12ms"),
            (-2_500_000, "-2.5ms"),
            (1_000_000_000, "1s"),
            (60_000_000_000, "1m0s"),
            (4_530_500_000_000, "1h15m30.5s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(format_duration(nanos), text);
        }
    }

    #[test]
    fn times_are_printed_as_go_prints_them() {
        assert_eq!(format_time(0), "1970-01-01 00:00:00 +0000 UTC");
        assert_eq!(format_time(1_700_000_000_009_000_000), "2023-11-14 22:13:20.009 +0000 UTC");
        assert_eq!(format_time(1_700_000_000_000_000_001), "2023-11-14 22:13:20.000000001 +0000 UTC");
    }

    proptest! {
        #[test]
        fn a_printed_duration_is_read_back(nanos in any::<i64>()) {
            prop_assert_eq!(parse_duration(&format_duration(nanos)), Ok(nanos));
        }

        #[test]
        fn no_text_makes_a_parser_panic(text in "\\PC*") {
            let _ = (parse_duration(&text), parse_int(&text, 64), parse_int(&text, 32), parse_hex(&text));
            let _ = (parse_bool(&text), quote(&text));
        }

        #[test]
        fn duration_like_text_is_read_or_refused(text in "[-+]?([0-9]{0,20}\\.?[0-9]{0,20}(ns|us|ms|s|m|h|x|)){0,4}") {
            let _ = parse_duration(&text);
        }
    }
}

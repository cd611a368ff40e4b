//! `traceparent`, read to the letter of W3C Trace Context level 2, section 3.2.
//!
//! What does not fit is no context at all: the receiver then starts a new trace (section 3.2.2.5). Of the flags,
//! `sampled` (0x01) and `random` (0x02) are known; unknown ones are set to zero (section 3.2.2.3).

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// The trace id was made at random.
pub(super) const RANDOM: u8 = 0x02;
/// The flags of level 2 that pass through.
const KNOWN_FLAGS: u8 = 0x03;
/// Length of `00-<32>-<16>-<2>`.
const LENGTH: usize = 55;

/// Reads one `traceparent` value; surrounding spaces and tabs belong to HTTP, not to the value.
/// `None` when it is malformed: lower-case hex only, no zero ids, version `ff` never; version `00` has
/// exactly 55 characters, a higher one may go on after another `-`.
pub(crate) fn parse(value: &str) -> Option<SpanContext> {
    let bytes = value.trim_matches([' ', '\t']).as_bytes();
    if bytes.len() < LENGTH || bytes[2] != b'-' || bytes[35] != b'-' || bytes[52] != b'-' {
        return None;
    }
    let version = hex(&bytes[0..2])? as u8;
    let fits = match version {
        0xff => false,
        0 => bytes.len() == LENGTH,
        _ => bytes.len() == LENGTH || bytes[LENGTH] == b'-',
    };
    let trace = hex(&bytes[3..35])?;
    let span = u64::try_from(hex(&bytes[36..52])?).ok()?;
    let flags = u8::try_from(hex(&bytes[53..55])?).ok()? & KNOWN_FLAGS;
    (fits && trace != 0 && span != 0).then(|| {
        SpanContext::new(
            TraceId::from(trace),
            SpanId::from(span),
            TraceFlags::new(flags),
            true,
            TraceState::default(),
        )
    })
}

/// Writes version 00 for a valid span context, `None` for an invalid one. `more` flags are set besides the span's.
pub(crate) fn format(span: &SpanContext, more: u8) -> Option<String> {
    span.is_valid().then(|| {
        let flags = (span.trace_flags().to_u8() | more) & KNOWN_FLAGS;
        let mut out = String::with_capacity(LENGTH);
        out.push_str("00-");
        push_hex(&mut out, &span.trace_id().to_bytes());
        out.push('-');
        push_hex(&mut out, &span.span_id().to_bytes());
        out.push('-');
        push_hex(&mut out, &[flags]);
        out
    })
}

/// Lower-case hex digits only: `from_str_radix` would take signs and upper case.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0u128, |value, digit| {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(nibble))
    })
}

fn push_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_well_formed_value_comes_back_unchanged() {
        assert_eq!(format(&parse(GOOD).unwrap(), 0).unwrap(), GOOD);
    }

    #[test]
    fn what_the_recommendation_forbids_is_no_context() {
        for bad in [
            "",
            "00-abc-def-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.x",
            "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
        ] {
            assert!(parse(bad).is_none(), "{bad} was taken");
        }
    }

    #[test]
    fn a_higher_version_is_read_as_far_as_it_is_known() {
        for good in [
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-brings",
        ] {
            assert_eq!(format(&parse(good).unwrap(), 0).unwrap(), GOOD);
        }
    }

    #[test]
    fn sampled_and_random_pass_and_unknown_flags_are_zeroed() {
        let with = |flags: &str| parse(&GOOD.replace("-01", flags)).unwrap().trace_flags().to_u8();
        assert_eq!([with("-00"), with("-01"), with("-02"), with("-03"), with("-ff")], [0, 1, 2, 3, 3]);
    }

    proptest! {
        #[test]
        fn any_ids_survive_the_round_trip(trace in 1u128.., span in 1u64.., flags in 0u8..4) {
            let text = format!("00-{trace:032x}-{span:016x}-{flags:02x}");
            prop_assert_eq!(format(&parse(&text).unwrap(), 0).unwrap(), text);
        }

        #[test]
        fn no_text_makes_it_panic_and_what_it_takes_is_valid(text in ".{0,80}") {
            if let Some(span) = parse(&text) {
                prop_assert!(span.is_valid() && span.is_remote());
            }
        }

        #[test]
        fn one_changed_character_never_yields_an_invalid_context(at in 0usize..55, with in any::<char>()) {
            let mut text: Vec<char> = GOOD.chars().collect();
            text[at] = with;
            let text: String = text.into_iter().collect();
            if let Some(span) = parse(&text) {
                prop_assert!(span.is_valid());
                prop_assert_eq!(format(&span, 0).unwrap().len(), 55);
            }
        }
    }
}

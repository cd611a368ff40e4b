//! Trace and span ids as Jaeger reads and writes them.

use super::golang::parse_hex;
use crate::model::TraceId;

/// Reads 1 to 32 hexadecimal digits of either case; leading zeros are optional.
///
/// The errors are Jaeger's: the number parser's text names the half of the id that it could not read.
pub(crate) fn parse_trace_id(text: &str) -> Result<TraceId, String> {
    if text.len() > 32 {
        return Err(format!("TraceID cannot be longer than 32 hex characters: {text}"));
    }
    let (high, low) = match text.len().checked_sub(16) {
        // `get` guards against a cut inside a multi-byte character.
        Some(cut @ 1..) => match (text.get(..cut), text.get(cut..)) {
            (Some(high), Some(low)) => (parse_hex(high)?, parse_hex(low)?),
            _ => (0, parse_hex(text)?),
        },
        _ => (0, parse_hex(text)?),
    };
    Ok(TraceId(((u128::from(high) << 64) | u128::from(low)).to_be_bytes()))
}

/// 32 lower-case digits, or 16 when the upper half is zero.
pub(crate) fn format_trace_id(id: TraceId) -> String {
    let text = hex::encode(id.0);
    match text.strip_prefix("0000000000000000") {
        Some(low) => low.to_owned(),
        None => text,
    }
}

/// 16 lower-case digits.
pub(crate) fn format_span_id(id: u64) -> String {
    format!("{id:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn leading_zeros_are_optional_and_case_does_not_matter() {
        let one = TraceId(1_u128.to_be_bytes());
        for text in ["1", "0001", "0000000000000001", "00000000000000000000000000000001"] {
            assert_eq!(parse_trace_id(text), Ok(one), "{text}");
        }
        assert_eq!(parse_trace_id("ABCDEF"), parse_trace_id("abcdef"));
        assert_eq!(
            parse_trace_id("10000000000000002").map(format_trace_id),
            Ok("00000000000000010000000000000002".to_owned())
        );
    }

    #[test]
    fn a_bad_id_is_refused_in_the_words_of_jaeger() {
        let syntax = |half: &str| Err(format!("strconv.ParseUint: parsing \"{half}\": invalid syntax"));
        assert_eq!(parse_trace_id("zzz"), syntax("zzz"));
        assert_eq!(parse_trace_id(""), syntax(""));
        assert_eq!(parse_trace_id("x0000000000000001"), syntax("x"));
        assert_eq!(parse_trace_id("1000000000000000z"), syntax("000000000000000z"));
        let long = "0".repeat(33);
        assert_eq!(
            parse_trace_id(&long),
            Err(format!("TraceID cannot be longer than 32 hex characters: {long}"))
        );
    }

    proptest! {
        #[test]
        fn a_written_id_is_read_back(id in any::<u128>()) {
            let id = TraceId(id.to_be_bytes());
            prop_assert_eq!(parse_trace_id(&format_trace_id(id)), Ok(id));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,40}") {
            let _ = parse_trace_id(&text);
        }
    }
}

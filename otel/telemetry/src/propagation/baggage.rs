//! `baggage`, read strictly after the W3C Baggage recommendation: 8192 bytes, 64 members, 4096 bytes a member.
//!
//! A header that breaks the grammar is dropped as a whole. Properties of a member travel on with it.

use opentelemetry::baggage::{Baggage, BaggageMetadata, KeyValueMetadata};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// All values together, in bytes (section 3.3.2 of the recommendation).
const MAX_LENGTH: usize = 8192;
/// Members, all headers together.
const MAX_MEMBERS: usize = 64;
/// One member, properties included.
const MAX_MEMBER: usize = 4096;

/// What a baggage value may not hold as it is: everything but baggage-octets, and `%` itself.
const ENCODE: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b',').add(b';').add(b'\\').add(b'%');

/// Combines the values of all `baggage` headers; malformed or oversized baggage is none.
pub(crate) fn parse<'a>(values: impl Iterator<Item = &'a str>) -> Baggage {
    let mut length = 0;
    let mut entries: Vec<KeyValueMetadata> = Vec::new();
    for value in values {
        length += value.len() + 1;
        if length > MAX_LENGTH + 1 {
            return Baggage::default();
        }
        for text in value.split(',') {
            if text.trim_matches([' ', '\t']).is_empty() && value.trim_matches([' ', '\t']).is_empty() {
                continue;
            }
            match member(text) {
                Some(entry) if entries.len() < MAX_MEMBERS => entries.push(entry),
                _ => return Baggage::default(),
            }
        }
    }
    entries.into_iter().collect()
}

/// Writes the header's value; `None` when there is nothing to write.
pub(crate) fn format(baggage: &Baggage) -> Option<String> {
    let mut out = String::new();
    for (key, (value, metadata)) in baggage {
        let start = out.len();
        if start > 0 {
            out.push(',');
        }
        out.push_str(key.as_str());
        out.push('=');
        out.extend(utf8_percent_encode(value.as_str(), ENCODE));
        if !metadata.as_str().is_empty() {
            out.push(';');
            out.push_str(metadata.as_str());
        }
        if out.len() > MAX_LENGTH || out.len() - start > MAX_MEMBER {
            out.truncate(start);
        }
    }
    (!out.is_empty()).then_some(out)
}

/// `key OWS "=" OWS value *( OWS ";" OWS property )`.
fn member(text: &str) -> Option<KeyValueMetadata> {
    if text.len() > MAX_MEMBER {
        return None;
    }
    let (pair, properties) = text.split_once(';').unwrap_or((text, ""));
    let (key, value) = pair.split_once('=')?;
    let (key, value) = (key.trim_matches([' ', '\t']), value.trim_matches([' ', '\t']));
    let properties = properties.trim_matches([' ', '\t']);
    let properties_fit = properties.is_empty() || properties.split(';').all(is_property);
    if !is_token(key) || !value.bytes().all(is_octet) || !properties_fit {
        return None;
    }
    let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
    Some(KeyValueMetadata::new(key.to_owned(), value, BaggageMetadata::from(properties)))
}

fn is_property(text: &str) -> bool {
    let text = text.trim_matches([' ', '\t']);
    match text.split_once('=') {
        Some((key, value)) => {
            is_token(key.trim_end_matches([' ', '\t']))
                && value.trim_start_matches([' ', '\t']).bytes().all(is_octet)
        }
        None => is_token(text),
    }
}

/// RFC 7230 token.
fn is_token(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(fits)
}

/// baggage-octet: printable ASCII but blank, `"`, `,`, `;` and `\`.
fn is_octet(byte: u8) -> bool {
    (0x21..=0x7e).contains(&byte) && !b"\",;\\".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(values: &[&str]) -> Vec<(String, String, String)> {
        let mut all: Vec<_> = parse(values.iter().copied())
            .iter()
            .map(|(k, (v, m))| (k.to_string(), v.to_string(), m.as_str().to_owned()))
            .collect();
        all.sort();
        all
    }

    fn entry(key: &str, value: &str, meta: &str) -> (String, String, String) {
        (key.into(), value.into(), meta.into())
    }

    #[test]
    fn members_of_all_headers_are_read_decoded_and_keep_their_properties() {
        let got = read(&["tenant=acme;p=1;q, user = u%201 ", "c=d"]);
        assert_eq!(got, [entry("c", "d", ""), entry("tenant", "acme", "p=1;q"), entry("user", "u 1", "")]);
    }

    #[test]
    fn malformed_baggage_is_dropped_as_a_whole() {
        for bad in ["a", "a=1,b", "a b=1", "a=b c", "a=\"x\"", "=1", "a=1;;", "a=1,,b=2", "é=1", "a=é"] {
            assert!(read(&[bad]).is_empty(), "{bad} was taken");
        }
    }

    #[test]
    fn more_than_64_members_or_8192_bytes_are_dropped() {
        let list = |n: usize| (0..n).map(|i| format!("k{i}=v")).collect::<Vec<_>>().join(",");
        assert_eq!(read(&[&list(64)]).len(), 64);
        assert!(read(&[&list(65)]).is_empty());
        assert!(
            read(&[
                &format!("a={}", "x".repeat(4000)),
                &format!("b={}", "x".repeat(4000)),
                "c=0123456789",
                &format!("d={}", "x".repeat(200))
            ])
            .is_empty()
        );
    }

    proptest! {
        #[test]
        fn any_value_survives_the_round_trip(key in "[a-z.]{1,10}", value in ".{0,100}") {
            let mut baggage = Baggage::new();
            let _ = baggage.insert(key.clone(), value.clone());
            let text = format(&baggage).unwrap();
            prop_assert_eq!(read(&[&text]), vec![(key, value, String::new())]);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,300}") {
            let _ = format(&parse(std::iter::once(text.as_str())));
        }
    }
}

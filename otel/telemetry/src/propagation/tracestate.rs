//! `tracestate`, W3C Trace Context level 2, section 3.3: a list of `key=value` members, 32 at most, possibly spread
//! over several headers.
//!
//! What is well-formed passes through unchanged and in order (empty members and the blanks around members aside,
//! which the grammar lets anyone drop). A list that breaks the grammar, repeats a key or has more than 32 members
//! is dropped as a whole, which section 3.3.1.1 allows; the `traceparent` stays valid.

use opentelemetry::trace::TraceState;
use std::str::FromStr as _;

/// Section 3.3.1.1.
const MAX_MEMBERS: usize = 32;
/// Section 3.3.1.5 asks for at least 512 characters; what is longer is shortened, whole members first.
const MAX_LENGTH: usize = 512;
/// Members longer than this are the first to go (section 3.3.1.5).
const LARGE_MEMBER: usize = 128;

/// Combines the values of all `tracestate` headers, in order. What level 2 allows but the SDK's type (level 1's keys)
/// refuses is the second value.
pub(crate) fn parse<'a>(values: impl Iterator<Item = &'a str>) -> (TraceState, Option<String>) {
    let Some(list) = read(values) else { return Default::default() };
    match TraceState::from_str(&list) {
        Ok(state) if state.header() == list => (state, None),
        _ => (TraceState::default(), Some(list)),
    }
}

/// The list without what the grammar lets anyone drop; `None` when it is malformed or empty.
fn read<'a>(values: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut members: Vec<&str> = Vec::new();
    for member in values.flat_map(|value| value.split(',')) {
        let member = member.trim_matches([' ', '\t']);
        if member.is_empty() {
            continue;
        }
        let (key, value) = member.split_once('=')?;
        let seen = members.iter().any(|m| m.split_once('=').is_some_and(|(k, _)| k == key));
        if !is_key(key) || !is_value(value) || seen || members.len() == MAX_MEMBERS {
            return None;
        }
        members.push(member);
    }
    shorten(&mut members);
    (!members.is_empty()).then(|| members.join(","))
}

fn shorten(members: &mut Vec<&str>) {
    let length = |members: &[&str]| members.iter().map(|m| m.len() + 1).sum::<usize>().saturating_sub(1);
    while length(members) > MAX_LENGTH {
        match members.iter().position(|member| member.len() > LARGE_MEMBER) {
            Some(large) => drop(members.remove(large)),
            None => drop(members.pop()),
        }
    }
}

/// `key = ( lcalpha / DIGIT ) 0*255( lcalpha / DIGIT / "_" / "-"/ "*" / "/" / "@" )`, level 2.
fn is_key(key: &str) -> bool {
    let bytes = key.as_bytes();
    let lead = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    bytes.len() <= 256
        && bytes.first().is_some_and(lead)
        && bytes.iter().all(|b| lead(b) || b"_-*/@".contains(b))
}

/// Printable ASCII but `,` and `=`, 256 at most, not ending in a space.
fn is_value(value: &str) -> bool {
    let bytes = value.as_bytes();
    let fits = |b: &u8| (0x20..=0x7e).contains(b) && *b != b',' && *b != b'=';
    bytes.len() <= 256 && bytes.iter().all(fits) && bytes.last().is_some_and(|b| *b != b' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(values: &[&str]) -> String {
        let (state, refused) = parse(values.iter().copied());
        refused.unwrap_or_else(|| state.header())
    }

    #[test]
    fn several_headers_combine_in_order() {
        assert_eq!(read(&["a=1,b=2", "c=3"]), "a=1,b=2,c=3");
    }

    #[test]
    fn blanks_around_members_and_empty_members_are_not_part_of_the_list() {
        assert_eq!(read(&["a=1 ,\t b=2,,", ""]), "a=1,b=2");
    }

    #[test]
    fn multi_tenant_keys_and_odd_values_pass_unchanged() {
        let odd = "0tenant@sys=v 1!\"#$%&'()*+-./:;<>?@[]^_`{|}~,z_-*/=2";
        assert_eq!(read(&[odd]), odd);
    }

    #[test]
    fn a_list_that_breaks_the_grammar_is_dropped_as_a_whole() {
        for bad in ["a", "A=1", "a=1,a=2", "=1", "a=", "a=1=2", "a b=1", "é=1", "a=é", "_a=1"] {
            assert_eq!(read(&[bad]), "", "{bad} was taken");
        }
    }

    #[test]
    fn thirty_two_members_pass_and_thirty_three_do_not() {
        let list = |n: usize| (0..n).map(|i| format!("k{i}=v")).collect::<Vec<_>>().join(",");
        assert_eq!(read(&[&list(32)]), list(32));
        assert_eq!(read(&[&list(33)]), "");
    }

    #[test]
    fn what_exceeds_512_characters_loses_large_members_first() {
        let large = format!("big={}", "x".repeat(200));
        let list = (0..30).map(|i| format!("key{i:02}=0123456789")).collect::<Vec<_>>().join(",");
        assert!(!read(&[&format!("a=1,{large},{list}")]).contains("big="));
        assert!(read(&[&format!("a=1,{large},{list}")]).len() <= MAX_LENGTH);
    }

    proptest! {
        #[test]
        fn well_formed_lists_pass_through_unchanged(
            members in proptest::collection::btree_map("[a-z0-9][a-z0-9_*/@-]{0,10}", "[!-+\\--<>-~]{1,6}", 0..20)
        ) {
            let text = members.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",");
            prop_assert_eq!(read(&[&text]), text);
        }

        #[test]
        fn no_text_makes_it_panic_or_exceed_the_limits(text in ".{0,600}") {
            let out = read(&[&text]);
            prop_assert!(out.len() <= MAX_LENGTH && out.split(',').count() <= MAX_MEMBERS);
        }
    }
}

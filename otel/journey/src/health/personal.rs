//! Attributes that look like personal data, by their key or by their value. What is found is named by its key alone.

use super::{Notes, Symptom};
use crate::Trace;

/// Words that make a key suspicious wherever they stand in it.
const WORDS: [&str; 16] = [
    "email",
    "mail",
    "phone",
    "msisdn",
    "password",
    "passwd",
    "secret",
    "cvv",
    "cvc",
    "pan",
    "iban",
    "ssn",
    "birthday",
    "birthdate",
    "street",
    "passport",
];
/// Words that make `name`, `number` and `address` suspicious.
const PEOPLE: [&str; 12] = [
    "user",
    "customer",
    "person",
    "first",
    "last",
    "full",
    "family",
    "given",
    "card",
    "home",
    "billing",
    "recipient",
];

/// Notes what the spans of `trace` bear.
pub(super) fn examine(trace: &Trace, notes: &mut Notes) {
    for span in &trace.spans {
        for (key, value) in &span.attributes {
            let what = by_key(key).or_else(|| by_value(value));
            if let Some(what) = what.filter(|_| !value.is_empty()) {
                let detail = format!("{key} on {:?} looks like {what}", span.name);
                notes.add(Symptom::PersonalData, &span.service, detail, Some(&trace.id));
            }
        }
        if let Some(what) = by_value(&span.error_message) {
            let detail = format!("the status text of {:?} holds what looks like {what}", span.name);
            notes.add(Symptom::PersonalData, &span.service, detail, Some(&trace.id));
        }
    }
}

fn by_key(key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase();
    let words: Vec<&str> = key.split(['.', '_', '-']).collect();
    let has = |word: &str| words.contains(&word);
    if WORDS.iter().any(|w| has(w)) {
        return Some("personal data");
    }
    let people = PEOPLE.iter().any(|w| has(w));
    match () {
        () if people && has("name") => Some("a name"),
        () if people && has("number") => Some("a number of a person"),
        () if people && has("address") => Some("an address"),
        () => None,
    }
}

fn by_value(value: &str) -> Option<&'static str> {
    if value.len() > 4096 {
        return None;
    }
    let tokens = || value.split(|c: char| c.is_whitespace() || ",;\"'<>()[]{}&?=".contains(c));
    match () {
        () if tokens().any(is_email) => Some("an e-mail address"),
        () if tokens().any(is_phone) => Some("a phone number"),
        () if has_card_number(value) => Some("a card number"),
        () => None,
    }
}

/// `local@domain.tld`; not `user@host`, and not the user part of a URL.
fn is_email(token: &str) -> bool {
    let token = token.replace("%40", "@");
    let Some((local, domain)) = token.split_once('@') else { return false };
    let plain = |c: char| c.is_ascii_alphanumeric() || "._%+-".contains(c);
    let Some((host, top)) = domain.rsplit_once('.') else { return false };
    !local.is_empty()
        && local.chars().all(plain)
        && !host.is_empty()
        && host.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c))
        && top.len() >= 2
        && top.chars().all(|c| c.is_ascii_alphabetic())
}

/// E.164 with its plus sign: `+` and 8 to 15 digits.
fn is_phone(token: &str) -> bool {
    let Some(rest) = token.strip_prefix('+') else { return false };
    let digits: String = rest.chars().filter(|c| !"-./".contains(*c)).collect();
    (8..=15).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_digit())
}

/// 13 to 19 digits, by themselves or in groups, that begin as cards do and end in the right check digit (ISO/IEC 7812).
fn has_card_number(value: &str) -> bool {
    let runs = value.split(|c: char| !(c.is_ascii_digit() || c == ' ' || c == '-'));
    let alone = |run: &&str| {
        let at = run.as_ptr() as usize - value.as_ptr() as usize;
        let before = value[..at].chars().next_back();
        let after = value[at + run.len()..].chars().next();
        ![before, after].into_iter().flatten().any(|c| c.is_alphanumeric() || c == '.')
    };
    runs.map(|run| run.trim_matches([' ', '-'])).filter(alone).any(|run| {
        let digits: Vec<u32> = run.chars().filter_map(|c| c.to_digit(10)).collect();
        let brand = matches!(
            digits.as_slice(),
            [4, ..] | [5, 1..=5, ..] | [3, 4 | 7, ..] | [6, 5, ..] | [6, 0, 1, 1, ..]
        );
        (13..=19).contains(&digits.len()) && brand && luhn(&digits)
    })
}

fn luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, d)| match i % 2 {
            0 => *d,
            _ if *d > 4 => d * 2 - 9,
            _ => d * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn personal_data_is_told_from_what_only_looks_like_it() {
        for bad in [
            "ada@example.org",
            "to=ada%40example.org",
            "+491711234567",
            "card 4111 1111 1111 1111",
            "5500000000000004",
        ] {
            assert!(by_value(bad).is_some(), "{bad}");
        }
        for good in [
            "git@github",
            "http://u:p@127.0.0.1",
            "1764000000000000000",
            "4111111111111112",
            "WB-04R5-ESCM-B65Q",
            "28708d5eee9520c9b08be6531d6b735a",
            "01a1fcdf-3827-75ed-bb55-73e748ca2cf2",
            "sakura/salmon-set",
            "18446744073709551615",
        ] {
            assert!(by_value(good).is_none(), "{good}");
        }
        for bad in ["user.email", "customer.phone", "user.full_name", "card.number", "billing_address"] {
            assert!(by_key(bad).is_some(), "{bad}");
        }
        for good in [
            "messaging.consumer.group.name",
            "server.address",
            "network.peer.address",
            "user.id",
            "service.peer.name",
            "user_agent.original",
            "messaging.destination.name",
            "restaurant.id",
            "client.address",
        ] {
            assert!(by_key(good).is_none(), "{good}");
        }
    }
}

//! Codes that people read to each other over the phone: random, in Crockford's base 32 (no I, L, O, U), in groups of four.

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A new code of `groups` groups (1 to 4; 20 bits each), such as `7F3K-9QZD-XM42`.
pub fn random(groups: usize) -> String {
    // Bytes 6 to 8 of a version 4 UUID hold its version and variant (RFC 9562, 5.4): not random, left out.
    let uuid = uuid::Uuid::new_v4().into_bytes();
    let random = uuid[..6].iter().chain(&uuid[9..]).fold(0_u128, |all, byte| (all << 8) | u128::from(*byte));
    let symbols = (0..groups.clamp(1, 4) * 4).map(|n| {
        let index = usize::try_from((random >> (n * 5)) & 31).unwrap_or(0);
        char::from(ALPHABET[index])
    });
    grouped(symbols)
}

/// The code as [`random`] wrote it, however it was typed: any case, hyphens and blanks anywhere, O for 0, I and L for 1.
/// `None` when it has not `groups` groups or holds anything else.
pub fn parse(text: &str, groups: usize) -> Option<String> {
    if text.len() > 64 {
        return None;
    }
    let mut symbols = Vec::new();
    for c in text.chars().filter(|c| !matches!(c, '-' | ' ')) {
        let c = match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            c => c,
        };
        symbols.push(c);
        if !c.is_ascii() || !ALPHABET.contains(&(c as u8)) {
            return None;
        }
    }
    (symbols.len() == groups * 4).then(|| grouped(symbols.into_iter()))
}

fn grouped(symbols: impl Iterator<Item = char>) -> String {
    let mut text = String::new();
    for (n, symbol) in symbols.enumerate() {
        if n > 0 && n % 4 == 0 {
            text.push('-');
        }
        text.push(symbol);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_back_however_it_was_typed() {
        let code = random(3);
        assert_eq!(code.len(), 14);
        assert_eq!(parse(&code, 3).as_deref(), Some(code.as_str()));
        assert_eq!(parse(&code.to_lowercase().replace('-', " "), 3).as_deref(), Some(code.as_str()));
        assert_eq!(parse("oil0-1234-5678", 3).as_deref(), Some("0110-1234-5678"));
    }

    #[test]
    fn what_is_no_code_is_not_read() {
        for text in ["", "7F3K-9QZD", "7F3K-9QZD-XM4U", "7F3K-9QZD-XM42-0000", "é", "\u{0}"] {
            assert_eq!(parse(text, 3), None, "{text}");
        }
    }

    #[test]
    fn codes_do_not_repeat() {
        let codes: std::collections::HashSet<_> = (0..10_000).map(|_| random(3)).collect();
        assert_eq!(codes.len(), 10_000);
    }
}

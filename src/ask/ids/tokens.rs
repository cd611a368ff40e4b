//! The shapes of single words.

/// The words of a text that may be ids: letters, digits, hyphens, underscores; hyphens at the ends are no part of them.
pub(super) fn split(text: &str) -> impl Iterator<Item = &str> {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    text.split(move |c| !word(c)).map(|t| t.trim_matches('-')).filter(|t| !t.is_empty())
}

/// The 32 digits of a UUID with its dashes.
pub(super) fn uuid(text: &str) -> Option<String> {
    let bare = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
    (bare.len() == 36).then(|| uuid::Uuid::try_parse(bare).ok()).flatten().map(|id| id.simple().to_string())
}

/// The trace id of a `traceparent` (W3C trace context, 3.2: version, trace id, parent id, flags) or of a single `b3`
/// header (trace id, span id, and perhaps a flag and another span id).
pub(super) fn in_context(token: &str) -> Option<String> {
    let parts: Vec<_> = token.split('-').collect();
    let hex = |part: &str, length: usize| part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit());
    match parts.as_slice() {
        [version, trace, parent, flags, ..]
            if hex(version, 2) && hex(trace, 32) && hex(parent, 16) && hex(flags, 2) =>
        {
            Some((*trace).to_owned())
        }
        [trace, span, ..] if (hex(trace, 32) || hex(trace, 16)) && hex(span, 16) => Some((*trace).to_owned()),
        _ => None,
    }
}

/// A reference as partners write them: a short prefix, an underscore, and something with a digit in it.
pub(super) fn partner(text: &str) -> bool {
    text.len() <= super::LONGEST_ANY
        && text.split_once('_').is_some_and(|(prefix, rest)| {
            (2..=4).contains(&prefix.len())
                && prefix.bytes().all(|b| b.is_ascii_lowercase())
                && rest.len() >= 8
                && rest.bytes().all(|b| b.is_ascii_alphanumeric())
                && rest.bytes().any(|b| b.is_ascii_digit())
        })
}

/// Groups of four with hyphens between them.
pub(super) fn grouped(token: &str) -> bool {
    token.split('-').all(|group| group.len() == 4)
}

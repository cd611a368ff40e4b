//! Ids in the midst of other text: links, headers, log lines, sentences. Stricter than for an id alone, for most words are
//! none.

use contracts::code;
use url::Url;

use super::{Form, GROUPS, Reading, payment, tokens, whole};

/// All ids in `text`, in its order; those of its links before those of its words.
pub(super) fn readings(text: &str) -> Vec<Reading> {
    let words = text.split(|c: char| c.is_whitespace() || "\"'<>()".contains(c));
    let links: Vec<_> = words.filter_map(link).flatten().collect();
    if !links.is_empty() {
        return links;
    }
    let mut found = Vec::new();
    let mut label = "";
    for token in tokens::split(text) {
        found.extend(token_of(token, label));
        label = token;
    }
    found
}

/// What a link to a trace store names: its trace, or what it searches for.
fn link(word: &str) -> Option<Vec<Reading>> {
    let url = Url::parse(word).ok().filter(|u| matches!(u.scheme(), "http" | "https"))?;
    let segments: Vec<_> = url.path_segments()?.collect();
    let at = segments.iter().rposition(|s| matches!(*s, "trace" | "traces"));
    let named = at.and_then(|at| segments.get(at + 1)).copied().unwrap_or_default();
    // `a...b` is the page that compares two.
    let mut found: Vec<_> = named.split("...").flat_map(trace).collect();
    let queried = found.is_empty();
    for (key, value) in url.query_pairs().filter(|_| queried) {
        match key.as_ref() {
            "traceID" | "trace_id" => found.extend(trace(&value)),
            "tags" | "query.attributes" => {
                let tags: serde_json::Value = serde_json::from_str(&value).unwrap_or_default();
                let values = tags.as_object().into_iter().flatten().filter_map(|(_, v)| v.as_str());
                found.extend(values.flat_map(named_by));
            }
            _ => {}
        }
    }
    Some(found).filter(|found| !found.is_empty())
}

fn named_by(value: &str) -> Vec<Reading> {
    let found = whole(value);
    if found.is_empty() && !value.is_empty() { vec![Reading::any(value)] } else { found }
}

fn trace(text: &str) -> Option<Reading> {
    whole(text).into_iter().find(|r| r.form == Form::Trace)
}

/// The id that `token` is, if one; `label` is the word before it.
fn token_of(token: &str, label: &str) -> Option<Reading> {
    let label = label.to_ascii_lowercase();
    if let Some(hex) = tokens::in_context(token).or_else(|| tokens::uuid(token)) {
        return Reading::trace(&hex);
    }
    if let Some(value) = payment(token) {
        return Some(Reading { form: Form::Payment, value });
    }
    let mixed = token.bytes().any(|b| b.is_ascii_digit()) && token.bytes().any(|b| b.is_ascii_alphabetic());
    let shouted = !token.bytes().any(|b| b.is_ascii_lowercase());
    if (token.len() == 14 && (mixed || shouted) && tokens::grouped(token)) || (token.len() == 12 && mixed) {
        let told_apart = !label.contains("span") && !label.contains("trace");
        if let Some(value) = code::parse(token, GROUPS).filter(|_| told_apart) {
            return Some(Reading { form: Form::Code, value });
        }
    }
    if tokens::partner(token) {
        return Some(Reading { form: Form::Partner, value: token.to_owned() });
    }
    let hex = token.bytes().all(|b| b.is_ascii_hexdigit());
    // Sixteen digits are a span's id, unless they are called something else.
    let long = (17..=32).contains(&token.len()) && (mixed || token.len() == 32);
    let called = label.contains("trace") && (4..=32).contains(&token.len());
    if hex && (long || called) && !label.contains("span") {
        return Reading::trace(token);
    }
    None
}

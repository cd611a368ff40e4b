//! A request's query string, read as Go's `url.ParseQuery` and `Request.FormValue` do.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// Longest request target that is answered; beyond it the reply is 414.
pub(crate) const MAX_TARGET_BYTES: usize = 32 * 1024;

/// The pairs of a query string in order, decoded. Malformed pairs are left out, as Go's `FormValue` does.
#[derive(Debug, Default, Clone)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    pub(crate) fn parse(query: Option<&str>) -> Self {
        let pairs =
            query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty() && !pair.contains(';'));
        Self(
            pairs
                .filter_map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    Some((unescape_form(key)?, unescape_form(value)?))
                })
                .collect(),
        )
    }

    /// The first value of `key`, or an empty text.
    pub(crate) fn first(&self, key: &str) -> &str {
        self.0.iter().find(|(k, _)| k == key).map_or("", |(_, v)| v.as_str())
    }

    /// All values of `key` in order.
    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// The first of `keys` that has a value, with that key; otherwise the last key and an empty text.
    pub(crate) fn first_of<'a>(&'a self, keys: &[&'static str]) -> (&'static str, &'a str) {
        let found = keys.iter().map(|key| (*key, self.first(key))).find(|(_, value)| !value.is_empty());
        found.unwrap_or((keys.last().copied().unwrap_or_default(), ""))
    }

    /// `prettyPrint` with any value but `false`.
    pub(crate) fn pretty(&self) -> bool {
        !matches!(self.first("prettyPrint"), "" | "false")
    }
}

/// `%XX` and `+` of a query value; none when a `%` is not followed by two hexadecimal digits.
pub(crate) fn unescape_form(text: &str) -> Option<String> {
    let spaced: Cow<'_, str> = if text.contains('+') { text.replace('+', " ").into() } else { text.into() };
    unescape_path(&spaced)
}

/// `%XX` of a path segment; none when a `%` is not followed by two hexadecimal digits.
pub(crate) fn unescape_path(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let complete = bytes.iter().enumerate().filter(|(_, b)| **b == b'%').all(|(at, _)| {
        bytes.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    complete.then(|| percent_decode(bytes).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pairs_are_decoded_and_the_first_value_wins() {
        let params = Params::parse(Some("a=1&b=x+y%2Bz&a=2&bare&=v&bad=%zz&semi=a;b&c=%E2%82%AC"));
        assert_eq!(params.first("a"), "1");
        assert_eq!(params.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(params.first("b"), "x y+z");
        assert_eq!(params.first("bare"), "");
        assert_eq!(params.first("bad"), "");
        assert_eq!(params.first("semi"), "");
        assert_eq!(params.first("c"), "€");
        assert_eq!(params.first_of(&["none", "a", "b"]), ("a", "1"));
    }

    #[test]
    fn pretty_print_is_any_value_but_false() {
        for (query, pretty) in
            [("", false), ("prettyPrint=", false), ("prettyPrint=false", false), ("prettyPrint=0", true)]
        {
            assert_eq!(Params::parse(Some(query)).pretty(), pretty, "{query}");
        }
    }

    proptest! {
        #[test]
        fn no_query_string_makes_the_parser_panic(query in "[a-c%&=;+\\PC]{0,60}") {
            let params = Params::parse(Some(&query));
            let _ = (params.first("a"), params.pretty());
        }
    }
}

//! The kinds of policies and how each decides: upstream's `internal/sampling/*.go` of v0.155, quirks included.

use std::time::Instant;

use regex::Regex;

use super::bucket::Bucket;
use super::composite::Composite;
use super::condition::Condition;
use super::view::{Any, Attributes, Trace};

/// What a policy says of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Sampled,
    NotSampled,
    /// Against every other policy's word.
    Dropped,
}

/// The time of a decision.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) instant: Instant,
    /// Seconds since 1970, by which composite policies count.
    pub(super) second: u64,
}

/// A policy without its name. Limits carry their state: clone it for each pipeline.
#[derive(Debug, Clone)]
pub(super) enum Rule {
    AlwaysSample,
    /// In milliseconds; an upper bound of 0 is none.
    Latency {
        above: i64,
        upto: i64,
    },
    StatusCode(Vec<i64>),
    Text {
        key: String,
        values: Matcher,
        invert: bool,
    },
    Number {
        key: String,
        min: i64,
        max: i64,
        invert: bool,
    },
    Flag {
        key: String,
        value: bool,
        invert: bool,
    },
    /// The hash of salt and trace id must not be above the threshold.
    Probabilistic {
        salt: String,
        threshold: u64,
    },
    Spans(Bucket),
    Bytes(Bucket),
    /// An upper bound of 0 is none.
    SpanCount {
        min: u64,
        max: u64,
    },
    TraceState {
        key: String,
        values: Vec<String>,
    },
    TraceFlags,
    /// One of them holds for one span.
    Conditions(Vec<Condition>),
    And(Vec<Rule>),
    Not(Box<Rule>),
    Drop(Vec<Rule>),
    Composite(Composite),
}

/// How `string_attribute` compares.
#[derive(Debug, Clone)]
pub(super) enum Matcher {
    Exact(Vec<String>),
    Regex(Vec<Regex>),
}

// === impl Rule ===

impl Rule {
    /// Whether a trace that has arrived as far as `trace` shows is to be kept.
    pub(super) fn evaluate(&mut self, trace: &Trace<'_>, now: Moment) -> Decision {
        let sampled = match self {
            Self::AlwaysSample => true,
            Self::Latency { above, upto } => lasts(trace, *above, *upto),
            Self::StatusCode(codes) => trace.all().any(|(.., span)| codes.contains(&span.status)),
            Self::Text { key, values, invert } => {
                let resource = |value: Any<'_>| values.matches(value.text());
                // An empty text is looked at on resources only, as upstream.
                let span = |value: Any<'_>| !value.text().is_empty() && values.matches(value.text());
                attribute(trace, key, resource, span) != *invert
            }
            Self::Number { key, min, max, invert } => {
                let within = |value: Any<'_>| (*min..=*max).contains(&value.int());
                attribute(trace, key, within, within) != *invert
            }
            Self::Flag { key, value, invert } => {
                let same = |found: Any<'_>| found.flag() == *value;
                attribute(trace, key, same, same) != *invert
            }
            Self::Probabilistic { salt, threshold } => hash(salt, &trace.id) <= *threshold,
            Self::Spans(bucket) => bucket.take(trace.spans, now.instant),
            Self::Bytes(bucket) => bucket.take(trace.bytes, now.instant),
            Self::SpanCount { min, max } => trace.spans >= *min && (*max == 0 || trace.spans <= *max),
            Self::TraceState { key, values } => trace.all().any(|(.., span)| {
                state(span.state, key).is_some_and(|found| values.iter().any(|v| v == found))
            }),
            Self::TraceFlags => trace.all().any(|(.., span)| span.flags & 1 == 1),
            Self::Conditions(conditions) => trace.all().any(|(resource, scope, span)| {
                conditions.iter().any(|condition| condition.holds(resource, scope, span))
            }),
            Self::And(rules) => all_sample(rules, trace, now),
            Self::Not(rule) => rule.evaluate(trace, now) == Decision::NotSampled,
            Self::Drop(rules) => {
                let dropped = all_sample(rules, trace, now);
                return if dropped { Decision::Dropped } else { Decision::NotSampled };
            }
            Self::Composite(composite) => composite.samples(trace, now),
        };
        if sampled { Decision::Sampled } else { Decision::NotSampled }
    }
}

// === impl Matcher ===

impl Matcher {
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(values) => !text.is_empty() && values.iter().any(|value| value == text),
            Self::Regex(patterns) => patterns.iter().any(|pattern| pattern.is_match(text)),
        }
    }
}

fn all_sample(rules: &mut [Rule], trace: &Trace<'_>, now: Moment) -> bool {
    rules.iter_mut().all(|rule| rule.evaluate(trace, now) == Decision::Sampled)
}

/// Whether a resource or a span has the attribute with a value that fits.
fn attribute(
    trace: &Trace<'_>,
    key: &str,
    resource: impl Fn(Any<'_>) -> bool,
    span: impl Fn(Any<'_>) -> bool,
) -> bool {
    let fits =
        |attributes: &Attributes<'_>, fits: &dyn Fn(Any<'_>) -> bool| attributes.get(key).is_some_and(fits);
    trace.resources.iter().any(|found| {
        let mut spans = found.scopes.iter().flat_map(|scope| &scope.spans);
        fits(&found.attributes, &resource) || spans.any(|found| fits(&found.attributes, &span))
    })
}

/// Looks at the time from the earliest start to the latest end of the spans so far, after each span: with an upper bound
/// it is enough to be within the bounds on the way.
fn lasts(trace: &Trace<'_>, above: i64, upto: i64) -> bool {
    let (mut first, mut last) = (0, 0);
    trace.all().any(|(.., span)| {
        if first == 0 || span.start < first {
            first = span.start;
        }
        if last == 0 || span.end > last {
            last = span.end;
        }
        let millis = last.cast_signed().saturating_sub(first.cast_signed()) / 1_000_000;
        if upto == 0 { millis >= above } else { above < millis && millis <= upto }
    })
}

/// FNV-1a, 64 bits.
fn hash(salt: &str, id: &[u8]) -> u64 {
    salt.bytes()
        .chain(id.iter().copied())
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// The hash below which a share of all hashes lies: `share * (2^64 - 1)`, with the product rounded to 64 bits and then
/// cut, as Go's `big.Float` does it, so that both collectors keep the very same traces.
pub(super) fn threshold(share: f64) -> u64 {
    if share <= 0.0 || share.is_nan() {
        return 0;
    }
    if share >= 1.0 {
        return u64::MAX;
    }
    let bits = share.to_bits();
    let (exponent, fraction) = ((bits >> 52) as i32, u128::from(bits & ((1 << 52) - 1)));
    let (mantissa, scale) =
        if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) };
    let product = mantissa * u128::from(u64::MAX);
    // To 64 significant bits, half to even.
    let extra = (128 - product.leading_zeros()).saturating_sub(64);
    let (kept, rest) = (product >> extra, product & ((1 << extra) - 1));
    let half = if extra == 0 { 1 } else { 1 << (extra - 1) };
    let up = extra > 0 && (rest > half || (rest == half && kept & 1 == 1));
    let shift = scale + extra.cast_signed();
    u64::try_from((kept + u128::from(up)).checked_shr(shift.unsigned_abs()).unwrap_or(0)).unwrap_or(u64::MAX)
}

/// The value of `key` in a W3C `tracestate`; none when the text is not one.
fn state<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut found = None;
    for member in text.split(',').filter(|member| !member.is_empty()) {
        let (name, value) = member.split_once('=')?;
        let (name, value) = (name.trim_start_matches([' ', '\t']), value.trim_end_matches([' ', '\t']));
        if name.is_empty() || value.is_empty() || value.contains('=') {
            return None;
        }
        if name == key && found.is_none() {
            found = Some(value);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_those_of_go() {
        // Computed with math/big as probabilistic.go does it.
        assert_eq!(threshold(0.0), 0);
        assert_eq!(threshold(0.5), u64::MAX / 2);
        assert_eq!(threshold(0.1), 1_844_674_407_370_955_263);
        assert_eq!(threshold(0.001), 18_446_744_073_709_551);
        assert_eq!(threshold(0.333), 6_142_765_776_545_281_023);
        assert_eq!(threshold(0.9999), 18_444_899_399_302_180_863);
        assert_eq!(threshold(0.07), 1_291_272_085_159_668_735);
        assert_eq!(threshold(1e-19), 1);
        assert_eq!(threshold(1.0), u64::MAX);
        assert_eq!(threshold(2.0), u64::MAX);
        assert_eq!(threshold(f64::MIN_POSITIVE), 0);
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(hash("", b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash("foo", b"bar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_trace_state_is_read_by_key() {
        assert_eq!(state("a=1, b=2 ,c=3", "b"), Some("2"));
        assert_eq!(state("a=1,broken", "a"), None);
        assert_eq!(state("", "a"), None);
    }
}

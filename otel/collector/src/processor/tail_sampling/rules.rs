//! Reads policies: which kinds there are, where each may stand, and the settings of each.

use std::collections::BTreeSet;

use regex::Regex;

use super::bucket::Bucket;
use super::composite::{Composite, Part};
use super::condition::Condition;
use super::rule::{Matcher, Rule, threshold};
use super::settings::Policy;
use crate::config::Section;

/// What upstream's probabilistic policy hashes before the trace id when `hash_salt` is not given.
const DEFAULT_SALT: &str = "default-hash-seed";

/// The kinds that may stand anywhere.
const LEAVES: [&str; 13] = [
    "always_sample",
    "latency",
    "numeric_attribute",
    "probabilistic",
    "status_code",
    "string_attribute",
    "rate_limiting",
    "bytes_limiting",
    "span_count",
    "trace_state",
    "boolean_attribute",
    "ottl_condition",
    "trace_flags",
];

/// Where a policy stands decides which others it may hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Top,
    /// In `and` and in `drop`.
    Conjunction,
    Composite,
    Not,
}

/// The policies below `policies`, those that drop first.
pub(super) fn policies(section: &mut Section) -> Vec<Policy> {
    let path = section.at("policies");
    let found: Vec<Policy> =
        section.sections("policies").into_iter().filter_map(|one| policy(one, Place::Top)).collect();
    let mut names = BTreeSet::new();
    for policy in &found {
        if !names.insert(policy.name.as_str()) {
            section.report().fault(&path, format_args!("two policies are named `{}`", policy.name));
        }
    }
    if found.is_empty() {
        section.report().warn(&path, "there are none, so that every trace is dropped");
    }
    let (mut first, rest): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|policy| matches!(policy.rule, Rule::Drop(_)));
    first.extend(rest);
    first
}

// === impl Place ===

impl Place {
    fn kinds(self) -> Vec<&'static str> {
        let more: &[&str] = match self {
            Self::Top => &["composite", "and", "not", "drop"],
            Self::Conjunction => &["not"],
            Self::Composite => &["and"],
            Self::Not => &[],
        };
        [&LEAVES, more].concat()
    }
}

fn policy(mut section: Section, place: Place) -> Option<Policy> {
    let name = section.text("name").unwrap_or_default();
    if name.is_empty() && place == Place::Top {
        section.fault("name", "is required");
    }
    let kind = section.text("type").unwrap_or_default();
    let kinds = place.kinds();
    if !kinds.contains(&kind.as_str()) {
        section.fault("type", format_args!("`{kind}` is none of {} here", kinds.join(", ")));
        return None;
    }
    let body = section.section_or_empty(&kind);
    for other in &kinds {
        if section.take(other).is_some() {
            let path = section.at(other);
            section.report().warn(&path, format_args!("has no effect: the policy's type is {kind}"));
        }
    }
    section.finish();
    let rule = rule(&kind, body)?;
    Some(Policy { name, rule })
}

fn rule(kind: &str, mut body: Section) -> Option<Rule> {
    let found = match kind {
        "always_sample" => Some(Rule::AlwaysSample),
        "trace_flags" => Some(Rule::TraceFlags),
        "latency" => Some(Rule::Latency {
            above: body.integer("threshold_ms").unwrap_or(0),
            upto: body.integer("upper_threshold_ms").unwrap_or(0),
        }),
        "span_count" => Some(Rule::SpanCount {
            min: body.number("min_spans").unwrap_or(0),
            max: body.number("max_spans").unwrap_or(0),
        }),
        "numeric_attribute" => numeric(&mut body),
        "boolean_attribute" => Some(Rule::Flag {
            key: body.text("key").unwrap_or_default(),
            value: body.flag("value", false),
            invert: body.flag("invert_match", false),
        }),
        "string_attribute" => text(&mut body),
        "trace_state" => Some(Rule::TraceState {
            key: body.text("key").unwrap_or_default(),
            values: body.texts("values").into_iter().filter(|value| !value.is_empty()).collect(),
        }),
        "status_code" => status_code(&mut body),
        "probabilistic" => Some(Rule::Probabilistic {
            salt: body.text("hash_salt").filter(|salt| !salt.is_empty()).unwrap_or(DEFAULT_SALT.into()),
            threshold: threshold(body.fraction("sampling_percentage", 0.0) / 100.0),
        }),
        "rate_limiting" => Some(Rule::Spans(bucket(&mut body, "spans_per_second"))),
        "bytes_limiting" => Some(Rule::Bytes(bucket(&mut body, "bytes_per_second"))),
        "ottl_condition" => conditions(&mut body),
        "and" => Some(Rule::And(parts(&mut body, "and_sub_policy"))),
        "drop" => Some(Rule::Drop(parts(&mut body, "drop_sub_policy"))),
        "not" => {
            let inner = body.section_or_empty("not_sub_policy");
            policy(inner, Place::Not).map(|inner| Rule::Not(Box::new(inner.rule)))
        }
        _ => Some(Rule::Composite(composite(&mut body))),
    };
    body.finish();
    found
}

fn numeric(body: &mut Section) -> Option<Rule> {
    let key = body.text("key").unwrap_or_default();
    let bounds = [body.integer("min_value").unwrap_or(0), body.integer("max_value").unwrap_or(0)];
    let invert = body.flag("invert_match", false);
    // Upstream takes 0 for "not given", and a policy with neither bound brings its collector down.
    if bounds == [0, 0] {
        body.fault("min_value", "or max_value must be given; 0 stands for none");
        return None;
    }
    let bound = |at: usize, open| if bounds[at] == 0 { open } else { bounds[at] };
    Some(Rule::Number { key, min: bound(0, i64::MIN), max: bound(1, i64::MAX), invert })
}

fn text(body: &mut Section) -> Option<Rule> {
    let key = body.text("key").unwrap_or_default();
    let values = body.texts("values");
    let invert = body.flag("invert_match", false);
    // Upstream remembers what its patterns said; ours are not slower than that memory.
    body.number("cache_max_size");
    if !body.flag("enabled_regex_matching", false) {
        return Some(Rule::Text { key, values: Matcher::Exact(values), invert });
    }
    let mut patterns = Vec::new();
    for value in values {
        match Regex::new(&value) {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => body.fault("values", error.to_string().replace('\n', " ")),
        }
    }
    Some(Rule::Text { key, values: Matcher::Regex(patterns), invert })
}

fn status_code(body: &mut Section) -> Option<Rule> {
    let words = body.texts("status_codes");
    let codes: Vec<i64> = ["UNSET", "OK", "ERROR"]
        .iter()
        .zip(0..)
        .filter_map(|(word, code)| words.iter().any(|one| one == word).then_some(code))
        .collect();
    for word in words.iter().filter(|word| !["UNSET", "OK", "ERROR"].contains(&word.as_str())) {
        body.fault("status_codes", format_args!("`{word}` is none of OK, ERROR, UNSET"));
    }
    if words.is_empty() {
        body.fault("status_codes", "must have at least one entry");
    }
    Some(Rule::StatusCode(codes))
}

fn bucket(body: &mut Section, rate: &str) -> Bucket {
    Bucket::new(body.number(rate).unwrap_or(0), body.number("burst_capacity").unwrap_or(0))
}

fn conditions(body: &mut Section) -> Option<Rule> {
    let mode = body.text("error_mode").unwrap_or_else(|| "propagate".into());
    if !["ignore", "silent", "propagate"].contains(&mode.as_str()) {
        body.fault("error_mode", format_args!("`{mode}` is none of ignore, silent, propagate"));
    }
    body.unsupported(&["spanevent"]);
    let texts = body.texts("span");
    if texts.is_empty() {
        body.fault("span", "must have at least one condition");
    }
    let mut conditions = Vec::new();
    for text in texts {
        match Condition::parse(&text) {
            Ok(condition) => conditions.push(condition),
            Err(fault) => body.fault("span", format_args!("{text:?}: {fault}")),
        }
    }
    Some(Rule::Conditions(conditions))
}

fn parts(body: &mut Section, key: &str) -> Vec<Rule> {
    let found: Vec<Rule> = body
        .sections(key)
        .into_iter()
        .filter_map(|one| policy(one, Place::Conjunction).map(|policy| policy.rule))
        .collect();
    if found.is_empty() {
        let path = body.at(key);
        body.report().warn(&path, "there are none, so that the policy holds for every trace");
    }
    found
}

fn composite(body: &mut Section) -> Composite {
    let total = body.number("max_total_spans_per_second").unwrap_or(0);
    let found: Vec<Policy> = body
        .sections("composite_sub_policy")
        .into_iter()
        .filter_map(|one| policy(one, Place::Composite))
        .collect();
    let equal = total as f64 / found.len() as f64;
    let mut shares = Vec::new();
    for mut share in body.sections("rate_allocation") {
        let name = share.text("policy").unwrap_or_default();
        let percent = share.integer("percent").unwrap_or(0);
        share.finish();
        let spans = if percent > 0 { percent as f64 / 100.0 * total as f64 } else { equal };
        shares.push((name, spans as u64));
    }
    let names = found.iter().map(|policy| policy.name.as_str()).collect::<BTreeSet<_>>();
    for name in body.texts("policy_order").iter().chain(shares.iter().map(|(name, _)| name)) {
        if !names.contains(name.as_str()) {
            let path = body.at("composite_sub_policy");
            body.report().warn(&path, format_args!("has no policy named `{name}`"));
        }
    }
    let parts = found.into_iter().map(|Policy { name, rule }| {
        let allocated = shares.iter().rev().find(|(share, _)| *share == name).map_or(0, |(_, spans)| *spans);
        if allocated == 0 {
            let path = body.at("rate_allocation");
            body.report().warn(&path, format_args!("gives nothing to `{name}`, so it samples nothing"));
        }
        Part { rule, allocated, sampled: 0 }
    });
    Composite::new(total, parts.collect())
}

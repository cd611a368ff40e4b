//! Generated questions to the search of both APIs.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value};

use super::corpus::Searchable;

/// What questions ask for.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    pub(super) spans: Vec<Searchable>,
    /// When the first trace begins and the last one does, in Unix nanoseconds.
    pub(super) from: u64,
    pub(super) to: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) service: String,
    pub(super) operation: Option<String>,
    pub(super) tags: Vec<(String, String)>,
    /// `tags={…}` instead of `tag=key:value`.
    json: bool,
    min: Option<&'static str>,
    max: Option<&'static str>,
    /// Unix nanoseconds.
    start: u64,
    end: u64,
    pub(super) limit: usize,
    raw: bool,
}

/// More traces than any corpus has.
pub(super) const ALL: usize = 1_000;

/// Shortest first.
const DURATIONS: [&str; 10] = ["1ns", "999ns", "1us", "1ms", "1.5ms", "10ms", "100ms", "1s", "1m0.5s", "1h"];

/// A question for one of the spans, made narrower at random, at times by what does not fit.
pub(super) fn question(pool: &Pool) -> impl Strategy<Value = Question> + use<> {
    let duration = || option::weighted(0.3, select(&DURATIONS[..]));
    let (from, to) = (pool.from, pool.to);
    let moment = move || prop_oneof![2 => Just(None), 1 => (from..to).prop_map(Some)];
    let limit = prop_oneof![3 => Just(ALL), 1 => select(&[1_usize, 2, 7, 20][..])];
    (
        select(pool.spans.clone()),
        option::weighted(0.3, option::weighted(0.9, Just(()))),
        vec(any::<Index>(), 0..3),
        option::weighted(0.1, select(pool.spans.clone())),
        any::<bool>(),
        duration(),
        duration(),
        (moment(), moment()),
        limit,
        any::<bool>(),
    )
        .prop_map(move |(span, operation, tags, other, json, min, max, (a, b), limit, raw)| {
            let operation = operation.map(|own| own.map_or("none".into(), |()| span.operation.clone()));
            let mut tags: Vec<(String, String)> =
                tags.iter().filter(|_| !span.tags.is_empty()).map(|at| at.get(&span.tags).clone()).collect();
            tags.extend(other.and_then(|other| other.tags.first().cloned()));
            let (a, b) = (a.unwrap_or(from - 10_000_000_000), b.unwrap_or(to + 60_000_000_000));
            let (start, end) = (a.min(b), a.max(b));
            Question { service: span.service, operation, tags, json, min, max, start, end, limit, raw }
        })
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

// === impl Question ===

impl Question {
    /// `/api/traces`.
    pub(super) fn legacy(&self) -> String {
        let mut target = format!(
            "/api/traces?service={}&start={}&end={}&limit={}",
            escape(&self.service),
            self.start / 1_000,
            self.end / 1_000,
            self.limit
        );
        let mut add = |key: &str, value: &str| target.push_str(&format!("&{key}={}", escape(value)));
        if let Some(operation) = &self.operation {
            add("operation", operation);
        }
        self.min.inspect(|min| add("minDuration", min));
        self.max.inspect(|max| add("maxDuration", max));
        if self.json && !self.tags.is_empty() {
            let map: Map<String, Value> =
                self.tags.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
            add("tags", &Value::Object(map).to_string());
        } else {
            self.tags.iter().for_each(|(key, value)| add("tag", &format!("{key}:{value}")));
        }
        if self.raw {
            add("raw", "true");
        }
        target
    }

    /// `/api/v3/traces`, raw, with what both look at there: no attributes, and of two bounds that contradict each other the upper one.
    pub(super) fn v3(&self) -> String {
        let time = |ns: u64| {
            let time = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(ns)).unwrap();
            time.format(&time::format_description::well_known::Rfc3339).unwrap()
        };
        let mut target = format!(
            "/api/v3/traces?query.service_name={}&query.start_time_min={}&query.start_time_max={}\
             &query.num_traces={}&query.raw_traces=true",
            escape(&self.service),
            time(self.start),
            time(self.end),
            self.limit
        );
        let mut add = |key: &str, value: &str| target.push_str(&format!("&query.{key}={}", escape(value)));
        if let Some(operation) = &self.operation {
            add("operation_name", operation);
        }
        if !self.contradicts_itself() {
            self.min.inspect(|min| add("duration_min", min));
        }
        self.max.inspect(|max| add("duration_max", max));
        target
    }

    /// Shortest above longest: what becomes of that is a listed difference.
    fn contradicts_itself(&self) -> bool {
        let place = |text| DURATIONS.iter().position(|duration| *duration == text);
        self.min.zip(self.max).is_some_and(|(min, max)| place(min) > place(max))
    }

    /// The same without a limit.
    pub(super) fn unlimited(&self) -> Self {
        Self { limit: ALL, ..self.clone() }
    }
}

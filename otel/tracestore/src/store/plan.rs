//! A query made ready: the terms that nominate spans, the exact test that confirms them, and the newest found so far.

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use std::collections::{BTreeSet, HashMap};

use super::batch::Piece;
use super::span::{duration, times};
use super::terms::{self, Term};
use super::value::text_of;
use crate::model::{Query, TraceId};

/// One condition, as Jaeger reads tags.
#[derive(Debug)]
enum Test<'q> {
    /// `error`: true is status ERROR, false is any other.
    Error(bool),
    Status(i32),
    Kind(i32),
    ScopeName(&'q str),
    ScopeVersion(&'q str),
    Resource(&'q str, &'q str),
    Anywhere(&'q str, &'q str),
    /// A value that the key cannot have.
    Never,
}

/// A query with what it takes to answer it.
#[derive(Debug)]
pub(crate) struct Plan<'q> {
    query: &'q Query,
    tests: Vec<Test<'q>>,
    /// A span that matches has all of these.
    pub(crate) required: Vec<Term>,
}

/// Confirms nominated spans. It remembers the last resource and scope, which runs of spans share.
#[derive(Debug)]
pub(crate) struct Verifier<'p> {
    plan: &'p Plan<'p>,
    last: Option<(Bytes, Bytes, Surroundings)>,
}

#[derive(Debug, Default)]
struct Surroundings {
    service: bool,
    resource: Resource,
    scope: InstrumentationScope,
}

/// The traces with the latest matching spans, each once.
#[derive(Debug)]
pub(crate) struct Newest {
    limit: usize,
    by_start: BTreeSet<(u64, TraceId)>,
    start_of: HashMap<TraceId, u64>,
}

// === impl Plan ===

impl<'q> Plan<'q> {
    pub(crate) fn new(query: &'q Query) -> Self {
        let tests: Vec<Test<'q>> = query.tags.iter().map(|(key, value)| Test::new(key, value)).collect();
        let service = query.service.as_deref().map(terms::service);
        let mut required = match (service, query.operation.as_deref()) {
            (Some(service), Some(operation)) => vec![terms::service_operation(service, operation)],
            (Some(service), None) => vec![service],
            (None, Some(operation)) => vec![terms::operation(operation)],
            (None, None) => Vec::new(),
        };
        required.extend(tests.iter().filter_map(|test| test.term(service)));
        required.sort_unstable();
        required.dedup();
        Self { query, tests, required }
    }

    /// Whether nothing can match, whatever the spans.
    pub(crate) fn impossible(&self) -> bool {
        let q = self.query;
        q.limit == 0
            || q.start_min_ns > q.start_max_ns
            || (q.duration_max_ns != 0 && q.duration_min_ns > q.duration_max_ns)
            || self.tests.iter().any(|test| matches!(test, Test::Never))
    }

    /// Whether spans that start within these bounds are all outside the window.
    pub(crate) fn misses(&self, min_start: u64, max_start: u64) -> bool {
        max_start < self.query.start_min_ns || min_start > self.query.start_max_ns
    }

    /// Whether no span can be long or short enough.
    pub(crate) fn duration_misses(&self, shortest: u64, longest: u64) -> bool {
        longest < self.query.duration_min_ns
            || (self.query.duration_max_ns != 0 && shortest > self.query.duration_max_ns)
    }

    /// Window and duration.
    #[inline]
    pub(crate) fn admits(&self, start: u64, duration: u64) -> bool {
        let q = self.query;
        start >= q.start_min_ns
            && start <= q.start_max_ns
            && duration >= q.duration_min_ns
            && (q.duration_max_ns == 0 || duration <= q.duration_max_ns)
    }

    /// Whether the span's terms hold all that are required.
    #[inline]
    pub(crate) fn nominates(&self, context: &[Term], item: &[Term]) -> bool {
        self.required.iter().all(|term| item.contains(term) || context.contains(term))
    }
}

// === impl Test ===

impl<'q> Test<'q> {
    fn new(key: &'q str, value: &'q str) -> Self {
        match key {
            "error" => match value {
                // What Go's strconv.ParseBool takes.
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Self::Error(true),
                "0" | "f" | "F" | "false" | "FALSE" | "False" => Self::Error(false),
                _ => Self::Never,
            },
            "span.status" => Self::Status(match value.to_ascii_uppercase().as_str() {
                "OK" => 1,
                "ERROR" => 2,
                _ => 0,
            }),
            "span.kind" => Self::Kind(match value.to_ascii_uppercase().as_str() {
                "INTERNAL" => 1,
                "SERVER" => 2,
                "CLIENT" => 3,
                "PRODUCER" => 4,
                "CONSUMER" => 5,
                _ => 0,
            }),
            "scope.name" => Self::ScopeName(value),
            "scope.version" => Self::ScopeVersion(value),
            _ => match key.strip_prefix("resource.") {
                Some(key) => Self::Resource(key, value),
                None => Self::Anywhere(key, value),
            },
        }
    }

    /// The term that every span passing this test has, if it has one.
    fn term(&self, service: Option<Term>) -> Option<Term> {
        match *self {
            Self::Error(true) | Self::Status(2) => Some(service.map_or(terms::ERROR, terms::service_error)),
            Self::Status(1) => Some(terms::OK),
            Self::Kind(kind) => Some(terms::kind(kind)),
            // An absent name equals an empty one, and has no term.
            Self::ScopeName(name) if !name.is_empty() => Some(terms::scope_name(name)),
            Self::ScopeVersion(version) if !version.is_empty() => Some(terms::scope_version(version)),
            Self::Resource(key, value) | Self::Anywhere(key, value) => Some(terms::tag(key, value)),
            _ => None,
        }
    }

    fn holds(&self, around: &Surroundings, span: &Span) -> bool {
        let status = span.status.as_ref().map_or(0, |status| status.code);
        match *self {
            Self::Error(wanted) => (status == 2) == wanted,
            Self::Status(wanted) => status == wanted,
            Self::Kind(wanted) => span.kind == wanted,
            Self::ScopeName(name) => around.scope.name == name,
            Self::ScopeVersion(version) => around.scope.version == version,
            Self::Resource(key, value) => has(&around.resource.attributes, key, value),
            Self::Anywhere(key, value) => {
                has(&span.attributes, key, value)
                    || has(&around.scope.attributes, key, value)
                    || has(&around.resource.attributes, key, value)
                    || span.events.iter().any(|event| has(&event.attributes, key, value))
                    || span.links.iter().any(|link| has(&link.attributes, key, value))
            }
            Self::Never => false,
        }
    }
}

fn has(attributes: &[KeyValue], key: &str, value: &str) -> bool {
    attributes.iter().any(|attribute| attribute.key == key && text_of(attribute.value.as_ref()) == value)
}

// === impl Verifier ===

impl<'p> Verifier<'p> {
    pub(crate) fn new(plan: &'p Plan<'p>) -> Self {
        Self { plan, last: None }
    }

    /// When the span starts, if it satisfies the query and could be among the newest.
    pub(crate) fn start_if_holds(&mut self, piece: &Piece, newest: &Newest) -> Option<u64> {
        let (start, duration) = times(&piece.item);
        let holds = self.plan.admits(start, duration)
            && newest.wants(start)
            && self.holds(&piece.resource, &piece.scope, &piece.item);
        holds.then_some(start)
    }

    /// Whether the span, decoded, satisfies the whole query.
    pub(crate) fn holds(&mut self, resource: &Bytes, scope: &Bytes, span: &[u8]) -> bool {
        let fresh = !matches!(&self.last, Some((r, s, _)) if r == resource && s == scope);
        if fresh {
            self.last =
                Some((resource.clone(), scope.clone(), Surroundings::read(self.plan.query, resource, scope)));
        }
        let Some((_, _, around)) = &self.last else {
            return false;
        };
        if !around.service {
            return false;
        }
        let Ok(span) = Span::decode(span) else {
            return false;
        };
        let duration = duration(span.start_time_unix_nano, span.end_time_unix_nano);
        self.plan.admits(span.start_time_unix_nano, duration)
            && self.plan.query.operation.as_ref().is_none_or(|name| *name == span.name)
            && self.plan.tests.iter().all(|test| test.holds(around, &span))
    }
}

impl Surroundings {
    fn read(query: &Query, resource: &[u8], scope: &[u8]) -> Self {
        let mut resource =
            ResourceSpans::decode(resource).ok().and_then(|group| group.resource).unwrap_or_default();
        let scope = ScopeSpans::decode(scope).ok().and_then(|group| group.scope).unwrap_or_default();
        let name = service_of(&resource);
        let service = query.service.as_ref().is_none_or(|wanted| *wanted == name);
        // Searched by the name that is shown, see `read_resource` in `batch.rs`.
        resource.attributes.retain(|attribute| attribute.key != "service.name");
        resource.attributes.push(string("service.name", name));
        Self { service, resource, scope }
    }
}

fn string(key: &str, value: String) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value)) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

/// The service a resource belongs to, named as the store lists it.
pub(crate) fn service_of(resource: &Resource) -> String {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let Some(last) = resource.attributes.iter().rfind(|attribute| attribute.key == "service.name") else {
        return "missing-service-name".to_owned();
    };
    match last.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(name)) if name.is_empty() => "empty-service-name".to_owned(),
        Some(Value::StringValue(name)) => name.clone(),
        _ => "service-name-wrong-type".to_owned(),
    }
}

// === impl Newest ===

impl Newest {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, by_start: BTreeSet::new(), start_of: HashMap::new() }
    }

    /// Whether a span that starts then could still be among the newest.
    #[inline]
    pub(crate) fn wants(&self, start: u64) -> bool {
        self.by_start.len() < self.limit || self.by_start.first().is_some_and(|&(oldest, _)| start >= oldest)
    }

    /// A trace has a matching span that starts then.
    pub(crate) fn offer(&mut self, id: TraceId, start: u64) {
        match self.start_of.get(&id) {
            Some(&known) if known >= start => return,
            Some(&known) => {
                self.by_start.remove(&(known, id));
            }
            None => {}
        }
        self.start_of.insert(id, start);
        self.by_start.insert((start, id));
        if self.by_start.len() > self.limit
            && let Some((_, dropped)) = self.by_start.pop_first()
        {
            self.start_of.remove(&dropped);
        }
    }

    /// Newest first.
    pub(crate) fn into_ids(self) -> Vec<TraceId> {
        self.by_start.into_iter().rev().map(|(_, id)| id).collect()
    }
}

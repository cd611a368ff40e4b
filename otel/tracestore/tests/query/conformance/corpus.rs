//! Generated traces: every kind of attribute in every place, skewed clocks, odd ids, twins and latecomers.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::collection::vec;
use proptest::option::{self, of};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::values::{pair, text, unique};
use crate::spans::attribute;

/// Names of services. The last three are written as no, an empty and a numeric `service.name`.
pub(super) const SERVICES: [&str; 9] = [
    "shop",
    "payment",
    "search engine",
    "größe/ü",
    "a%2Fb+c",
    "pizza-🍕",
    "missing-service-name",
    "empty-service-name",
    "service-name-wrong-type",
];

const NAMES: [&str; 8] = [
    "POST /orders",
    "orders.v1.Orders/Place",
    "",
    "имя",
    "<img src=x onerror=alert(1)>",
    "a\u{2028}b",
    "process order.accepted",
    "same",
];

/// A trace, its id aside.
#[derive(Debug, Clone)]
pub(super) struct TraceSpec {
    pub(super) spans: Vec<SpanSpec>,
}

/// A span, times in nanoseconds from the trace's begin.
#[derive(Debug, Clone)]
pub(super) struct SpanSpec {
    service: usize,
    resource: Vec<KeyValue>,
    scope: Option<InstrumentationScope>,
    id: Id,
    parent: Parent,
    name: &'static str,
    kind: i32,
    status: Option<Status>,
    start: i64,
    duration: i64,
    attributes: Vec<KeyValue>,
    events: Vec<(i64, &'static str, Vec<KeyValue>)>,
    links: Vec<(Parent, Vec<KeyValue>)>,
    trace_state: &'static str,
    flags: u32,
    dropped: u32,
    /// Comes in a second request, after all others.
    late: bool,
    /// Is sent once more in the second request.
    again: bool,
}

/// What one span can be found by.
#[derive(Debug, Clone)]
pub(super) struct Searchable {
    pub(super) service: String,
    pub(super) operation: String,
    /// Attributes of the span, its scope, resource and events, as a search writes them.
    pub(super) tags: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy)]
enum Id {
    Next,
    High,
}

#[derive(Debug, Clone, Copy)]
enum Parent {
    None,
    Earlier(Index),
    Any(Index),
    Absent,
    OtherTrace,
    ZeroTrace,
}

pub(super) fn trace() -> impl Strategy<Value = TraceSpec> {
    vec(span(), 1..9).prop_map(|spans| TraceSpec { spans })
}

fn span() -> impl Strategy<Value = SpanSpec> {
    let own = (
        prop_oneof![8 => 0..SERVICES.len() - 3, 1 => SERVICES.len() - 3..SERVICES.len()],
        vec(pair(), 0..2),
        option::weighted(0.8, scope()),
        prop_oneof![5 => Just(Id::Next), 1 => Just(Id::High)],
        parent(),
        select(&NAMES[..]),
        prop_oneof![8 => 0..6_i32, 1 => Just(9)],
        of(status()),
        prop_oneof![6 => 0..3_000_000_000_i64, 1 => -2_000_000_000..0_i64],
        duration(),
    );
    let rest = (
        vec(pair(), 0..5),
        vec((-1_000_000..2_000_000_000_i64, select(&NAMES[..]), vec(pair(), 0..3)), 0..3),
        vec((link(), vec(link_pair(), 0..2)), 0..2),
        select(&["", "vendor=1", "a=1,b=2"][..]),
        prop_oneof![Just(0_u32), Just(1), Just(0x101), Just(0x301)],
        prop_oneof![6 => Just(0_u32), 1 => 1..9_u32],
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.05),
    );
    (own, rest).prop_map(|(own, rest)| {
        let (service, resource, scope, id, parent, name, kind, status, start, duration) = own;
        let (attributes, events, links, trace_state, flags, dropped, late, again) = rest;
        // Jaeger mixes up the warnings of spans that come twice, as a listed difference says.
        let duration = if again { duration.abs() } else { duration };
        let attributes = unique(attributes);
        let resource = unique(resource);
        let events = events.into_iter().map(|(at, name, fields)| (at, name, unique(fields))).collect();
        let links = links.into_iter().map(|(to, fields)| (to, unique(fields))).collect();
        let scope = scope.map(|scope| InstrumentationScope { attributes: unique(scope.attributes), ..scope });
        SpanSpec {
            service,
            resource,
            scope,
            id,
            parent,
            name,
            kind,
            status,
            start,
            duration,
            attributes,
            events,
            links,
            trace_state,
            flags,
            dropped,
            late,
            again,
        }
    })
}

fn status() -> impl Strategy<Value = Status> {
    (0..3, select(&["", "went wrong", "да"][..]))
        .prop_map(|(code, message)| Status { code, message: message.into() })
}

fn scope() -> impl Strategy<Value = InstrumentationScope> {
    (select(&["", "tests", "библиотека"][..]), select(&["", "1.0"][..]), vec(pair(), 0..2)).prop_map(
        |(name, version, attributes)| InstrumentationScope {
            name: name.into(),
            version: version.into(),
            attributes,
            ..InstrumentationScope::default()
        },
    )
}

fn duration() -> impl Strategy<Value = i64> {
    prop_oneof![
        1 => 1..1_000_i64,
        4 => 1_000..10_000_000_i64,
        4 => 10_000_000..2_000_000_000_i64,
        1 => Just(1_000_000_i64),
        1 => -1_000_000..0_i64, // none of 0, see the listed differences
    ]
}

fn parent() -> impl Strategy<Value = Parent> {
    prop_oneof![
        2 => Just(Parent::None),
        10 => any::<Index>().prop_map(Parent::Earlier),
        1 => Just(Parent::Absent),
    ]
}

fn link() -> impl Strategy<Value = Parent> {
    prop_oneof![
        3 => any::<Index>().prop_map(Parent::Any),
        3 => Just(Parent::OtherTrace),
        1 => Just(Parent::Absent),
        1 => Just(Parent::ZeroTrace),
    ]
}

fn link_pair() -> impl Strategy<Value = KeyValue> {
    let kind = select(&["child_of", "follows_from", "other"][..]);
    prop_oneof![
        kind.prop_map(|kind| attribute("opentracing.ref_type", Any::StringValue(kind.into()))),
        // A search for a link's attributes is a listed difference; these have keys of their own.
        pair().prop_map(|pair| KeyValue { key: format!("link.{}", pair.key), ..pair })
    ]
}

// === impl TraceSpec ===

impl TraceSpec {
    /// The requests that carry the trace: those in time, then the late ones.
    pub(super) fn requests(&self, trace: u128, begin: u64) -> [Vec<ResourceSpans>; 2] {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for (at, spec) in self.spans.iter().enumerate() {
            let owner = spec.owner(self.span(at, trace, begin));
            if spec.again && !spec.late {
                second.push(owner.clone());
            }
            if spec.late { second.push(owner) } else { first.push(owner) }
        }
        [first, second]
    }

    fn span(&self, at: usize, trace: u128, begin: u64) -> Span {
        let spec = &self.spans[at];
        let start = begin.saturating_add_signed(spec.start);
        let (parent_trace, parent) = self.target(spec.parent, at, trace);
        let events = spec.events.iter().map(|(offset, name, fields)| Event {
            time_unix_nano: start.saturating_add_signed(*offset),
            name: (*name).into(),
            attributes: fields.clone(),
            dropped_attributes_count: spec.dropped,
        });
        let links = spec.links.iter().map(|(to, fields)| {
            let (trace, span) = self.target(*to, at, trace);
            Link {
                trace_id: trace.to_be_bytes().into(),
                span_id: span.to_be_bytes().into(),
                attributes: fields.clone(),
                ..Link::default()
            }
        });
        Span {
            trace_id: trace.to_be_bytes().into(),
            span_id: self.id(at).to_be_bytes().into(),
            parent_span_id: if parent_trace == 0 { vec![] } else { parent.to_be_bytes().into() },
            name: spec.name.into(),
            kind: spec.kind,
            status: spec.status.clone(),
            start_time_unix_nano: start,
            end_time_unix_nano: start.saturating_add_signed(spec.duration),
            attributes: spec.attributes.clone(),
            events: events.collect(),
            links: links.collect(),
            trace_state: spec.trace_state.into(),
            flags: spec.flags,
            dropped_attributes_count: spec.dropped,
            dropped_events_count: spec.dropped,
            dropped_links_count: spec.dropped,
        }
    }

    fn id(&self, at: usize) -> u64 {
        match self.spans[at].id {
            Id::Next => at as u64 + 1,
            Id::High => u64::MAX - at as u64,
        }
    }

    /// Trace and span that a parent or link names; a trace of 0 where there is none.
    fn target(&self, parent: Parent, at: usize, trace: u128) -> (u128, u64) {
        match parent {
            Parent::Earlier(_) if at == 0 => (0, 0),
            Parent::None => (0, 0),
            Parent::Earlier(index) => (trace, self.id(index.index(at))),
            Parent::Any(index) => (trace, self.id(index.index(self.spans.len()))),
            Parent::Absent => (trace, 0xdead),
            Parent::OtherTrace => (0x99, 9),
            Parent::ZeroTrace => (0, 9),
        }
    }

    /// What each span can be found by.
    pub(super) fn searchable(&self) -> Vec<Searchable> {
        let of = |span: &SpanSpec| {
            let scope = span.scope.iter().flat_map(|scope| &scope.attributes);
            let events = span.events.iter().flat_map(|(_, _, fields)| fields);
            let all = span.attributes.iter().chain(&span.resource).chain(scope).chain(events);
            let name = ("service.name".to_owned(), SERVICES[span.service].to_owned());
            let tags = all.map(|pair| (pair.key.clone(), text(pair.value.as_ref()))).chain([name]).collect();
            Searchable { service: SERVICES[span.service].to_owned(), operation: span.name.to_owned(), tags }
        };
        self.spans.iter().map(of).collect()
    }
}

// === impl SpanSpec ===

impl SpanSpec {
    fn owner(&self, span: Span) -> ResourceSpans {
        let name = SERVICES[self.service];
        let name = match name {
            "missing-service-name" => None,
            "empty-service-name" => Some(Any::StringValue(String::new())),
            "service-name-wrong-type" => Some(Any::IntValue(5)),
            name => Some(Any::StringValue(name.into())),
        };
        let mut attributes: Vec<KeyValue> =
            name.map(|name| attribute("service.name", name)).into_iter().collect();
        attributes.extend(self.resource.iter().filter(|pair| pair.key != "service.name").cloned());
        ResourceSpans {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_spans: vec![ScopeSpans {
                scope: self.scope.clone(),
                spans: vec![span],
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }
    }
}

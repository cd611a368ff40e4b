//! Hand-made spans and questions: one of each kind of trouble.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValueList};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span, Status, span::Link};

use crate::spans::{attribute, event, failed, int, of_service, span, string};

const MS: u64 = 1_000_000;

/// One span of each kind of trouble.
pub(super) fn odd(start: u64) -> Vec<ResourceSpans> {
    let at = |ms: u64| start + ms * MS;
    let mut types = span(0x51, 1, 0, "types", start + 1_999, at(50));
    types.kind = 2;
    types.trace_state = "vendor=1".into();
    let list = ArrayValue {
        values: vec![
            AnyValue { value: Some(Any::IntValue(1)) },
            AnyValue { value: Some(Any::StringValue("a".into())) },
        ],
    };
    types.attributes = vec![
        attribute("t.bool", Any::BoolValue(true)),
        attribute("t.double", Any::DoubleValue(72.5)),
        int("t.int", -5),
        int("t.big", i64::MAX),
        int("t.safe", 9_007_199_254_740_991),
        attribute("t.bytes", Any::BytesValue(vec![0, 255])),
        attribute("t.array", Any::ArrayValue(list)),
        attribute("t.map", Any::KvlistValue(KeyValueList { values: vec![int("n", 1)] })),
        string("t.hostile", "<img src=x onerror=alert(1)> & \"quotes\" \u{2028}"),
        string("t.empty", ""),
        string("telemetry.sdk.name", "on-the-span"),
        int("ip", 0x0808_0404),
    ];
    types.events = vec![
        event("boom", at(10), vec![string("z", "1"), string("a", "2")]),
        event("named", at(11), vec![string("event", "own")]),
        event("", at(12), vec![string("only", "field")]),
    ];
    let mut linked = span(0x51, 2, 1, "linked", at(1), at(2));
    linked.kind = 5;
    linked.links = vec![
        Link {
            trace_id: 0x99_u128.to_be_bytes().into(),
            span_id: 9_u64.to_be_bytes().into(),
            ..Link::default()
        },
        Link {
            trace_id: 0x51_u128.to_be_bytes().into(),
            span_id: 1_u64.to_be_bytes().into(),
            attributes: vec![string("opentracing.ref_type", "child_of")],
            ..Link::default()
        },
    ];
    let mut only_link = span(0x51, 3, 0, "only-link", at(3), at(4));
    only_link.kind = 4;
    let own = Link {
        trace_id: 0x51_u128.to_be_bytes().into(),
        span_id: 1_u64.to_be_bytes().into(),
        ..Link::default()
    };
    only_link.links = vec![own];
    let mut good = span(0x51, 4, 1, "status-ok", at(5), at(6));
    good.status = Some(Status { code: 1, message: "fine".into() });
    good.kind = 1;
    let mut bad = span(0x51, 5, 1, "status-error", at(5), at(6));
    bad.status = Some(failed("went wrong"));
    bad.kind = 3;
    let orphan = span(0x51, 6, 0xdead, "orphan", at(5), at(6));
    let early = span(0x51, 7, 1, "before-its-parent", start - 5 * MS, start - 4 * MS);
    let late = span(0x51, 8, 1, "after-its-parent", at(60), at(70));
    let spans: Vec<Span> = vec![types, linked, only_link, good, bad.clone(), bad, orphan, early, late];
    let mut nameless = of_service("x", vec![span(0x52, 1, 0, "nameless", at(1), at(2))]);
    nameless.resource.as_mut().unwrap().attributes = vec![string("a", "1")];
    let mut empty = of_service("", vec![span(0x52, 2, 1, "empty", at(1), at(2))]);
    empty.scope_spans[0].scope = None;
    let mut number = of_service("x", vec![span(0x52, 3, 1, "number", at(1), at(2))]);
    number.resource.as_mut().unwrap().attributes = vec![int("service.name", 5)];
    let backwards = of_service("backwards", vec![span(0x53, 1, 0, "backwards", at(9), at(1))]);
    // As Zipkin's clients and servers share one id.
    let mut client = span(0x54, 10, 0, "asks", at(1), at(9));
    client.kind = 3;
    let mut server = span(0x54, 10, 0, "answers", at(2), at(8));
    server.kind = 2;
    let inner = span(0x54, 11, 10, "inner", at(3), at(4));
    let (asks, answers) =
        (of_service("zipkin-client", vec![client]), of_service("zipkin-server", vec![server, inner]));
    vec![of_service("odd", spans), nameless, empty, number, backwards, asks, answers]
}

/// The legacy API first: asking `/api/v3` changes what Jaeger's memory store holds.
pub(super) fn questions(start: u64) -> Vec<String> {
    let window = format!("start={}&end={}", start / 1_000 - 10_000_000, start / 1_000 + 60_000_000);
    let fixed = FIXED.lines().map(str::trim).filter(|line| !line.is_empty());
    let searches = SEARCHES.lines().map(str::trim).filter(|line| !line.is_empty());
    let ids = ["51", "52", "53", "54", "0000000000000abc", "DEF"];
    let mut all: Vec<String> =
        fixed.clone().filter(|t| !t.starts_with("/api/v3")).map(str::to_owned).collect();
    all.push(format!("/api/dependencies?endTs={}&lookback=604800000", start / 1_000_000 + 60_000));
    all.push(format!("/api/traces/{}", "f".repeat(33)));
    all.extend(searches.map(|search| format!("/api/traces?{search}&{window}")));
    all.extend(ids.iter().flat_map(|id| [format!("/api/traces/{id}?raw=true"), format!("/api/traces/{id}")]));
    all.extend(fixed.filter(|t| t.starts_with("/api/v3")).map(str::to_owned));
    let rfc = |ns: u64| {
        let time = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(ns)).unwrap();
        time.format(&time::format_description::well_known::Rfc3339).unwrap()
    };
    let (from, to) = (rfc(start - 1_000 * MS), rfc(start + 60_000 * MS));
    let window = format!("query.start_time_min={from}&query.start_time_max={to}");
    // Each adjusted once: Jaeger adjusts what it holds, so that warnings grow with every look.
    all.extend(ids.iter().map(|id| format!("/api/v3/traces/{id}?raw_traces=1")));
    all.extend(ids.iter().filter(|id| **id != "53").map(|id| format!("/api/v3/traces/{id}")));
    for search in [
        "num_traces=x",
        "duration_min=5",
        "service_name=nobody&query.num_traces=9",
        "service_name=backwards&query.num_traces=9",
    ] {
        all.push(format!("/api/v3/traces?{window}&query.{search}"));
    }
    all
}

const FIXED: &str = "
    /api/services
    /api/services/odd/operations
    /api/operations?service=odd
    /api/operations?service=odd&spanKind=server
    /api/operations
    /api/traces/zz
    /api/traces/1234
    /api/traces/51?raw=x
    /api/traces/51?start=x
    /api/traces?traceID=51&traceID=1234&traceID=52
    /api/traces?traceID=xyz
    /api/traces
    /api/dependencies?endTs=x
    /api/metrics/calls?service=odd
    /api/v3/services
    /api/v3/traces/zz
    /api/v3/traces/1234
    /api/v3/traces
";

const SEARCHES: &str = "
    service=mobile-app
    service=mobile-app&operation=POST
    service=mobile-app&operation=none
    service=mobile-app&tag=order.id:o-1
    service=mobile-app&limit=1
    service=odd&tag=t.int:-5
    service=odd&tag=t.double:72.5
    service=odd&tag=t.bool:true
    service=odd&tag=t.big:9223372036854775807
    service=odd&tag=t.empty:
    service=odd&tag=only:field
    service=odd&tag=service.instance.id:odd-1
    service=odd&tag=none:1
    service=odd&tags=%7B%22t.int%22:%22-5%22,%22t.bool%22:%22true%22%7D
    service=odd&tags=%7B%22t.int%22:%22-5%22,%22only%22:%22x%22%7D
    service=odd&minDuration=40ms
    service=odd&minDuration=1h
    service=odd&maxDuration=2ms&minDuration=1ms
    service=odd&minDuration=20
    service=odd&maxDuration=1x
    service=odd&minDuration=2s&maxDuration=1s
    service=odd&limit=x
    service=odd&limit=99999999999
    service=odd&tag=k
    service=odd&tags=%7B%22a%22:1%7D
    service=odd&tags=null
    service=odd&raw=x
    service=nobody
    operation=x
";

//! The differences that `docs/conformance.md` lists, each with the upstream file that explains it. A difference that has
//! vanished fails the test: then its line must go.

use opentelemetry_proto::tonic::common::v1::ArrayValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use opentelemetry_proto::tonic::trace::v1::span::Link;
use serde_json::{Value, json};

use super::peer::{Answer, Both, recently};
use crate::spans::{attribute, failed, of_service, span, string};

const SECOND: u64 = 1_000_000_000;

/// One line of the list.
struct Listed {
    /// Module path and line, as the document has it.
    upstream: &'static str,
    target: String,
    /// What of an answer differs.
    look: fn(&Answer) -> Value,
    theirs: Value,
    ours: Value,
}

fn listed(
    upstream: &'static str,
    target: impl Into<String>,
    look: fn(&Answer) -> Value,
    theirs: Value,
    ours: Value,
) -> Listed {
    Listed { upstream, target: target.into(), look, theirs, ours }
}

/// One request each, in this order.
fn requests(start: u64) -> Vec<Vec<ResourceSpans>> {
    let one = |trace, service: &str, from| {
        vec![of_service(service, vec![span(trace, 1, 0, "one", from, from + SECOND)])]
    };
    let mut tagged = span(0xb1, 1, 0, "tagged", start, start + SECOND);
    tagged.kind = 2;
    tagged.status = Some(failed("no"));
    tagged.links = vec![Link {
        trace_id: 0x99_u128.to_be_bytes().into(),
        span_id: 9_u64.to_be_bytes().into(),
        attributes: vec![string("link.key", "v")],
        ..Link::default()
    }];
    let instant = span(0xc1, 1, 0, "instant", start, start);
    let mut zero_link = span(0xc2, 1, 0, "zero link", start, start + SECOND);
    zero_link.links = vec![Link { span_id: 9_u64.to_be_bytes().into(), ..Link::default() }];
    let twins = || {
        let parent = span(0xd1, 1, 0, "parent", start, start + SECOND);
        let twin = span(0xd1, 2, 1, "twin", start, start - 1);
        let callee = span(0xd1, 3, 1, "callee", start, start + SECOND);
        vec![of_service("twins", vec![parent, twin]), of_service("callee", vec![callee])]
    };
    let list = Any::ArrayValue(ArrayValue::default());
    let mut uncomparable = span(0xe1, 1, 0, "uncomparable", start, start + SECOND);
    uncomparable.attributes = vec![attribute("telemetry.sdk.name", list.clone())];
    let mut uncomparable = of_service("uncomparable", vec![uncomparable]);
    uncomparable.resource.as_mut().unwrap().attributes.push(attribute("telemetry.sdk.name", list));
    let mut endless = span(0xe2, 1, 0, "endless", start, start + SECOND);
    endless.attributes = vec![attribute("number", Any::DoubleValue(f64::INFINITY))];
    let early = span(0xe3, 2, 1, "early", start - SECOND, start - SECOND / 2);
    let skewed = vec![span(0xe3, 1, 0, "root", start, start + SECOND), early];
    vec![
        one(0xa1, "order", start + 9 * SECOND),
        one(0xa2, "order", start),
        vec![of_service("tagged", vec![tagged])],
        vec![of_service("odd", vec![instant, zero_link])],
        twins(),
        twins(),
        vec![uncomparable],
        vec![of_service("endless", vec![endless])],
        vec![of_service("skewed", skewed)],
    ]
}

fn traces(answer: &Answer) -> Value {
    answer.body["data"].as_array().map_or(0, Vec::len).into()
}

fn first_trace(answer: &Answer) -> Value {
    answer.body["data"][0]["traceID"].clone()
}

fn status(answer: &Answer) -> Value {
    answer.status.into()
}

fn spans(answer: &Answer) -> Value {
    answer.body["data"][0]["spans"].as_array().map_or(0, Vec::len).into()
}

fn warned(answer: &Answer) -> Value {
    answer.body["data"][0]["spans"][0]["warnings"].is_array().into()
}

fn internals(answer: &Answer) -> Value {
    answer.body.to_string().contains("XXX_sizecache").into()
}

fn warning_tags(answer: &Answer) -> Value {
    answer.body.to_string().matches("@jaeger@warnings").count().into()
}

fn own_calls(answer: &Answer) -> Value {
    let links = answer.body["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    links.iter().any(|link| link["parent"] == link["child"]).into()
}

fn calls_of_callee(answer: &Answer) -> Value {
    let links = answer.body["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    links.iter().find(|link| link["child"] == "callee").map_or(Value::Null, |link| link["callCount"].clone())
}

fn list(start: u64) -> Vec<Listed> {
    const TAGS: &str = "internal/storage/v2/memory/tenant.go:281";
    let window = format!("start={}&end={}", start / 1_000 - 60_000_000, start / 1_000 + 60_000_000);
    let search = |query: &str| format!("/api/traces?{query}&{window}");
    let tagged = |tag: &str| search(&format!("service=tagged&tag={tag}"));
    let rfc = |ns: u64| {
        let time = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(ns)).unwrap();
        time.format(&time::format_description::well_known::Rfc3339).unwrap()
    };
    let v3 = |query: &str| {
        let (from, to) = (rfc(start - 60 * SECOND), rfc(start + 60 * SECOND));
        format!("/api/v3/traces?query.start_time_min={from}&query.start_time_max={to}&query.{query}")
    };
    let dependencies = format!("/api/dependencies?endTs={}&lookback=3600000", start / 1_000_000 + 60_000);
    let (newest, latest) = (json!("00000000000000a2"), json!("00000000000000a1"));
    let mut all = vec![
        listed(
            "internal/storage/v2/memory/tenant.go:133",
            search("service=order&limit=1"),
            first_trace,
            newest,
            latest,
        ),
        listed(
            "internal/storage/v2/memory/tenant.go:122",
            search("service=order&limit=5000"),
            status,
            json!(200),
            json!(400),
        ),
        listed("internal/storage/v2/memory/tenant.go:242", tagged("error:true"), traces, json!(0), json!(1)),
        listed(
            "cmd/query/app/apiv3/http_gateway.go:216",
            v3("service_name=tagged&query.num_traces=9&query.attributes=%7B%22a%22:%22b%22%7D"),
            status,
            json!(200),
            json!(404),
        ),
        listed(
            "cmd/query/app/apiv3/http_gateway.go:253",
            v3("service_name=tagged&query.num_traces=9&query.duration_min=2s&query.duration_max=1s"),
            status,
            json!(404),
            json!(400),
        ),
        listed(
            "internal/jptrace/sanitizer/negative_duration_santizer.go:69",
            "/api/traces/c1",
            warned,
            json!(true),
            json!(false),
        ),
        listed(
            "cmd/query/app/querysvc/internal/adjuster/bad_span_references.go:39",
            "/api/traces/c2",
            internals,
            json!(true),
            json!(false),
        ),
        listed(
            "internal/storage/v2/memory/tenant.go:94",
            "/api/traces/d1?raw=true",
            spans,
            json!(6),
            json!(3),
        ),
        listed(
            "internal/storage/v2/v1adapter/translator.go:136",
            "/api/traces/d1?raw=true",
            warning_tags,
            json!(1),
            json!(0),
        ),
        listed(
            "internal/storage/v2/memory/tenant.go:186",
            dependencies.clone(),
            own_calls,
            json!(true),
            json!(false),
        ),
        listed("internal/storage/v2/memory/tenant.go:191", dependencies, calls_of_callee, json!(2), json!(1)),
        listed("cmd/query/app/http_handler.go:553", "/api/traces/e2", status, json!(500), json!(200)),
        listed(
            "cmd/query/app/querysvc/v2/adjuster/libraryattributes.go:61",
            "/api/v3/traces/e1",
            status,
            json!(500),
            json!(200),
        ),
        listed(
            "cmd/query/app/apiv3/http_gateway.go:238",
            v3("service_name=tagged"),
            status,
            json!(500),
            json!(200),
        ),
        // Asked a second time.
        listed(
            "internal/storage/v2/memory/tenant.go:154",
            "/api/v3/traces/e3",
            warnings_of_second_look,
            json!(1),
            json!(1),
        ),
        listed(
            "internal/storage/v2/memory/tenant.go:154",
            "/api/v3/traces/e3",
            warnings_of_second_look,
            json!(2),
            json!(1),
        ),
    ];
    for tag in ["span.kind:server", "span.status:ERROR", "scope.name:tests", "scope.version:1.0"] {
        all.push(listed(TAGS, tagged(tag), traces, json!(0), json!(1)));
    }
    all.push(listed(TAGS, tagged("resource.service.instance.id:tagged-1"), traces, json!(0), json!(1)));
    all.push(listed(TAGS, tagged("link.key:v"), traces, json!(0), json!(1)));
    all
}

fn warnings_of_second_look(answer: &Answer) -> Value {
    answer.body.to_string().matches("clock skew adjustment disabled").count().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_listed_difference_is_still_there_and_in_the_document() {
    let Some(both) = Both::from_env().await else { return };
    let start = recently();
    for request in requests(start) {
        both.send(request).await;
    }
    let document = include_str!("../../../../../docs/conformance.md");
    let mut wrong = Vec::new();
    for line in list(start) {
        let theirs = (line.look)(&both.jaeger(&line.target).await);
        let ours = (line.look)(&both.ours(&line.target).await);
        if (&theirs, &ours) != (&line.theirs, &line.ours) {
            wrong.push(format!(
                "{} ({}): listed {} / {}, now {theirs} / {ours}",
                line.target, line.upstream, line.theirs, line.ours
            ));
        }
        if !document.contains(line.upstream) {
            wrong.push(format!("docs/conformance.md does not name {}", line.upstream));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

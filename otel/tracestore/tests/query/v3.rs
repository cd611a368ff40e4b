//! `/api/v3`: OTLP in JSON.

use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tracestore::api::{ApiOptions, router};
use tracestore::model::Query;

use crate::client::{app, get, with};
use crate::memory::Memory;
use crate::order::order;
use crate::spans::{event, int, of_service, span, string, trace};
use opentelemetry_proto::tonic::trace::v1::span::Link;

const T0: u64 = 1_700_000_000_000_000_000;
const WINDOW: &str = "query.start_time_min=2023-11-14T22:13:19Z&query.start_time_max=2023-11-14T22:15:00Z";

fn memory() -> Memory {
    let traces =
        vec![trace(0xabc, order(0xabc, "o-1", T0, false)), trace(0xdef, order(0xdef, "o-2", T0, true))];
    Memory { traces, ..Memory::default() }
}

async fn asked(query: &str) -> Query {
    let memory = Arc::new(memory());
    let app = router(Arc::clone(&memory) as _, ApiOptions::default()).unwrap();
    get(&app, &format!("/api/v3/traces?{query}")).await;
    memory.asked.lock().unwrap().pop().unwrap()
}

#[tokio::test]
async fn services_and_operations_are_plain_objects() {
    let app = app(memory());
    let services = get(&app, "/api/v3/services").await.json();
    assert_eq!(services["services"].as_array().unwrap().len(), 8);
    let rows = json!({"operations": [{"name": "auth.v1.Auth/Verify", "spanKind": "server"}]});
    for query in ["service=auth", "service=auth&span_kind=server", "service=auth&spanKind=server"] {
        assert_eq!(get(&app, &format!("/api/v3/operations?{query}")).await.json(), rows);
    }
    let none = get(&app, "/api/v3/operations?service=auth&span_kind=client").await.json();
    assert_eq!(none, json!({"operations": []}));
}

#[tokio::test]
async fn a_trace_is_otlp_json_with_hexadecimal_ids() {
    let mut one = span(1, 2, 3, "op", T0, T0 + 5);
    one.kind = 3;
    one.attributes = vec![string("b", "x"), int("a", 5)];
    one.links = vec![Link { trace_id: vec![0; 16], span_id: vec![0; 8], ..Link::default() }];
    let app = app(Memory { traces: vec![trace(1, vec![of_service("s", vec![one])])], ..Memory::default() });
    let reply = get(&app, "/api/v3/traces/1").await;
    assert_eq!(reply.header("content-type"), "application/json");
    let body = reply.json();
    let resource = &body["result"]["resourceSpans"][0];
    assert_eq!(
        resource["resource"]["attributes"][1],
        json!({"key": "service.name", "value": {"stringValue": "s"}})
    );
    let span = &resource["scopeSpans"][0]["spans"][0];
    assert_eq!(span["traceId"], "00000000000000000000000000000001");
    assert_eq!(
        (&span["spanId"], &span["parentSpanId"]),
        (&json!("0000000000000002"), &json!("0000000000000003"))
    );
    assert_eq!((&span["kind"], &span["startTimeUnixNano"]), (&json!(3), &json!("1700000000000000000")));
    let orphan = "parent span ID=0000000000000003 is not in the trace; skipping clock skew adjustment";
    let warnings = [orphan, "Invalid span link removed"].map(|text| json!({"stringValue": text}));
    let attributes = json!([
        {"key": "@jaeger@warnings", "value": {"arrayValue": {"values": warnings}}},
        {"key": "a", "value": {"intValue": "5"}}, {"key": "b", "value": {"stringValue": "x"}}]);
    assert_eq!((&span["attributes"], &span["links"]), (&attributes, &json!([])));
    let raw = get(&app, "/api/v3/traces/1?raw_traces=true").await.json();
    let span = &raw["result"]["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
    assert_eq!((&span["attributes"][0]["key"], span["links"].as_array().unwrap().len()), (&json!("b"), 1));
}

#[tokio::test]
async fn old_and_new_parameter_names_mean_the_same() {
    let old = asked(&format!(
        "{WINDOW}&query.service_name=s&query.operation_name=o&query.num_traces=5&query.duration_min=1s&query.duration_max=2s"
    ))
    .await;
    let new = asked(
        "query.startTimeMin=2023-11-14T22:13:19Z&query.startTimeMax=2023-11-14T22:15:00Z&query.serviceName=s&\
         query.operationName=o&query.searchDepth=5&query.durationMin=1s&query.durationMax=2s",
    )
    .await;
    let expected = Query {
        service: Some("s".into()),
        operation: Some("o".into()),
        tags: vec![],
        start_min_ns: 1_699_999_999_000_000_000,
        start_max_ns: 1_700_000_100_000_000_000,
        duration_min_ns: 1_000_000_000,
        duration_max_ns: 2_000_000_000,
        limit: 5,
    };
    assert_eq!((&old, &new), (&expected, &expected));
    assert_eq!(asked(WINDOW).await.limit, 100);
}

#[tokio::test]
async fn attributes_narrow_a_search() {
    let app = app(memory());
    let query =
        format!("{WINDOW}&query.service_name=mobile-app&query.attributes=%7B%22order.id%22:%22o-2%22%7D");
    let body = get(&app, &format!("/api/v3/traces?{query}")).await.json();
    let spans = body["result"]["resourceSpans"].as_array().unwrap();
    let ids: Vec<_> = spans.iter().map(|r| r["scopeSpans"][0]["spans"][0]["traceId"].clone()).collect();
    assert!(!ids.is_empty() && ids.iter().all(|id| id == "00000000000000000000000000000def"), "{ids:?}");
}

#[tokio::test]
async fn nonsense_is_refused_with_the_parameters_name() {
    let app = app(memory());
    for (target, status, message) in [
        (
            "traces/zz".to_owned(),
            400,
            "malformed parameter trace_id: strconv.ParseUint: parsing \"zz\": invalid syntax",
        ),
        ("traces/1".to_owned(), 404, "No traces found"),
        (
            "traces/abc?raw_traces=x".into(),
            400,
            "malformed parameter raw_traces: strconv.ParseBool: parsing \"x\": invalid syntax",
        ),
        ("traces".into(), 400, "query.start_time_min and query.start_time_max are required"),
        (format!("traces?{WINDOW}&query.service_name=nobody"), 404, "No traces found"),
        (
            format!("traces?{WINDOW}&query.num_traces=x"),
            400,
            "malformed parameter query.num_traces: strconv.Atoi: parsing \"x\": invalid syntax",
        ),
        (
            format!("traces?{WINDOW}&query.duration_min=5"),
            400,
            "malformed parameter query.duration_min: time: missing unit in duration \"5\"",
        ),
        (
            format!("traces?{WINDOW}&query.attributes=5"),
            400,
            "malformed parameter query.attributes: json: cannot unmarshal number into Go value of type map[string]string",
        ),
        (
            "traces?query.start_time_min=2023-11-14T22:15:00Z&query.start_time_max=2023-11-14T22:15:00Z"
                .into(),
            400,
            "query.startTimeMin must be before query.startTimeMax",
        ),
        (
            format!("traces?{WINDOW}&query.duration_min=2s&query.duration_max=1s"),
            400,
            "query.durationMax must not be less than query.durationMin",
        ),
    ] {
        let reply = get(&app, &format!("/api/v3/{target}")).await;
        assert_eq!(reply.json(), json!({"error": {"httpCode": status, "message": message}}), "{target}");
        assert_eq!(reply.status, status);
        assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
    }
    let reply = get(&app, "/api/v3/traces?query.start_time_min=yesterday&query.start_time_max=today").await;
    let body = reply.json();
    assert!(
        body["error"]["message"].as_str().unwrap().starts_with("malformed parameter query.start_time_min: ")
    );
}

#[tokio::test]
async fn a_trace_is_repaired_unless_it_is_asked_for_raw() {
    let parent = span(4, 1, 0, "parent", T0 + 100_000_000, T0 + 120_000_000);
    let mut child = span(4, 2, 1, "child", T0 + 50_000_000, T0 + 60_000_000);
    child.events = vec![event("b", T0 + 52_000_000, vec![]), event("a", T0 + 53_000_000, vec![])];
    child.attributes = vec![
        string("telemetry.sdk.name", "mine"),
        string("telemetry.sdk.version", "2"),
        int("ip", 0x0808_0404),
    ];
    let mut resource = of_service("s", vec![parent, child]);
    resource.resource.as_mut().unwrap().attributes = vec![string("telemetry.sdk.version", "1")];
    let memory = Memory { traces: vec![trace(4, vec![resource])], ..Memory::default() };
    let app = with(memory, ApiOptions { max_clock_skew: Duration::from_secs(1), ..ApiOptions::default() });
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let body = get(&app, "/api/v3/traces/4").await.json();
    let resource = &body["result"]["resourceSpans"][0];
    let expected = [
        text("service.name", "missing-service-name"),
        text("telemetry.sdk.name", "mine"),
        text("telemetry.sdk.version", "1"),
    ];
    assert_eq!(resource["resource"]["attributes"], json!(expected));
    let child = &resource["scopeSpans"][0]["spans"][1];
    let warnings = [
        "This span's timestamps were adjusted by 55ms",
        "conflicting values between Span and Resource for attribute telemetry.sdk.version",
    ];
    let warnings = warnings.map(|text| json!({"stringValue": text}));
    let expected = [
        json!({"key": "@jaeger@warnings", "value": {"arrayValue": {"values": warnings}}}),
        text("ip", "8.8.4.4"),
        text("telemetry.sdk.version", "2"),
    ];
    assert_eq!(child["attributes"], json!(expected));
    assert_eq!(
        (&child["startTimeUnixNano"], &child["endTimeUnixNano"]),
        (&json!((T0 + 105_000_000).to_string()), &json!((T0 + 115_000_000).to_string()))
    );
    let events: Vec<_> =
        child["events"].as_array().unwrap().iter().map(|e| e["timeUnixNano"].clone()).collect();
    assert_eq!(events, [(T0 + 108_000_000).to_string(), (T0 + 107_000_000).to_string()]);
    let raw = get(&app, "/api/v3/traces/4?rawTraces=true").await.json();
    let child = &raw["result"]["resourceSpans"][0]["scopeSpans"][0]["spans"][1];
    assert_eq!(child["startTimeUnixNano"], (T0 + 50_000_000).to_string());
    assert_eq!(child["attributes"].as_array().unwrap().len(), 3);
    let legacy = get(&app, "/api/traces/4").await.json();
    assert_eq!(legacy["data"][0]["spans"][1]["startTime"], (T0 + 105_000_000) / 1_000);
}

#[tokio::test]
async fn a_span_that_ends_before_it_starts_is_a_nanosecond_long_and_says_so() {
    let spans = vec![of_service("s", vec![span(5, 1, 0, "back", T0 + 9, T0 + 1)])];
    let app = app(Memory { traces: vec![trace(5, spans)], ..Memory::default() });
    let body = get(&app, "/api/v3/traces/5?raw_traces=true").await.json();
    let span = &body["result"]["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
    assert_eq!(span["endTimeUnixNano"], (T0 + 10).to_string());
    let warning = &span["attributes"][0]["value"]["arrayValue"]["values"][0]["stringValue"];
    let text = "Negative duration detected, sanitizing end timestamp. Original end timestamp: \
        2023-11-14 22:13:20.000000001 +0000 UTC, adjusted to: 2023-11-14 22:13:20.00000001 +0000 UTC";
    assert_eq!(warning, text);
    let legacy = get(&app, "/api/traces/5").await.json();
    assert_eq!(legacy["data"][0]["spans"][0]["warnings"], json!([text]));
}

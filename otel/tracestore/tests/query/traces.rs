//! Traces by id, services and operations of the legacy API.

use serde_json::json;

use crate::client::{app, get};
use crate::memory::Memory;
use crate::order::order;
use crate::spans::{attribute, event, failed, int, of_service, span, string, trace};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue};

const T0: u64 = 1_700_000_000_000_000_000;

fn memory() -> Memory {
    let traces =
        vec![trace(0xabc, order(0xabc, "o-1", T0, false)), trace(0xdef, order(0xdef, "o-2", T0, true))];
    Memory { traces, ..Memory::default() }
}

#[tokio::test]
async fn services_are_listed_sorted_once_and_only_with_operations() {
    let app = app(Memory { idle_services: vec!["idle".into()], ..memory() });
    let reply = get(&app, "/api/services").await;
    assert_eq!(reply.header("content-type"), "application/json");
    let services = [
        "auth",
        "delivery-assignment",
        "mobile-app",
        "notification",
        "payment-gateway",
        "restaurant-availability",
        "restaurant-orders",
        "tracking",
    ];
    assert_eq!(reply.json(), json!({"data": services, "total": 8, "limit": 0, "offset": 0, "errors": null}));
}

#[tokio::test]
async fn an_empty_store_lists_empty_arrays_and_no_nulls() {
    let app = app(Memory::default());
    for target in
        ["/api/services", "/api/services/x/operations", "/api/operations?service=x", "/api/dependencies"]
    {
        assert_eq!(get(&app, target).await.json()["data"], json!([]), "{target}");
    }
    assert_eq!(get(&app, "/api/traces?service=x").await.json()["data"], json!([]));
}

#[tokio::test]
async fn operations_are_unique_names_in_the_old_form_and_have_kinds_in_the_new() {
    let app = app(memory());
    let reply = get(&app, "/api/services/tracking/operations").await.json();
    let names = ["create tracking.started", "send tracking.started", "tracking.v1.Tracking/Start"];
    assert_eq!((&reply["data"], &reply["total"]), (&json!(names), &json!(3)));
    let reply = get(&app, "/api/operations?service=auth&spanKind=server").await.json();
    assert_eq!(reply["data"], json!([{"name": "auth.v1.Auth/Verify", "spanKind": "server"}]));
    assert_eq!(get(&app, "/api/operations?service=auth&spanKind=client").await.json()["data"], json!([]));
    let refused = get(&app, "/api/operations").await;
    assert_eq!(
        (refused.status.as_u16(), refused.message().as_str()),
        (400, "parameter 'service' is required")
    );
}

#[tokio::test]
async fn a_service_name_may_hold_slashes_and_spaces() {
    let spans = vec![of_service("a/b c", vec![span(1, 1, 0, "op", T0, T0 + 1)])];
    let app = app(Memory { traces: vec![trace(1, spans)], ..Memory::default() });
    for name in ["a%2Fb+c", "a%2fb%20c"] {
        let reply = get(&app, &format!("/api/services/{name}/operations")).await;
        assert_eq!(reply.json()["data"], json!(["op"]), "{name}");
    }
}

#[tokio::test]
async fn a_trace_is_written_in_jaegers_model() {
    let mut one = span(0x1, 0x10, 0, "POST /orders", T0 + 1_999, T0 + 5_001_999);
    one.kind = 2;
    one.trace_state = "a=b".into();
    one.status = Some(failed("it broke"));
    let list = ArrayValue { values: vec![AnyValue { value: Some(Value::IntValue(1)) }] };
    one.attributes = vec![
        attribute("z.flag", Value::BoolValue(true)),
        attribute("y.ratio", Value::DoubleValue(0.5)),
        int("x.count", 9_007_199_254_740_991),
        int("w.big", 9_007_199_254_740_992),
        attribute("v.raw", Value::BytesValue(vec![1, 2, 255])),
        attribute("u.list", Value::ArrayValue(list)),
    ];
    one.events = vec![event("retry", T0 + 2_000_500, vec![string("a", "1")])];
    let mut two = span(0x1, 0x11, 0x10, "inner", T0 + 1_000_000, T0 + 2_000_000);
    two.kind = 3;
    let app =
        app(Memory { traces: vec![trace(1, vec![of_service("s", vec![one, two])])], ..Memory::default() });
    let expected = json!({
        "data": [{
            "traceID": "0000000000000001",
            "spans": [{
                "traceID": "0000000000000001", "spanID": "0000000000000010", "operationName": "POST /orders",
                "references": [], "startTime": 1_700_000_000_000_001_u64, "duration": 5_000,
                "tags": [
                    {"key": "error", "type": "bool", "value": true},
                    {"key": "otel.scope.name", "type": "string", "value": "tests"},
                    {"key": "otel.scope.version", "type": "string", "value": "1.0"},
                    {"key": "otel.status_code", "type": "string", "value": "ERROR"},
                    {"key": "otel.status_description", "type": "string", "value": "it broke"},
                    {"key": "span.kind", "type": "string", "value": "server"},
                    {"key": "u.list", "type": "string", "value": "[1]"},
                    {"key": "v.raw", "type": "binary", "value": "AQL/"},
                    {"key": "w.big", "type": "int64", "value": "9007199254740992"},
                    {"key": "w3c.tracestate", "type": "string", "value": "a=b"},
                    {"key": "x.count", "type": "int64", "value": 9_007_199_254_740_991_u64},
                    {"key": "y.ratio", "type": "float64", "value": 0.5},
                    {"key": "z.flag", "type": "bool", "value": true},
                ],
                "logs": [{"timestamp": 1_700_000_000_002_000_u64, "fields": [
                    {"key": "event", "type": "string", "value": "retry"}, {"key": "a", "type": "string", "value": "1"}]}],
                "processID": "p1", "warnings": null,
            }, {
                "traceID": "0000000000000001", "spanID": "0000000000000011", "operationName": "inner",
                "references": [{"refType": "CHILD_OF", "traceID": "0000000000000001", "spanID": "0000000000000010"}],
                "startTime": 1_700_000_000_001_000_u64, "duration": 1_000,
                "tags": [
                    {"key": "otel.scope.name", "type": "string", "value": "tests"},
                    {"key": "otel.scope.version", "type": "string", "value": "1.0"},
                    {"key": "span.kind", "type": "string", "value": "client"},
                ],
                "logs": [], "processID": "p1", "warnings": null,
            }],
            "processes": {"p1": {"serviceName": "s", "tags": [
                {"key": "service.instance.id", "type": "string", "value": "s-1"}]}},
            "warnings": null,
        }],
        "total": 0, "limit": 0, "offset": 0, "errors": null,
    });
    assert_eq!(get(&app, "/api/traces/1").await.json(), expected);
}

#[tokio::test]
async fn an_order_of_eight_services_names_eight_processes_and_the_failing_span() {
    let app = app(memory());
    let found = get(&app, "/api/traces/ABC").await.json();
    let processes = found["data"][0]["processes"].as_object().unwrap();
    assert_eq!(processes.len(), 8);
    let lost = get(&app, "/api/traces/def").await.json();
    let spans = lost["data"][0]["spans"].as_array().unwrap().clone();
    let is_error = |span: &&serde_json::Value| {
        span["tags"].as_array().unwrap().iter().any(|tag| tag["key"] == "error" && tag["value"] == true)
    };
    let names: Vec<_> = spans.iter().filter(is_error).map(|span| span["operationName"].clone()).collect();
    assert_eq!(names, ["process order.accepted", "courier.assign", "POST"]);
}

#[tokio::test]
async fn ids_that_are_bad_or_unknown_are_refused_as_jaeger_does() {
    let app = app(memory());
    for (id, status, message) in [
        ("1234", 404, "trace not found"),
        ("0", 404, "trace not found"),
        ("zzz", 400, "strconv.ParseUint: parsing \"zzz\": invalid syntax"),
        ("%zz", 400, "strconv.ParseUint: parsing \"\": invalid syntax"),
        (
            "abc?raw=maybe",
            400,
            "unable to parse param 'raw': strconv.ParseBool: parsing \"maybe\": invalid syntax",
        ),
        (
            "abc?start=x",
            400,
            "unable to parse param 'start': strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
        ("abc?end=x", 400, "unable to parse param 'end': strconv.ParseInt: parsing \"x\": invalid syntax"),
    ] {
        let reply = get(&app, &format!("/api/traces/{id}")).await;
        assert_eq!((reply.status.as_u16(), reply.message().as_str()), (status, message), "{id}");
        assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        let code = &reply.json()["errors"][0]["code"];
        assert_eq!(code, &json!(status));
    }
}

#[tokio::test]
async fn a_raw_trace_keeps_duplicates_and_the_order_of_tags() {
    let mut one = span(7, 1, 0, "op", T0, T0 + 10);
    one.attributes = vec![string("b", "1"), string("a", "2")];
    let app = app(Memory {
        traces: vec![trace(7, vec![of_service("s", vec![one.clone(), one])])],
        ..Memory::default()
    });
    let keys = |reply: &serde_json::Value| -> Vec<String> {
        let spans = reply["data"][0]["spans"].as_array().unwrap();
        let tags = spans.iter().flat_map(|s| s["tags"].as_array().unwrap());
        tags.map(|t| t["key"].as_str().unwrap().to_owned()).filter(|k| k.len() == 1).collect()
    };
    assert_eq!(keys(&get(&app, "/api/traces/7?raw=true").await.json()), ["b", "a", "b", "a"]);
    assert_eq!(keys(&get(&app, "/api/traces/7").await.json()), ["a", "b"]);
}

#[tokio::test]
async fn pretty_print_indents_by_four_spaces() {
    let app = app(memory());
    let reply = get(&app, "/api/traces/abc?prettyPrint=true").await;
    assert!(reply.text().starts_with("{\n    \"data\": ["), "{}", &reply.text()[..40]);
    assert!(!get(&app, "/api/traces/abc?prettyPrint=false").await.text().contains('\n'));
}

#[tokio::test]
async fn a_failing_store_is_an_error_without_its_secrets() {
    let app = app(memory());
    let reply = get(&app, &format!("/api/traces/{}", "ee".repeat(16))).await;
    assert_eq!(
        (reply.status.as_u16(), reply.message().as_str()),
        (500, "the trace store failed; its log says why")
    );
}

#[tokio::test]
async fn a_parent_that_is_also_linked_to_stands_once_as_the_link() {
    let app = app(memory());
    let body = get(&app, "/api/traces/abc").await.json();
    let spans = body["data"][0]["spans"].as_array().unwrap();
    let process = spans.iter().find(|span| span["operationName"] == "process order.accepted").unwrap();
    let link =
        json!({"refType": "FOLLOWS_FROM", "traceID": "0000000000000abc", "spanID": "000000000000000c"});
    assert_eq!(process["references"], json!([link]));
}

//! The rest of the legacy API, and what every path has in common.

use std::io::Read as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use tracestore::api::{ApiOptions, Backend, BackendError, Counter};
use tracestore::model::{Dependency, Operation, Query, Trace, TraceId};

use crate::client::{app, get, send, with};
use crate::memory::Memory;
use crate::order::order;
use crate::spans::{of_service, span, string, trace};

const T0: u64 = 1_700_000_000_000_000_000;

fn call(parent: &str, child: &str, call_count: u64) -> Dependency {
    Dependency { parent: parent.into(), child: child.into(), call_count }
}

#[tokio::test]
async fn dependencies_are_summed_filtered_and_without_calls_to_oneself() {
    let dependencies = vec![call("a", "b", 2), call("b", "c", 1), call("a", "b", 3), call("a", "a", 9)];
    let app = app(Memory { dependencies, ..Memory::default() });
    let all = get(&app, "/api/dependencies?endTs=1700000000000&lookback=604800000").await.json();
    let ab = json!({"parent": "a", "child": "b", "callCount": 5});
    let bc = json!({"parent": "b", "child": "c", "callCount": 1});
    assert_eq!(all["data"], json!([ab, bc]));
    assert_eq!(get(&app, "/api/dependencies?service=c").await.json()["data"], json!([bc]));
    for (query, message) in [
        ("endTs=x", "unable to parse param 'endTs': strconv.ParseInt: parsing \"x\": invalid syntax"),
        ("lookback=1h", "unable to parse param 'lookback': strconv.ParseInt: parsing \"1h\": invalid syntax"),
    ] {
        let reply = get(&app, &format!("/api/dependencies?{query}")).await;
        assert_eq!((reply.status.as_u16(), reply.message().as_str()), (400, message));
    }
}

#[tokio::test]
async fn there_are_no_metrics_and_no_archive_and_both_say_so() {
    let app = app(Memory { traces: vec![trace(1, order(1, "o", T0, false))], ..Memory::default() });
    for name in ["latencies", "calls", "errors", "minstep"] {
        let reply = get(&app, &format!("/api/metrics/{name}?service=a")).await;
        assert_eq!(
            (reply.status.as_u16(), reply.message().as_str()),
            (501, "metrics querying is currently disabled")
        );
    }
    for (id, status, message) in [
        ("1", 500, "archive span storage was not configured"),
        ("2", 404, "trace not found"),
        ("x", 400, "strconv.ParseUint: parsing \"x\": invalid syntax"),
    ] {
        let request = Request::post(format!("/api/archive/{id}")).body(Body::empty()).unwrap();
        let reply = send(&app, request).await;
        assert_eq!((reply.status.as_u16(), reply.message().as_str()), (status, message));
    }
}

#[tokio::test]
async fn paths_below_api_that_do_not_exist_are_not_the_page() {
    let app = app(Memory::default());
    for path in
        ["/api", "/api/", "/api/none", "/api/traces/1/2", "/api/v3/none", "/api/v3", "/analytics/v1/none"]
    {
        let reply = get(&app, path).await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("content-type")),
            (404, "application/json"),
            "{path}"
        );
        assert_eq!(reply.json()["errors"][0]["code"], 404, "{path}");
    }
    let wrong = send(&app, Request::post("/api/services").body(Body::empty()).unwrap()).await;
    assert_eq!((wrong.status.as_u16(), wrong.json()["errors"][0]["code"].clone()), (405, json!(405)));
    let head = send(&app, Request::head("/api/services").body(Body::empty()).unwrap()).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
}

async fn transform(body: impl Into<Body>) -> crate::client::Reply {
    let request =
        Request::post("/api/transform").header("content-type", "text/plain").body(body.into()).unwrap();
    send(&app(Memory::default()), request).await
}

#[tokio::test]
async fn an_uploaded_file_becomes_traces_in_order_of_arrival_unadjusted() {
    let span = |trace: &str, id: &str| {
        json!({"traceId": trace, "spanId": id, "name": "n", "startTimeUnixNano": "1000",
        "endTimeUnixNano": "3000", "kind": 3, "attributes": [
            {"key": "b", "value": {"intValue": "5"}}, {"key": "a", "value": {"stringValue": "<img onerror=x>"}}]})
    };
    let (two, one) = ("00000000000000000000000000000002", "00000000000000000000000000000001");
    let spans = [span(two, "000000000000000a"), span(one, "000000000000000b"), span(two, "000000000000000c")];
    let file = json!({"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"spans": spans}]}]});
    let reply = transform(file.to_string()).await.json();
    let ids: Vec<_> = reply["data"].as_array().unwrap().iter().map(|t| t["traceID"].clone()).collect();
    assert_eq!(ids, ["0000000000000002", "0000000000000001"]);
    let first = &reply["data"][0];
    assert_eq!(first["spans"].as_array().unwrap().len(), 2);
    assert_eq!(first["processes"]["p1"]["serviceName"], "missing-service-name");
    assert_eq!(
        first["spans"][0]["tags"],
        json!([
        {"key": "b", "type": "int64", "value": 5}, {"key": "a", "type": "string", "value": "<img onerror=x>"},
        {"key": "span.kind", "type": "string", "value": "client"}])
    );
    assert_eq!(transform("{}").await.json()["data"], json!([]));
}

#[tokio::test]
async fn an_upload_that_is_no_otlp_is_refused_whatever_it_is() {
    let nested = format!("{{\"resourceSpans\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for body in ["", "hello", "[]", "{\"resourceSpans\":5}", "\u{0}", &nested] {
        let reply = transform(body.to_owned()).await;
        assert_eq!(reply.status, 400, "{}", &body[..body.len().min(40)]);
        assert!(reply.message().starts_with("cannot unmarshal OTLP : "), "{}", reply.message());
    }
}

#[tokio::test]
async fn deep_dependencies_are_paths_through_the_service_with_an_example() {
    let app = app(Memory { traces: vec![trace(0xa, order(0xa, "o", T0, false))], ..Memory::default() });
    let window = "start=1699999999000000&end=1700000100000000";
    let reply = get(&app, &format!("/analytics/v1/dependencies?service=tracking&{window}")).await.json();
    let paths = reply["dependencies"].as_array().unwrap();
    let services = |path: &Value| -> Vec<String> {
        path["path"].as_array().unwrap().iter().map(|s| s["service"].as_str().unwrap().to_owned()).collect()
    };
    let to_the_customer =
        ["mobile-app", "restaurant-orders", "delivery-assignment", "tracking", "notification"];
    assert!(paths.iter().any(|path| services(path) == to_the_customer), "{paths:?}");
    assert!(paths.iter().all(|path| services(path).contains(&"tracking".to_owned())));
    let example = json!([{"key": "exemplar_trace_id", "value": "000000000000000a"}]);
    assert!(paths.iter().all(|path| path["attributes"] == example));
    let none = get(&app, "/analytics/v1/dependencies?service=nobody&start=0&end=0").await.json();
    assert_eq!(none, json!({"dependencies": []}));
    assert_eq!(get(&app, "/analytics/v1/dependencies").await.status, 400);
}

#[tokio::test]
async fn health_readiness_and_metrics_say_how_the_store_is() {
    let well = app(Memory::default());
    assert_eq!(get(&well, "/health").await.status, 200);
    assert_eq!(get(&well, "/ready").await.json(), json!({"status": "ready"}));
    let ill = app(Memory { ailment: Some("disk full".into()), ..Memory::default() });
    let reply = get(&ill, "/ready").await;
    assert_eq!((reply.status.as_u16(), reply.json()["reason"].clone()), (503, json!("disk full")));
    let metrics = get(&app(Counting), "/metrics").await;
    assert_eq!(metrics.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(metrics.text(), "# HELP spans Spans held.\n# TYPE spans gauge\nspans 3\n");
}

#[tokio::test]
async fn an_address_without_end_is_refused() {
    let reply = get(&app(Memory::default()), &format!("/api/traces?service={}", "a".repeat(40_000))).await;
    assert_eq!(reply.status, 414);
    assert!(reply.message().contains("at most 32768 are read"));
}

#[tokio::test]
async fn replies_are_compressed_for_those_who_take_it() {
    let app = app(Memory { traces: vec![trace(1, order(1, "o", T0, false))], ..Memory::default() });
    let plain = get(&app, "/api/traces/1").await;
    let request =
        Request::get("/api/traces/1").header("accept-encoding", "gzip").body(Body::empty()).unwrap();
    let packed = send(&app, request).await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.body.as_slice()).read_to_string(&mut text).unwrap();
    assert_eq!(text, plain.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_trace_is_streamed_whole() {
    let spans: Vec<_> = (1..=20_000)
        .map(|id| {
            let mut one = span(5, id, id / 2, "work", T0 + id, T0 + id + 10);
            one.attributes = vec![string("text", &"x".repeat(100))];
            one
        })
        .collect();
    let app = app(Memory { traces: vec![trace(5, vec![of_service("s", spans)])], ..Memory::default() });
    let reply = get(&app, "/api/traces/5").await;
    assert_eq!(reply.header("content-length"), "", "it has no length, because it is not held whole");
    assert!(reply.body.len() > 5_000_000);
    assert_eq!(reply.json()["data"][0]["spans"].as_array().unwrap().len(), 20_000);
    let v3 = get(&app, "/api/v3/traces/5").await.json();
    assert_eq!(v3["result"]["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().len(), 20_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_beyond_the_limit_wait_and_those_beyond_the_deadline_are_told() {
    let gate = Arc::new(Gate::default());
    let options = ApiOptions {
        concurrent_queries: 1,
        query_deadline: Duration::from_millis(150),
        ..ApiOptions::default()
    };
    let app = with(Gated(Arc::clone(&gate)), options);
    let slow = get(&app, "/api/traces/1").await;
    assert_eq!(slow.status, 504);
    assert!(slow.message().starts_with("the query took longer than 0.15 s"), "{}", slow.message());
    // The first query still holds the only place.
    let busy = get(&app, "/api/v3/traces/1").await;
    assert_eq!(busy.status, 503);
    assert_eq!(busy.json()["error"]["httpCode"], 503);
    assert_eq!(gate.entered.load(Ordering::SeqCst), 1);
    gate.open();
    let mut last = get(&app, "/api/traces/1").await;
    for _ in 0..20 {
        if last.status == 404 {
            break;
        }
        last = get(&app, "/api/traces/1").await;
    }
    assert_eq!(last.status, 404);
}

struct Counting;

impl Backend for Counting {
    fn trace(&self, _: TraceId) -> Result<Option<Trace>, BackendError> {
        Ok(None)
    }
    fn find(&self, _: &Query) -> Result<Vec<Trace>, BackendError> {
        Ok(vec![])
    }
    fn services(&self) -> Result<Vec<String>, BackendError> {
        Ok(vec![])
    }
    fn operations(&self, _: &str) -> Result<Vec<Operation>, BackendError> {
        Ok(vec![])
    }
    fn dependencies(&self, _: u64, _: u64) -> Result<Vec<Dependency>, BackendError> {
        Ok(vec![])
    }
    fn logs(
        &self,
        _: TraceId,
        _: usize,
    ) -> Result<Vec<opentelemetry_proto::tonic::logs::v1::ResourceLogs>, BackendError> {
        Ok(vec![])
    }
    fn counters(&self) -> Vec<Counter> {
        vec![Counter { name: "spans", help: "Spans held.", kind: "gauge", value: 3.0 }]
    }
}

/// Holds up every look at a trace until it is opened.
#[derive(Default)]
struct Gate {
    entered: AtomicUsize,
    opened: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.opened.lock().unwrap() = true;
        self.changed.notify_all();
    }

    fn pass(&self) {
        self.entered.fetch_add(1, Ordering::SeqCst);
        let opened = self.opened.lock().unwrap();
        drop(self.changed.wait_while(opened, |opened| !*opened).unwrap());
    }
}

struct Gated(Arc<Gate>);

impl Backend for Gated {
    fn trace(&self, _: TraceId) -> Result<Option<Trace>, BackendError> {
        self.0.pass();
        Ok(None)
    }
    fn find(&self, query: &Query) -> Result<Vec<Trace>, BackendError> {
        Counting.find(query)
    }
    fn services(&self) -> Result<Vec<String>, BackendError> {
        Counting.services()
    }
    fn operations(&self, service: &str) -> Result<Vec<Operation>, BackendError> {
        Counting.operations(service)
    }
    fn dependencies(&self, start_ns: u64, end_ns: u64) -> Result<Vec<Dependency>, BackendError> {
        Counting.dependencies(start_ns, end_ns)
    }
    fn logs(
        &self,
        id: TraceId,
        limit: usize,
    ) -> Result<Vec<opentelemetry_proto::tonic::logs::v1::ResourceLogs>, BackendError> {
        Counting.logs(id, limit)
    }
}

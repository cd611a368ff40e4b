//! `GET /logs`.

use axum::body::Body;
use http::Request;
use serde_json::json;

use crate::client::{app, get, send};
use crate::memory::Memory;
use crate::order::logs;

const T0: u64 = 1_700_000_000_000_000_000;

fn memory() -> Memory {
    Memory { logs: logs(0xabc, "o-1", T0), ..Memory::default() }
}

#[tokio::test]
async fn the_records_of_a_trace_come_oldest_first_with_their_service_and_span() {
    let reply = get(&app(memory()), "/logs?trace_id=abc").await;
    assert_eq!(reply.header("content-type"), "application/json");
    let body = reply.json();
    let first = json!({
        "time": "2023-11-14T22:13:20.001Z", "severity": "INFO", "severity_number": 9, "body": "order placed",
        "service": "mobile-app", "scope": "", "trace_id": "00000000000000000000000000000abc",
        "span_id": "0000000000000001", "attributes": {"order.id": "o-1"},
    });
    assert_eq!(body["logs"][0], first);
    let services: Vec<_> = body["logs"].as_array().unwrap().iter().map(|l| l["service"].clone()).collect();
    assert_eq!(services, ["mobile-app", "payment-gateway", "delivery-assignment"]);
    assert_eq!((&body["trace_id"], &body["truncated"]), (&json!("0000000000000abc"), &json!(false)));
}

#[tokio::test]
async fn an_answer_cut_at_its_limit_says_so() {
    let body = get(&app(memory()), "/logs?trace_id=abc&limit=2").await.json();
    assert_eq!((body["logs"].as_array().unwrap().len(), &body["truncated"]), (2, &json!(true)));
}

#[tokio::test]
async fn a_browser_gets_a_page_in_which_text_is_text() {
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let request = Request::get("/logs?trace_id=abc").header("accept", browser).body(Body::empty()).unwrap();
    let reply = send(&app(memory()), request).await;
    assert_eq!(reply.header("content-type"), "text/html; charset=utf-8");
    assert!(reply.header("content-security-policy").starts_with("default-src 'none'"));
    assert!(reply.text().contains("&lt;img src=x onerror=alert(1)&gt;"));
    assert!(!reply.text().contains("<img"));
    for accept in ["*/*", "application/json", "application/json, text/html"] {
        let request =
            Request::get("/logs?trace_id=abc").header("accept", accept).body(Body::empty()).unwrap();
        assert_eq!(
            send(&app(memory()), request).await.header("content-type"),
            "application/json",
            "{accept}"
        );
    }
}

#[tokio::test]
async fn bad_requests_for_logs_are_refused() {
    let app = app(memory());
    for (query, message) in [
        ("", "parameter 'trace_id' is required"),
        (
            "?trace_id=xyz",
            "unable to parse param 'trace_id': strconv.ParseUint: parsing \"xyz\": invalid syntax",
        ),
        ("?trace_id=1&limit=0", "unable to parse param 'limit': must be from 1 to 10000"),
        (
            "?trace_id=1&limit=x",
            "unable to parse param 'limit': strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
    ] {
        let reply = get(&app, &format!("/logs{query}")).await;
        assert_eq!((reply.status.as_u16(), reply.message().as_str()), (400, message));
    }
}

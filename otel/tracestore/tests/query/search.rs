//! `GET /api/traces`: every parameter and every refusal.

use serde_json::json;
use tracestore::model::Query;

use crate::client::{app, get};
use crate::memory::Memory;
use crate::order::order;
use crate::spans::trace;
use std::sync::Arc;
use tracestore::api::{ApiOptions, router};

const T0: u64 = 1_700_000_000_000_000_000;
/// A window that holds the test's traces.
const WINDOW: &str = "start=1699999999000000&end=1700000100000000";

fn memory() -> Memory {
    let traces =
        vec![trace(0xabc, order(0xabc, "o-1", T0, false)), trace(0xdef, order(0xdef, "o-2", T0, true))];
    Memory { traces, ..Memory::default() }
}

async fn ids(query: &str) -> Vec<String> {
    let reply = get(&app(memory()), &format!("/api/traces?{WINDOW}&{query}")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let data = reply.json()["data"].as_array().unwrap().clone();
    data.iter().map(|t| t["traceID"].as_str().unwrap().trim_start_matches('0').to_owned()).collect()
}

/// What the store is asked for.
async fn asked(query: &str) -> Query {
    let memory = Arc::new(memory());
    let app = router(Arc::clone(&memory) as _, ApiOptions::default()).unwrap();
    let reply = get(&app, &format!("/api/traces?{query}")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    memory.asked.lock().unwrap().pop().unwrap()
}

#[tokio::test]
async fn traces_are_found_by_service_operation_tag_error_and_duration() {
    assert_eq!(ids("service=mobile-app").await, ["abc", "def"]);
    assert_eq!(ids("service=notification").await, ["abc"]);
    assert_eq!(ids("service=nobody").await, [""; 0]);
    assert_eq!(ids("service=auth&operation=auth.v1.Auth/Verify").await, ["abc", "def"]);
    assert_eq!(ids("service=mobile-app&tags=%7B%22order.id%22%3A%22o-2%22%7D").await, ["def"]);
    assert_eq!(ids("service=mobile-app&tag=order.id:o-1").await, ["abc"]);
    assert_eq!(ids("service=delivery-assignment&tags=%7B%22error%22%3A%22true%22%7D").await, ["def"]);
    assert_eq!(ids("service=notification&minDuration=45ms&maxDuration=45ms").await, ["abc"]);
    assert_eq!(ids("service=notification&minDuration=1m").await, [""; 0]);
    assert_eq!(ids("service=mobile-app&limit=1").await, ["abc"]);
    assert_eq!(ids("service=mobile-app&maxDuration=-1s").await, [""; 0]);
}

#[tokio::test]
async fn parameters_reach_the_store_in_its_units() {
    let query = asked(
        "service=s&operation=o&start=1&end=2&limit=7&minDuration=1.5ms&maxDuration=2s&view=ddg&lookback=1h",
    )
    .await;
    let expected = Query {
        service: Some("s".into()),
        operation: Some("o".into()),
        tags: vec![],
        start_min_ns: 1_000,
        start_max_ns: 2_000,
        duration_min_ns: 1_500_000,
        duration_max_ns: 2_000_000_000,
        limit: 7,
    };
    assert_eq!(query, expected);
}

#[tokio::test]
async fn empty_parameters_are_as_good_as_none() {
    let query =
        asked("service=s&operation=&start=&end=&limit=&minDuration&maxDuration=&tags=null&raw=").await;
    assert_eq!(
        (query.limit, query.duration_min_ns, query.duration_max_ns, query.operation),
        (100, 0, 0, None)
    );
    let two_days = 48 * 3_600 * 1_000_000_000;
    let window = query.start_max_ns - query.start_min_ns;
    assert!((two_days..two_days + 10_000_000_000).contains(&window), "{window}");
}

#[tokio::test]
async fn the_epoch_is_a_valid_start_and_a_time_before_it_is_the_epoch() {
    assert_eq!(asked("service=s&start=0&end=1").await.start_min_ns, 0);
    assert_eq!(asked("service=s&start=-5&end=9223372036854775807").await.start_max_ns, u64::MAX);
}

#[tokio::test]
async fn a_tag_is_split_at_its_first_colon_and_json_overrides_it() {
    let query = asked("service=s&tag=url:http://x:1&tag=a:1&tags=%7B%22a%22:%222%22,%22b%22:%22%22%7D").await;
    let tags = [("url", "http://x:1"), ("a", "2"), ("b", "")];
    assert_eq!(query.tags, tags.map(|(k, v)| (k.to_owned(), v.to_owned())));
}

#[tokio::test]
async fn hostile_tags_are_only_data() {
    let query = asked("service=s&tag=%3Cimg%20onerror%3Dx%3E:javascript:alert(1)&tag=%27;DROP:%00").await;
    assert_eq!(query.tags[0], ("<img onerror=x>".into(), "javascript:alert(1)".into()));
}

#[tokio::test]
async fn nonsense_is_refused_in_jaegers_words() {
    let app = app(memory());
    let long = "f".repeat(33);
    let too_many = (0..65).map(|n| format!("&tag=k{n}:v")).collect::<String>();
    for (query, message) in [
        ("", "parameter 'service' is required"),
        ("service=", "parameter 'service' is required"),
        (
            "service=s&start=x",
            "unable to parse param 'start': strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
        (
            "service=s&end=1.5",
            "unable to parse param 'end': strconv.ParseInt: parsing \"1.5\": invalid syntax",
        ),
        ("start=x", "unable to parse param 'start': strconv.ParseInt: parsing \"x\": invalid syntax"),
        ("service=s&tag=k", "malformed 'tag' parameter, expecting key:value, received: k"),
        (
            "service=s&tags=%7B%22a%22:1%7D",
            "malformed 'tags' parameter, cannot unmarshal JSON: json: cannot unmarshal number into Go value of type string",
        ),
        ("service=s&limit=x", "strconv.ParseInt: parsing \"x\": invalid syntax"),
        ("service=s&limit=2147483648", "strconv.ParseInt: parsing \"2147483648\": value out of range"),
        (
            "service=s&limit=0",
            "unable to parse param 'limit': search depth must be greater than 0 and at most 1500",
        ),
        (
            "service=s&limit=-1",
            "unable to parse param 'limit': search depth must be greater than 0 and at most 1500",
        ),
        (
            "service=s&limit=1501",
            "unable to parse param 'limit': search depth must be greater than 0 and at most 1500",
        ),
        (
            "service=s&minDuration=20",
            "unable to parse param 'minDuration': time: missing unit in duration \"20\"",
        ),
        (
            "service=s&maxDuration=5x",
            "unable to parse param 'maxDuration': time: unknown unit \"x\" in duration \"5x\"",
        ),
        ("service=s&minDuration=2s&maxDuration=1s", "'maxDuration' should be greater than 'minDuration'"),
        ("service=s&raw=2", "unable to parse param 'raw': strconv.ParseBool: parsing \"2\": invalid syntax"),
        ("traceID=xyz", "cannot parse traceID param: strconv.ParseUint: parsing \"xyz\": invalid syntax"),
        (
            &format!("traceID={long}"),
            &format!("cannot parse traceID param: TraceID cannot be longer than 32 hex characters: {long}"),
        ),
        (&format!("service=s{too_many}"), "too many tags: 65, at most 64 can be searched for at once"),
    ] {
        let reply = get(&app, &format!("/api/traces?{query}")).await;
        assert_eq!((reply.status.as_u16(), reply.message().as_str()), (400, message), "{query}");
        let body = json!({"data": null, "total": 0, "limit": 0, "offset": 0, "errors": [{"code": 400, "msg": message}]});
        assert_eq!(reply.json(), body);
        assert!(reply.text().ends_with("}\n"));
    }
}

#[tokio::test]
async fn several_traces_by_id_come_in_the_order_asked_and_missing_ones_are_named() {
    let app = app(memory());
    let reply = get(&app, "/api/traces?traceID=DEF&traceID=1&traceID=abc&minDuration=1h").await;
    let body = reply.json();
    let ids: Vec<_> = body["data"].as_array().unwrap().iter().map(|t| t["traceID"].clone()).collect();
    assert_eq!(ids, ["0000000000000def", "0000000000000abc"]);
    assert_eq!(body["errors"], json!([{"msg": "trace not found", "traceID": "0000000000000001"}]));
    let none = get(&app, "/api/traces?traceID=1").await;
    assert_eq!((none.status.as_u16(), &none.json()["data"]), (200, &json!([])));
}

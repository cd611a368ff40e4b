//! What every reply has, and what bad requests get.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use axum::{
    Json, Router,
    routing::{get, post},
};
use chassis::{App, Error, Start};
use serde_json::Value;

use crate::support::{service, settings, start};

fn app(_: &Start) -> App {
    let routes = Router::new()
        .route("/echo", post(async |Json(v): Json<Value>| Json(v)))
        .route("/panic", get(async || -> &'static str { panic!("hush-hush") }))
        .route("/secret", get(async || -> Result<(), Error> { Err(Error::internal("hush-hush")) }))
        .route(
            "/closed",
            get(async || -> Result<(), Error> {
                Err(Error::conflict("closed").typed("closed").with("opens", 11))
            }),
        )
        .route(
            "/left",
            get(async || format!("{}", chassis::deadline::remaining().unwrap_or_default().as_millis())),
        )
        .route("/hang", get(async || std::future::pending::<()>().await));
    App::new().http(routes)
}

#[tokio::test]
async fn every_failure_is_a_problem_document_with_the_trace_id() {
    let dir = tempfile::tempdir().unwrap();
    let short = settings(
        dir.path(),
        "a",
        &[("WAYBILL_REQUEST_TIMEOUT", "300ms"), ("WAYBILL_MAX_BODY_BYTES", "2048")],
    );
    let running = start(service("a", app), short).await;
    let client = reqwest::Client::new();
    let url = |path: &str| format!("{}{path}", running.url);
    let big = format!("\"{}\"", "x".repeat(5000));
    let json = |body: &str| {
        client.post(url("/echo")).header("content-type", "application/json").body(body.to_owned())
    };
    let cases = [
        (client.get(url("/nowhere")), 404, "not-found", "/nowhere"),
        (client.get(url("/echo")), 405, "not-allowed", "/echo"),
        (client.post(url("/echo")).body("{}"), 415, "unsupported", "/echo"),
        (json("{"), 400, "invalid", "/echo"),
        (json(&big), 413, "too-large", "/echo"),
        (client.get(url("/panic")), 500, "panic", "/panic"),
        (client.get(url("/secret")), 500, "internal", "/secret"),
        (client.get(url("/closed")), 409, "closed", "/closed"),
        (client.get(url("/hang")), 504, "timeout", "/hang"),
    ];
    let trace = "0af7651916cd43dd8448eb211c80319c";
    for (request, status, slug, path) in cases {
        let request = request.header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"));
        let reply = request.send().await.unwrap();
        assert_eq!(reply.status().as_u16(), status, "{path}");
        assert_eq!(reply.headers()["content-type"], "application/problem+json", "{path}");
        assert_eq!(reply.headers()["x-trace-id"], trace, "{path}");
        assert!(reply.headers().contains_key("server-timing"), "{path}");
        let text = reply.text().await.unwrap();
        assert!(!text.contains("hush-hush"), "{text}");
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(problem["type"], format!("urn:waybill:problem:{slug}"), "{path}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["instance"], path);
        assert_eq!(problem["trace_id"], trace);
        assert!(problem["title"].is_string() && problem["detail"].is_string());
    }
    let problem: Value = client.get(url("/closed")).send().await.unwrap().json().await.unwrap();
    assert_eq!(problem["opens"], 11);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_caller_can_shorten_the_deadline_but_not_lengthen_it() {
    let dir = tempfile::tempdir().unwrap();
    let running =
        start(service("a", app), settings(dir.path(), "a", &[("WAYBILL_REQUEST_TIMEOUT", "5s")])).await;
    let client = reqwest::Client::new();
    let left = async |asked: &str| -> u64 {
        let reply =
            client.get(format!("{}/left", running.url)).header("x-deadline-ms", asked).send().await.unwrap();
        reply.text().await.unwrap().parse().unwrap()
    };
    assert!(left("1500").await <= 1500);
    let long = left("600000").await;
    assert!(long > 1500 && long <= 5000, "{long}");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_client_that_sends_nothing_or_half_a_request_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let quick = [("WAYBILL_HEADER_TIMEOUT", "200ms"), ("WAYBILL_REQUEST_TIMEOUT", "300ms")];
    let running = start(service("a", app), settings(dir.path(), "a", &quick)).await;
    let address = running.address;
    let talk = move |text: &'static str| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        match stream.read_to_string(&mut answer) {
            Err(e) if e.kind() != std::io::ErrorKind::ConnectionReset => Err(e),
            _ => Ok(answer),
        }
    };
    let body = "POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    for (text, begins) in [("", ""), ("PRI * HT", ""), ("GET / HTTP/1.1\r\nho", ""), (body, "HTTP/1.1 408")] {
        let answer = tokio::task::spawn_blocking(move || talk(text)).await.unwrap();
        let answer = answer.unwrap_or_else(|e| panic!("{text:?}: {e}"));
        assert!(answer.starts_with(begins), "{text:?} got {answer:?}");
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn live_and_ready_answer_and_readiness_ends_with_the_drain() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(service("a", app), settings(dir.path(), "a", &[])).await;
    for path in ["/livez", "/readyz"] {
        let reply = reqwest::get(format!("{}{path}", running.url)).await.unwrap();
        assert_eq!(reply.status(), 200, "{path}");
    }
    let url = running.url.clone();
    running.stop().await.unwrap();
    assert!(reqwest::get(format!("{url}/livez")).await.is_err());
}

#[tokio::test]
async fn bad_settings_are_told_together_and_nothing_is_bound() {
    let bad =
        [("WAYBILL_REQUEST_TIMEOUT", "30"), ("WAYBILL_MAX_REQUESTS", "0"), ("DATABASE_URL", "mysql://x")];
    let dir = tempfile::tempdir().unwrap();
    let bad = settings(dir.path(), "a", &bad);
    let text = chassis::start(service("a", app), bad).await.expect_err("three bad settings").to_string();
    for name in ["WAYBILL_REQUEST_TIMEOUT", "WAYBILL_MAX_REQUESTS", "DATABASE_URL"] {
        assert!(text.contains(name), "{name} missing in {text}");
    }
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let outcome =
        chassis::start(service("a", app), settings(dir.path(), "a", &[("WAYBILL_LISTEN", &address)])).await;
    assert!(outcome.expect_err("the port is taken").to_string().contains(&address));
}

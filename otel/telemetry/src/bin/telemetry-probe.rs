//! A tiny program with telemetry, to see what a receiver gets of it under which `OTEL_*`; the tests run it as a process of
//! its own, because init is once a process.
//!
//! `telemetry-probe SCENARIO [N]`; prints `stats {…}` on standard error at the end, exits 2 when telemetry does not start.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program")]

use std::process::ExitCode;
use std::time::Duration;
use telemetry::context::{self, Attribute};
use telemetry::messaging::{self, Message};
use telemetry::{Guard, Service};

const SERVICE: Service = Service::new("probe", "1.2.3")
    .namespace("tests")
    .criticality("low")
    .environment("ci")
    .baggage(&[("order.id", "order.id"), ("synthetic", "user_agent.synthetic.type")]);

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let scenario = args.next().unwrap_or_default();
    let number = args.next().and_then(|n| n.parse().ok()).unwrap_or(1);
    let guard = match telemetry::init(SERVICE) {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    run(&scenario, number, guard);
    eprintln!("stats {:?}", telemetry::stats());
    ExitCode::SUCCESS
}

fn run(scenario: &str, number: usize, guard: Guard) {
    let single = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    match scenario {
        // everything once, then an orderly end
        "order" => single().expect("a runtime").block_on(async {
            order(number).await;
            guard.shutdown(Duration::from_secs(5)).await;
        }),
        // as many spans as the machine can make, then an orderly end
        "burst" => {
            (0..number).for_each(|i| {
                drop(tracing::info_span!("burst.span", i = i64::try_from(i).unwrap_or(0)).entered())
            });
            drop(guard);
        }
        // spans at a steady pace, so that an outage of the receiver falls between them
        "trickle" => single().expect("a runtime").block_on(async {
            for i in 0..number {
                drop(tracing::info_span!("trickle.span", i = i64::try_from(i).unwrap_or(0)).entered());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            guard.shutdown(Duration::from_secs(8)).await;
        }),
        "logs" => {
            (0..number).for_each(|i| tracing::info!(i, text = "x".repeat(40), "a line"));
            drop(guard);
        }
        "return" => {
            drop(tracing::info_span!("left.behind").entered());
            drop(guard);
        }
        "panic" => {
            let _guard = guard;
            drop(tracing::info_span!("left.behind").entered());
            panic!("on purpose");
        }
        // shut down from inside a worker of a runtime that has only one
        "one-worker" => {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let task = context::spawn(async move {
                    drop(tracing::info_span!("left.behind").entered());
                    guard.shutdown(Duration::from_secs(5)).await
                });
                assert!(task.await.unwrap_or(false), "not flushed");
            });
        }
        // dropped inside a single-threaded runtime
        "dropped-inside" => single().expect("a runtime").block_on(async {
            drop(tracing::info_span!("left.behind").entered());
            drop(guard);
        }),
        // the context of a caller, passed through a server and a client
        "pass" => single().expect("a runtime").block_on(async {
            println!("{}", pass().await);
            guard.shutdown(Duration::from_secs(5)).await;
        }),
        other => panic!("no scenario {other}"),
    }
}

async fn order(number: usize) {
    let scope = context::root().with_baggage("order.id", "o-1").with_baggage("synthetic", "test");
    scope
        .run(async {
            let span = tracing::info_span!(
                "order.place",
                items = 2_i64,
                long = "0123456789",
                note = tracing::field::Empty
            );
            for i in 0..number {
                let inner = span.clone();
                tracing::Instrument::instrument(
                    async move {
                        inner.record("note", "first");
                        inner.record("note", "last");
                        tracing::info!(position = i, long = "0123456789", "order placed");
                        tracing::debug!("a detail");
                        for attribute in 0..3 {
                            context::set_attribute(
                                ["extra.a", "extra.b", "extra.c"][attribute],
                                "0123456789",
                            );
                        }
                        let created =
                            messaging::create(&Message::new("order.accepted", "m-1").conversation("o-1"));
                        let attributes =
                            (0..3).map(|n| Attribute::new(["k.a", "k.b", "k.c"][n], "v")).collect();
                        context::link(&created, attributes);
                    },
                    span.clone(),
                )
                .await;
            }
        })
        .await;
    let app: axum::Router = axum::Router::new()
        .route("/orders/{id}", axum::routing::get(|| async { "an order" }))
        .layer(telemetry::http::ServerLayer::new());
    let request = http::Request::get("/orders/7").body(axum::body::Body::empty()).expect("a request");
    let response = tower::ServiceExt::oneshot(app, request).await.expect("a response");
    let _ = axum::body::to_bytes(response.into_body(), 1 << 20).await;
}

/// The headers that a downstream service gets when `PROBE_TRACEPARENT` and baggage come in.
async fn pass() -> String {
    let handler = || async {
        let mut headers = http::HeaderMap::new();
        context::inject(&mut headers, true);
        format!("{:?} {:?}", headers.get("traceparent"), headers.get("baggage"))
    };
    let app: axum::Router = axum::Router::new()
        .route("/", axum::routing::get(handler))
        .layer(telemetry::http::ServerLayer::new());
    let request = http::Request::get("/")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .header("baggage", "order.id=o-9")
        .body(axum::body::Body::empty())
        .expect("a request");
    let response = tower::ServiceExt::oneshot(app, request).await.expect("a response");
    let trace = response.headers().get("x-trace-id").and_then(|v| v.to_str().ok()).unwrap_or("-").to_owned();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap_or_default();
    format!("x-trace-id={trace} {}", String::from_utf8_lossy(&body))
}

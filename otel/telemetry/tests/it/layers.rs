//! HTTP and messages, by the spans that a receiver gets: names, types, status, cancellation, propagation.

use crate::receiver::attribute;
use crate::trace::{Trace, find, get_of, has, hex, shared, status};
use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use telemetry::messaging::{self, Message};
use telemetry::{context, http as traced};
use tower::ServiceExt as _;

pub(crate) fn app(layer: traced::ServerLayer) -> Router {
    Router::new()
        .route("/orders/{id}", get(|| async { "an order" }))
        .route("/broken", get(|| async { StatusCode::SERVICE_UNAVAILABLE }))
        .route("/missing", get(|| async { StatusCode::NOT_FOUND }))
        .route("/baggage", get(|| async { context::baggage("order.id").unwrap_or_default() }))
        .route("/hang", get(|| async { std::future::pending::<()>().await }))
        .route("/panics", get(|| async { panic!("on purpose") as () }))
        .layer(tower_http::catch_panic::CatchPanicLayer::new())
        .layer(layer)
}

async fn ask(app: Router, request: http::request::Builder) -> http::Response<axum::body::Bytes> {
    let response = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    http::Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

pub(crate) async fn listen(app: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

#[tokio::test]
async fn a_server_span_follows_the_http_conventions_to_the_letter() {
    let trace = Trace::new();
    let address = listen(app(traced::ServerLayer::new())).await;
    let url = format!("http://{address}/orders/7?x=1&token=hush");
    #[allow(clippy::disallowed_methods, reason = "a client that is not ours")]
    let client = reqwest::Client::new();
    let reply =
        client.get(url).header("traceparent", trace.parent()).header("user-agent", "tester/1").send().await;
    let reply = reply.unwrap();
    let server_timing = reply.headers()["server-timing"].to_str().unwrap().to_owned();
    assert_eq!(reply.headers()["x-trace-id"], trace.id.as_str());
    assert_eq!(reply.headers()["access-control-expose-headers"], "server-timing, x-trace-id");
    assert!(!reply.headers().contains_key("traceparent") && !reply.headers().contains_key("baggage"));
    reply.bytes().await.unwrap();
    let span = trace.only().await;
    assert_eq!(server_timing, format!("trace;desc=00-{}-{}-01", trace.id, hex(&span.span_id)));
    assert_eq!(span.name, "GET /orders/{id}");
    assert_eq!(span.kind, SpanKind::Server as i32);
    assert_eq!(hex(&span.parent_span_id), "00000000000000aa");
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "int:200"),
        ("http.route", "/orders/{id}"),
        ("url.path", "/orders/7"),
        ("url.query", "x=1&token=REDACTED"),
        ("url.scheme", "http"),
        ("server.address", "127.0.0.1"),
        ("client.address", "127.0.0.1"),
        ("network.protocol.version", "1.1"),
        ("user_agent.original", "tester/1"),
    ] {
        assert_eq!(get_of(&span, key), value, "{key}");
    }
    assert_eq!(get_of(&span, "server.port"), format!("int:{}", address.port()));
    assert!(!has(&span, "error.type"));
    assert_eq!(status(&span), 0);
}

#[tokio::test]
async fn only_5xx_is_an_error_on_a_server() {
    for (path, code, failed) in [("/missing", 404, false), ("/broken", 503, true), ("/nowhere", 404, false)] {
        let trace = Trace::new();
        let reply = ask(app(traced::ServerLayer::new()), trace.request(Method::GET, path)).await;
        assert_eq!(reply.headers()["x-trace-id"], trace.id.as_str(), "{path}");
        let span = trace.only().await;
        assert_eq!(get_of(&span, "http.response.status_code"), format!("int:{code}"));
        assert_eq!(status(&span), if failed { 2 } else { 0 }, "{path}");
        assert_eq!(has(&span, "error.type"), failed);
        let name = if path == "/nowhere" { "GET".to_owned() } else { format!("GET {path}") };
        assert_eq!(span.name, name);
    }
}

#[tokio::test]
async fn a_panic_caught_further_in_and_a_time_out_carry_the_trace_id_too() {
    let slow = Router::new().route("/slow", get(|| async { std::future::pending::<()>().await })).layer(
        tower_http::timeout::TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            Duration::from_millis(20),
        ),
    );
    let app = app(traced::ServerLayer::new()).merge(slow.layer(traced::ServerLayer::new()));
    for (path, code) in [("/panics", 500), ("/slow", 504)] {
        let trace = Trace::new();
        let reply = ask(app.clone(), trace.request(Method::GET, path)).await;
        assert_eq!(reply.status(), code);
        assert_eq!(reply.headers()["x-trace-id"], trace.id.as_str());
        assert_eq!(get_of(&trace.only().await, "error.type"), code.to_string());
    }
}

#[tokio::test]
async fn an_unknown_method_is_other_and_keeps_its_original() {
    let trace = Trace::new();
    let method = Method::from_bytes(b"BREW").unwrap();
    ask(app(traced::ServerLayer::new()), trace.request(method, "/orders/7")).await;
    let span = trace.only().await;
    assert_eq!(span.name, "HTTP /orders/{id}");
    assert_eq!(get_of(&span, "http.request.method"), "_OTHER");
    assert_eq!(get_of(&span, "http.request.method_original"), "BREW");
}

#[tokio::test]
async fn a_cancelled_request_is_visible() {
    let trace = Trace::new();
    let request = trace.request(Method::GET, "/hang").body(Body::empty()).unwrap();
    let call = app(traced::ServerLayer::new()).oneshot(request);
    assert!(tokio::time::timeout(Duration::from_millis(50), call).await.is_err());
    let span = trace.only().await;
    assert_eq!(get_of(&span, "error.type"), "cancelled");
    assert_eq!(status(&span), 2);
}

#[tokio::test]
async fn a_span_ends_with_the_body_and_not_with_the_headers() {
    let trace = Trace::new();
    let (sender, chunks) = tokio::sync::mpsc::channel::<Result<&'static str, std::io::Error>>(4);
    let body =
        Arc::new(Mutex::new(Some(Body::from_stream(futures::stream::unfold(chunks, |mut chunks| async {
            let chunk = chunks.recv().await?;
            Some((chunk, chunks))
        })))));
    let app = Router::new()
        .route(
            "/stream",
            get(move || std::future::ready(body.lock().unwrap().take().unwrap().into_response())),
        )
        .layer(traced::ServerLayer::new());
    let response =
        app.oneshot(trace.request(Method::GET, "/stream").body(Body::empty()).unwrap()).await.unwrap();
    sender.send(Ok("one")).await.unwrap();
    assert!(shared().guard.lock().unwrap().flush(Duration::from_secs(5)));
    assert!(shared().receiver.spans().iter().all(|span| hex(&span.trace_id) != trace.id), "ended too early");
    sender.send(Err(std::io::Error::other("torn"))).await.unwrap();
    assert!(response.into_body().collect().await.is_err());
    let span = trace.only().await;
    assert_eq!(get_of(&span, "http.response.status_code"), "int:200");
    assert_eq!((get_of(&span, "error.type").as_str(), status(&span)), ("body_error", 2));
}

#[tokio::test]
async fn a_reader_that_leaves_an_event_stream_is_no_error() {
    let trace = Trace::new();
    let events = || async {
        let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>("data: x\n\n"));
        ([("content-type", "text/event-stream")], Body::from_stream(endless)).into_response()
    };
    let app = Router::new().route("/events", get(events)).layer(traced::ServerLayer::new());
    let response =
        app.oneshot(trace.request(Method::GET, "/events").body(Body::empty()).unwrap()).await.unwrap();
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    let span = trace.only().await;
    assert_eq!(status(&span), 0);
    assert_eq!(get_of(&span, "http.response.status_code"), "int:200");
}

#[tokio::test]
async fn the_front_door_takes_a_strangers_trace_but_not_their_baggage() {
    for (layer, expected) in [(traced::ServerLayer::new(), "o-1"), (traced::ServerLayer::front_door(), "")] {
        let trace = Trace::new();
        let reply =
            ask(app(layer), trace.request(Method::GET, "/baggage").header("baggage", "order.id=o-1")).await;
        assert_eq!(reply.body(), expected);
        assert_eq!(has(&trace.only().await, "order.id"), !expected.is_empty());
    }
}

#[tokio::test]
async fn a_deferred_server_span_takes_the_stored_context_as_parent_and_links_a_stranger() {
    let (cart, stranger) = (Trace::new(), Trace::new());
    let stored = cart.stored();
    let place = move || {
        let stored = stored.clone();
        let inside = async {
            drop(tracing::info_span!("order.place").entered());
            context::trace_id().unwrap()
        };
        async move { traced::continue_trace(&stored).run(inside).await }
    };
    let layer = traced::ServerLayer::front_door().deferred(Method::POST, "/orders");
    let app = Router::new().route("/orders", post(place)).layer(layer);
    let reply = ask(app.clone(), stranger.request(Method::POST, "/orders")).await;
    assert_eq!(reply.headers()["x-trace-id"], cart.id.as_str());
    assert_eq!(reply.body(), &cart.id);
    let spans = cart.spans(2).await;
    let server = find(&spans, "POST /orders");
    assert_eq!(hex(&server.parent_span_id), "00000000000000aa");
    assert_eq!(hex(&server.links[0].trace_id), stranger.id);
    assert_eq!(find(&spans, "order.place").parent_span_id, server.span_id);
}

#[tokio::test]
async fn a_deferred_server_span_prefers_a_caller_of_the_same_trace_and_falls_back_to_the_caller() {
    let cart = Trace::new();
    let stored = context::StoredContext {
        traceparent: format!("00-{}-00000000000000bb-01", cart.id),
        ..Default::default()
    };
    let layer = || traced::ServerLayer::front_door().deferred(Method::POST, "/orders");
    let place = move || {
        let stored = stored.clone();
        async move { traced::continue_trace(&stored).run(async {}).await }
    };
    ask(Router::new().route("/orders", post(place)).layer(layer()), cart.request(Method::POST, "/orders"))
        .await;
    let span = cart.only().await;
    assert_eq!((hex(&span.parent_span_id).as_str(), span.links.len()), ("00000000000000aa", 0));

    let never = Trace::new();
    let app = Router::new().route("/orders", post(|| async { StatusCode::BAD_REQUEST })).layer(layer());
    let reply = ask(app, never.request(Method::POST, "/orders")).await;
    assert_eq!(reply.headers()["x-trace-id"], never.id.as_str());
    assert_eq!(hex(&never.only().await.parent_span_id), "00000000000000aa");
}

#[tokio::test]
async fn messages_have_the_shape_of_the_design() {
    let trace = Trace::new();
    let stored = trace.stored();
    let message = Message::new("order.accepted", "m-1").conversation("o-1").consumer_group("delivery");
    context::root()
        .with_parent(&stored)
        .run(async {
            let created = messaging::create(&message);
            let sent = async { Ok::<_, String>(context::traceparent().unwrap()) };
            let transport = messaging::send(&message, &created, sent).await.unwrap();
            let arrived = context::StoredContext { traceparent: transport, ..Default::default() };
            let work = async {
                context::accept(
                    "delivery-assignment",
                    vec![context::Attribute::new("order.step", "delivery-assignment")],
                );
                messaging::settle(&message, async { Ok::<_, String>(()) }).await
            };
            let twice = message.clone().delivery(2);
            context::root()
                .with_parent(&arrived)
                .run(messaging::process(&twice, &created, work))
                .await
                .unwrap();
            let broken = async { Err::<(), _>("no courier") };
            assert!(messaging::process(&message.clone().delivery(3), &created, broken).await.is_err());
        })
        .await;
    let spans = trace.spans(6).await;
    let create = find(&spans, "create order.accepted");
    let send = find(&spans, "send order.accepted");
    let process = spans
        .iter()
        .find(|s| attribute(&s.attributes, messaging::DELIVERY_ATTEMPT) == Some("int:2".into()))
        .unwrap();
    let settle = find(&spans, "settle order.accepted");
    assert_eq!(create.kind, SpanKind::Producer as i32);
    assert_eq!((send.kind, &send.parent_span_id), (SpanKind::Client as i32, &create.span_id));
    assert_eq!((process.kind, &process.parent_span_id), (SpanKind::Consumer as i32, &create.span_id));
    assert_eq!(process.links[0].span_id, create.span_id);
    assert_eq!((settle.kind, &settle.parent_span_id), (SpanKind::Client as i32, &process.span_id));
    assert_eq!(find(&spans, "accept delivery-assignment").parent_span_id, create.span_id);
    for (key, value) in [
        ("messaging.system", "cloudevents"),
        ("messaging.destination.name", "order.accepted"),
        ("messaging.operation.name", "process"),
        ("messaging.operation.type", "process"),
        ("messaging.message.id", "m-1"),
        ("messaging.message.conversation_id", "o-1"),
        ("messaging.consumer.group.name", "delivery"),
    ] {
        assert_eq!(get_of(process, key), value);
    }
    let failed = spans.iter().find(|s| status(s) == 2).unwrap();
    assert_eq!(failed.status.as_ref().unwrap().message, "no courier");
    assert!(has(failed, "error.type"));
}

#[tokio::test]
async fn spawned_work_stays_in_the_trace() {
    let trace = Trace::new();
    let scope = context::root().with_parent(&trace.stored());
    let task = {
        let _entered = scope.enter();
        context::spawn(async { drop(tracing::info_span!("work.later").entered()) })
    };
    task.await.unwrap();
    assert_eq!(hex(&trace.only().await.parent_span_id), "00000000000000aa");
}

#[tokio::test]
async fn request_durations_are_measured_with_the_advised_buckets() {
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    let trace = Trace::new();
    ask(app(traced::ServerLayer::new()), trace.request(Method::GET, "/broken")).await;
    trace.only().await;
    let got = shared().receiver.got.lock().unwrap();
    let metrics = got
        .metrics
        .iter()
        .flat_map(|r| &r.resource_metrics)
        .flat_map(|r| &r.scope_metrics)
        .flat_map(|s| &s.metrics);
    let all: Vec<_> = metrics.collect();
    let metric = all.iter().rev().find(|m| m.name == "http.server.request.duration").unwrap();
    assert_eq!(metric.unit, "s");
    let Some(Data::Histogram(histogram)) = &metric.data else { panic!("not a histogram") };
    let broken = |p: &&opentelemetry_proto::tonic::metrics::v1::HistogramDataPoint| {
        attribute(&p.attributes, "http.route").as_deref() == Some("/broken")
    };
    let point = histogram.data_points.iter().find(broken).unwrap();
    assert_eq!(point.explicit_bounds[0], 0.005);
    assert_eq!(point.explicit_bounds.len(), 14);
    assert_eq!(attribute(&point.attributes, "http.response.status_code").as_deref(), Some("int:503"));
    assert_eq!(attribute(&point.attributes, "error.type").as_deref(), Some("503"));
    assert!(attribute(&point.attributes, "url.path").is_none(), "cardinality");
    assert!(all.iter().any(|m| m.name == "otel.sdk.exporter.span.exported"));
}

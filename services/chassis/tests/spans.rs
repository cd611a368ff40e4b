//! The spans of a message, as an OTLP receiver gets them: one trace from the request to the work and back.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use chassis::{App, Error, Kind, Message, Service, Settings, Start, Traced};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value,
    trace::v1::{Span, span::SpanKind, status::StatusCode as SpanStatus},
};
use prost::Message as _;
use telemetry::context::Attribute;

type Spans = Arc<Mutex<Vec<Span>>>;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

async fn receiver() -> (Spans, String) {
    let spans = Spans::default();
    let take = async |State(spans): State<Spans>, body: Bytes| {
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        let scopes = request.resource_spans.into_iter().flat_map(|r| r.scope_spans);
        spans.lock().unwrap().extend(scopes.flat_map(|s| s.spans));
        StatusCode::OK
    };
    let routes = Router::new().route("/v1/traces", post(take)).with_state(spans.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (spans, url)
}

fn sender(start: &Start) -> App {
    start.subscribe("order.accepted", "delivery-assignment");
    let (bus, database) = (start.bus.clone(), start.database.clone());
    let publish = move || {
        let (bus, database) = (bus.clone(), database.clone());
        async move {
            let mut tx = database.begin().await?;
            bus.publish(&mut tx, "order.accepted", "o-1", &serde_json::json!({})).await?;
            tx.commit().await?;
            Ok::<_, Error>(())
        }
    };
    App::new().http(Router::new().route("/orders", post(publish)))
}

static TRIES: AtomicU32 = AtomicU32::new(0);

fn worker(start: &Start) -> App {
    let database = start.database.clone();
    App::new().on("order.accepted", move |_: Message<serde_json::Value>| {
        let database = database.clone();
        async move {
            telemetry::context::accept(
                "delivery-assignment",
                vec![Attribute::new("order.step", "delivery-assignment")],
            );
            let mut tx = database.begin().await?;
            sqlx::query("SELECT 1").execute(&mut *tx).traced("SELECT nothing").await?;
            match TRIES.fetch_add(1, Ordering::SeqCst) {
                0 => Err(Error::new(Kind::Unavailable, "not now").typed("courier_timeout")),
                _ => Ok(()),
            }
        }
    })
}

fn text(span: &Span, key: &str) -> String {
    let value = span.attributes.iter().find(|a| a.key == key).and_then(|a| a.value.clone()?.value);
    match value {
        Some(Value::StringValue(s)) => s,
        Some(Value::IntValue(n)) => n.to_string(),
        other => format!("{other:?}"),
    }
}

fn id(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_one_trace_with_numbered_deliveries() {
    let (spans, url) = receiver().await;
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_METRICS_EXPORTER", "none"),
        ("OTEL_LOGS_EXPORTER", "none"),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ];
    let observed = telemetry::Service::new("test", "0").baggage(&[("order.id", "order.id")]);
    let guard = telemetry::init_with(observed, &env.into_iter().collect()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let settings = |name: &str, more: &str| {
        let database = format!("sqlite://{}/{name}.db", dir.path().display());
        Settings::from_pairs([
            ("WAYBILL_LISTEN", "127.0.0.1:0"),
            ("DATABASE_URL", &database),
            ("DELIVERY_ASSIGNMENT_URL", more),
            ("WAYBILL_DATABASE_SPANS_FROM", "1us"),
        ])
    };
    let service = |name, app| Service { name, version: "0", default_port: 0, app };
    let working = chassis::start(service("delivery-assignment", worker), settings("w", "")).await.unwrap();
    let sending =
        chassis::start(service("restaurant-orders", sender), settings("s", &working.url)).await.unwrap();

    let call = reqwest::Client::new().post(format!("{}/orders", sending.url));
    let reply = call.header("traceparent", format!("00-{TRACE}-{CALLER}-01")).send().await.unwrap();
    assert_eq!(reply.headers()["x-trace-id"], TRACE);
    reqwest::get(format!("{}/livez", sending.url)).await.unwrap();
    for _ in 0..400 {
        if TRIES.load(Ordering::SeqCst) == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    sending.stop().await.unwrap();
    working.stop().await.unwrap();
    assert!(guard.shutdown(Duration::from_secs(10)).await, "not all spans left");

    let spans = spans.lock().unwrap().clone();
    let outline: Vec<_> =
        spans.iter().map(|s| (s.name.as_str(), id(&s.span_id), id(&s.parent_span_id))).collect();
    let all = |name: &str| -> Vec<Span> { spans.iter().filter(|s| s.name == name).cloned().collect() };
    let one = |name: &str| -> Span {
        let found = all(name);
        assert_eq!(found.len(), 1, "{name} in {outline:?}");
        found.into_iter().next().unwrap()
    };
    let of_order: Vec<_> = spans.iter().filter(|s| id(&s.trace_id) == TRACE).collect();
    assert_eq!(of_order.len(), spans.len(), "spans outside of the order's trace: {outline:?}");

    let (server, create, send, post) =
        (one("POST /orders"), one("create order.accepted"), one("send order.accepted"), one("POST /events"));
    assert_eq!(id(&server.parent_span_id), CALLER);
    assert_eq!(create.parent_span_id, server.span_id);
    assert_eq!((create.kind(), send.kind()), (SpanKind::Producer, SpanKind::Client));
    assert_eq!(send.parent_span_id, create.span_id);
    assert_eq!(post.parent_span_id, send.span_id);
    let mut processed = all("process order.accepted");
    processed.sort_by_key(|s| s.start_time_unix_nano);
    assert_eq!(processed.len(), 2, "{outline:?}");
    for (n, span) in processed.iter().enumerate() {
        assert_eq!(span.kind(), SpanKind::Consumer);
        assert_eq!(span.parent_span_id, create.span_id);
        assert_eq!(span.links.len(), 1);
        assert_eq!(span.links[0].span_id, create.span_id);
        assert_eq!(text(span, "handoff.delivery_attempt"), (n + 1).to_string());
        assert_eq!(text(span, "messaging.message.id"), text(&create, "messaging.message.id"));
        assert_eq!(text(span, "messaging.consumer.group.name"), "delivery-assignment");
    }
    assert_eq!(processed[0].status.clone().unwrap_or_default().code(), SpanStatus::Error);
    assert_eq!(text(&processed[0], "error.type"), "courier_timeout");
    assert_eq!(processed[1].status.clone().unwrap_or_default().code(), SpanStatus::Unset);
    let settled = all("settle order.accepted");
    assert!(
        settled.len() == 2 && settled.iter().all(|s| processed.iter().any(|p| p.span_id == s.parent_span_id))
    );
    let receipts = all("accept delivery-assignment");
    assert!(
        receipts.len() == 2 && receipts.iter().all(|s| s.parent_span_id == create.span_id),
        "{outline:?}"
    );
    let query = all("SELECT nothing");
    assert_eq!((query.len(), query[0].kind()), (2, SpanKind::Client));
    assert_eq!(text(&query[0], "db.system.name"), "sqlite");
    assert_eq!(text(&query[0], "db.operation.name"), "SELECT");
    for span in spans.iter().filter(|s| s.name != "POST /orders" && s.name != "BEGIN") {
        let ids = span.attributes.iter().filter(|a| a.key == "order.id").count();
        let in_request = span.parent_span_id == server.span_id;
        assert!(ids == 1 || (in_request && ids == 0), "{} has order.id {ids} times", span.name);
    }
}

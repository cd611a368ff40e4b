//! An OTLP receiver for the spans of this test process, on a thread of its own that outlives every test.

use std::sync::{LazyLock, Mutex, PoisonError, mpsc};

use axum::{Router, body::Bytes, http::StatusCode, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message;

static SPANS: Mutex<Vec<Span>> = Mutex::new(Vec::new());
static STARTED: LazyLock<telemetry::Guard> = LazyLock::new(start);

/// Turns telemetry on, once for the whole test process.
pub(crate) fn on() {
    LazyLock::force(&STARTED);
}

fn start() -> telemetry::Guard {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            let app = Router::new().route("/v1/traces", post(take));
            axum::serve(listener, app).await.unwrap();
        });
    });
    let endpoint = format!("http://{}", told.recv().unwrap());
    let pairs = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "65536"),
        ("OTEL_LOGS_EXPORTER", "none"),
        ("OTEL_METRICS_EXPORTER", "none"),
    ];
    let env = pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    const BAGGAGE: &[(&str, &str)] = &[("order.id", "order.id"), ("synthetic", "user_agent.synthetic.type")];
    telemetry::init_with(telemetry::Service::new("street", "0").baggage(BAGGAGE), &env).unwrap()
}

async fn take(body: Bytes) -> StatusCode {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let spans = request.resource_spans.into_iter().flat_map(|r| r.scope_spans).flat_map(|s| s.spans);
    SPANS.lock().unwrap_or_else(PoisonError::into_inner).extend(spans);
    StatusCode::OK
}

/// The spans of a trace so far.
pub(crate) fn trace(id: &str) -> Vec<Span> {
    let spans = SPANS.lock().unwrap_or_else(PoisonError::into_inner);
    spans.iter().filter(|s| hex(&s.trace_id) == id).cloned().collect()
}

/// Waits until the trace holds a span of each name.
pub(crate) async fn trace_with(id: &str, names: &[&str]) -> Vec<Span> {
    super::street::eventually("the spans arrive", async || {
        let spans = trace(id);
        names.iter().all(|name| spans.iter().any(|s| s.name == *name)).then_some(spans)
    })
    .await
}

pub(crate) fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let names: Vec<_> = spans.iter().map(|s| &s.name).collect();
    spans.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("no {name} in {names:?}"))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub(crate) fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    match attributes.iter().find(|a| a.key == key)?.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(n) => Some(n.to_string()),
        _ => None,
    }
}

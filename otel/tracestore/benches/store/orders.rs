//! Made-up food orders: traces of 24 spans over eight services, about 424 bytes a span, as in the project's anchors.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

/// Spans of one order.
pub(crate) const SPANS: u64 = 24;
/// Orders in one request: 504 spans.
pub(crate) const ORDERS: u64 = 21;
/// When the first order was placed, Unix nanoseconds; one a millisecond follows.
pub(crate) const EPOCH: u64 = 1_790_000_000_000_000_000;
/// Every hundredth order fails at delivery-assignment.
pub(crate) const FAILS: u64 = 100;

const SERVICES: [&str; 8] = [
    "mobile-app",
    "auth",
    "restaurant-availability",
    "payment-gateway",
    "restaurant-orders",
    "delivery-assignment",
    "tracking",
    "notification",
];

/// A scrambled number, the same for the same order.
pub(crate) fn mix(n: u64) -> u64 {
    let mut x = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The order's trace id.
pub(crate) fn trace_id(order: u64) -> [u8; 16] {
    (u128::from(mix(order)) << 64 | u128::from(mix(order ^ 0xffff))).to_be_bytes()
}

/// The order's `order.id`.
pub(crate) fn order_id(order: u64) -> String {
    format!("ord-{:016x}", mix(order ^ 0xabcd))
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    with(key, Value::StringValue(value.into()))
}

fn int(key: &str, value: u64) -> KeyValue {
    with(key, Value::IntValue(value.cast_signed()))
}

fn with(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn resource(service: &str) -> Resource {
    let attributes = vec![
        text("service.name", service),
        text("service.namespace", "waybill"),
        text("service.version", "0.1.0"),
        text(
            "service.instance.id",
            format!("7f6c1a52-8a39-4f04-9f5e-{:012x}", mix(service.len() as u64) >> 16),
        ),
        text("deployment.environment.name", "bench"),
        text("service.criticality", "high"),
        text("host.name", "kitchen-1"),
        text("telemetry.sdk.language", "rust"),
        text("telemetry.sdk.name", "opentelemetry"),
        text("telemetry.sdk.version", "0.33.1"),
    ];
    Resource { attributes, ..Default::default() }
}

fn span(order: u64, service: usize, step: u64) -> Span {
    let number = service as u64 * 3 + step;
    let noise = mix(order.wrapping_mul(31) + number);
    let start = EPOCH + order * 1_000_000 + number * 40_000;
    let failed = service == 5 && step == 2 && order.is_multiple_of(FAILS);
    let mut attributes = vec![
        text("order.id", order_id(order)),
        text("order.step", SERVICES[service]),
        text("http.request.method", if step == 0 { "POST" } else { "GET" }),
        text("http.route", format!("/{}/{step}", SERVICES[service])),
        int("http.response.status_code", if failed { 504 } else { 200 }),
        text("url.path", format!("/{}/{}", SERVICES[service], noise % 500)),
        text("network.peer.address", "127.0.0.1"),
        int("network.peer.port", 40_000 + noise % 20_000),
        text("restaurant.id", format!("r-{}", mix(order) % 200)),
    ];
    if failed {
        attributes.push(text("error.type", "timeout"));
    }
    Span {
        trace_id: trace_id(order).to_vec(),
        span_id: (mix(order) ^ (number + 1)).to_be_bytes().to_vec(),
        parent_span_id: if number == 0 { Vec::new() } else { (mix(order) ^ number).to_be_bytes().to_vec() },
        name: format!(
            "{} {}",
            if step == 0 { "POST" } else { "GET" },
            ["/orders", "/work", "/store"][step as usize]
        ),
        kind: if step == 0 { 2 } else { 3 },
        start_time_unix_nano: start,
        end_time_unix_nano: start + 1_000_000 + noise % 700_000_000,
        attributes,
        status: Some(Status { code: if failed { 2 } else { 0 }, ..Default::default() }),
        flags: 0x101,
        ..Default::default()
    }
}

/// The `n`th request: the next [`ORDERS`] orders, all their spans.
pub(crate) fn request(n: u64) -> ExportTraceServiceRequest {
    let group = |service: usize| {
        let orders = n * ORDERS..(n + 1) * ORDERS;
        let spans = orders.flat_map(|order| (0..3).map(move |step| span(order, service, step))).collect();
        let scope =
            InstrumentationScope { name: "waybill".into(), version: "0.1.0".into(), ..Default::default() };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..Default::default() }];
        ResourceSpans { resource: Some(resource(SERVICES[service])), scope_spans, ..Default::default() }
    };
    ExportTraceServiceRequest { resource_spans: (0..SERVICES.len()).map(group).collect() }
}

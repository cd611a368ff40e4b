//! A synthetic order's trace through all eight services, as the design has it.

use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span, span::Link};

use crate::spans::{event, failed, int, of_service, span, string};

/// One row: id, parent, service, name, kind, start and end in milliseconds from the order's start.
type Row = (u64, u64, &'static str, &'static str, i32, u64, u64);

const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const PRODUCER: i32 = 4;
const CONSUMER: i32 = 5;

const ROUTE: [Row; 25] = [
    (1, 0, "mobile-app", "POST /orders", SERVER, 0, 420),
    (2, 1, "mobile-app", "auth.v1.Auth/Verify", CLIENT, 5, 25),
    (3, 2, "auth", "auth.v1.Auth/Verify", SERVER, 8, 22),
    (4, 1, "mobile-app", "GET", CLIENT, 30, 80),
    (5, 4, "restaurant-availability", "GET /restaurants/{id}/availability", SERVER, 34, 76),
    (6, 1, "mobile-app", "POST", CLIENT, 85, 260),
    (7, 6, "payment-gateway", "POST /payments", SERVER, 90, 255),
    (8, 7, "payment-gateway", "POST", CLIENT, 100, 240),
    (9, 1, "mobile-app", "orders.v1.RestaurantOrders/Place", CLIENT, 265, 410),
    (10, 9, "restaurant-orders", "orders.v1.RestaurantOrders/Place", SERVER, 270, 405),
    (11, 10, "restaurant-orders", "POST", CLIENT, 280, 360),
    (12, 10, "restaurant-orders", "create order.accepted", PRODUCER, 365, 370),
    (13, 12, "restaurant-orders", "send order.accepted", CLIENT, 430, 450),
    (14, 12, "delivery-assignment", "process order.accepted", CONSUMER, 440, 3_480),
    (15, 14, "delivery-assignment", "courier.assign", 1, 445, 3_450),
    (16, 15, "delivery-assignment", "POST", CLIENT, 450, 3_450),
    (17, 14, "delivery-assignment", "tracking.v1.Tracking/Start", CLIENT, 3_452, 3_470),
    (18, 17, "tracking", "tracking.v1.Tracking/Start", SERVER, 3_455, 3_468),
    (19, 18, "tracking", "create tracking.started", PRODUCER, 3_460, 3_462),
    (20, 19, "tracking", "send tracking.started", CLIENT, 3_470, 3_480),
    (21, 19, "notification", "process tracking.started", CONSUMER, 3_475, 3_520),
    (22, 21, "notification", "POST", CLIENT, 3_480, 3_515),
    (23, 19, "restaurant-orders", "process tracking.started", CONSUMER, 3_478, 3_490),
    (24, 12, "delivery-assignment", "accept delivery-assignment", 1, 441, 442),
    (25, 14, "delivery-assignment", "settle order.accepted", CLIENT, 3_472, 3_478),
];

/// The spans of one order that begins at `start` (Unix nanoseconds), one entry per service. Where `lost`, the courier
/// fleet answers too late and nothing after it happens.
pub(crate) fn order(trace: u128, order_id: &str, start: u64, lost: bool) -> Vec<ResourceSpans> {
    let reached = |row: &&Row| !lost || row.0 <= 16 || row.0 == 24;
    let mut services: Vec<(&str, Vec<Span>)> = Vec::new();
    for row in ROUTE.iter().filter(reached) {
        let span = one(trace, order_id, start, row, lost);
        match services.iter_mut().find(|(name, _)| *name == row.2) {
            Some((_, spans)) => spans.push(span),
            None => services.push((row.2, vec![span])),
        }
    }
    services.into_iter().map(|(name, spans)| of_service(name, spans)).collect()
}

fn one(trace: u128, order_id: &str, start: u64, row: &Row, lost: bool) -> Span {
    let (id, parent, _, name, kind, from, to) = *row;
    let at = |ms: u64| start + ms * 1_000_000;
    let mut span = span(trace, id, parent, name, at(from), at(to));
    span.kind = kind;
    span.attributes =
        vec![string("order.id", order_id), int("order.amount", 20_000), string("order.currency", "USD")];
    match name {
        "POST /orders" => span.attributes.push(int("http.response.status_code", 201)),
        "process order.accepted" => {
            let link = Link {
                trace_id: trace.to_be_bytes().into(),
                span_id: 12_u64.to_be_bytes().into(),
                ..Link::default()
            };
            span.links.push(link);
        }
        _ => {}
    }
    if lost && matches!(id, 14..=16) {
        span.status = Some(failed("courier fleet: deadline of 3s passed"));
        span.attributes.push(string("error.type", "timeout"));
        let attributes =
            vec![string("exception.type", "timeout"), string("exception.message", "no courier in 3s")];
        span.events.push(event("exception", at(to - 1), attributes));
    }
    span
}

/// Log records of the order's trace, one of them with text that must stay text.
pub(crate) fn logs(trace: u128, order_id: &str, start: u64) -> Vec<ResourceLogs> {
    let lines = [
        ("mobile-app", 1_u64, 9, "INFO", "order placed"),
        ("payment-gateway", 7, 9, "INFO", "charged <b>20000</b> <img src=x onerror=alert(1)>"),
        ("delivery-assignment", 14, 17, "ERROR", "no courier in time"),
    ];
    let one = |(service, span, number, severity, text): (&str, u64, i32, &str, &str)| {
        let time_unix_nano = start + span * 1_000_000;
        let record = LogRecord {
            time_unix_nano,
            observed_time_unix_nano: time_unix_nano,
            severity_number: number,
            severity_text: severity.into(),
            body: string("", text).value,
            attributes: vec![string("order.id", order_id)],
            trace_id: trace.to_be_bytes().into(),
            span_id: span.to_be_bytes().into(),
            ..LogRecord::default()
        };
        let scope_logs = vec![ScopeLogs { log_records: vec![record], ..ScopeLogs::default() }];
        let resource = of_service(service, vec![]).resource;
        ResourceLogs { resource, scope_logs, schema_url: String::new() }
    };
    // Not in order, as collectors deliver them.
    lines.into_iter().rev().map(one).collect()
}

//! One order is one trace: through all eight services and the partners, every span under the right one, every log line
//! and every reply with its trace id.

use std::collections::{BTreeMap, BTreeSet};

use journey::{Kind, Route, Span, State, Trace};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::{
    backend::{self, SERVICES},
    customer::{Customer, Ordered, PIZZA, SUSHI, trace},
    harness::{Fleet, eventually, http, shared},
};

/// Every place where the order goes from one process to another: the span that it reaches, the span that it comes from.
const CROSSINGS: [(&str, &str); 20] = [
    ("auth auth.v1.Auth/Verify", "mobile-app auth.v1.Auth/Verify"),
    (
        "restaurant-availability GET /restaurants/{id}/availability",
        "mobile-app GET /restaurants/{id}/availability",
    ),
    ("payment-gateway POST /payments", "mobile-app POST /payments"),
    ("payment-gateway accept payment-gateway", "mobile-app POST /payments"),
    ("restaurant-orders orders.v1.RestaurantOrders/Place", "mobile-app orders.v1.RestaurantOrders/Place"),
    ("restaurant-orders accept restaurant-orders", "mobile-app orders.v1.RestaurantOrders/Place"),
    ("delivery-assignment POST /events", "restaurant-orders send order.accepted"),
    ("delivery-assignment process order.accepted", "restaurant-orders create order.accepted"),
    ("delivery-assignment accept delivery-assignment", "restaurant-orders create order.accepted"),
    ("tracking tracking.v1.Tracking/Start", "delivery-assignment tracking.v1.Tracking/Start"),
    ("tracking accept tracking", "delivery-assignment tracking.v1.Tracking/Start"),
    ("notification POST /events", "tracking send tracking.started"),
    ("notification process tracking.started", "tracking create tracking.started"),
    ("notification accept notification", "tracking create tracking.started"),
    ("restaurant-orders POST /events", "tracking send tracking.started"),
    ("restaurant-orders process tracking.started", "tracking create tracking.started"),
    ("notification POST /events", "tracking send order.delivered"),
    ("notification process order.delivered", "tracking create order.delivered"),
    ("restaurant-orders POST /events", "tracking send order.delivered"),
    ("restaurant-orders process order.delivered", "tracking create order.delivered"),
];

fn now_ns() -> u64 {
    u64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap()
}

/// All eight stamps, the delivery and its push are there.
pub(crate) fn whole(trace: &Trace) -> Result<(), String> {
    let journey = journey::stamps(trace, &Route::parse(contracts::ROUTE).unwrap(), now_ns());
    if let Some(bad) = journey.stamps.iter().find(|s| s.state != State::Done) {
        return Err(format!("{bad:?}"));
    }
    let seen = |service: &str, name: &str| trace.spans.iter().any(|s| s.service == service && s.name == name);
    for service in ["notification", "restaurant-orders"] {
        if !seen(service, "process order.delivered") {
            return Err(format!("{service} has not processed order.delivered"));
        }
    }
    match orphans(trace).as_slice() {
        [] => Ok(()),
        some => Err(format!("no parent yet: {some:?}")),
    }
}

/// A broker's messages are received where HTTP's are posted.
fn as_carried(child: &str, parent: &str) -> String {
    match (child.strip_suffix("POST /events"), parent.split_once(" send ")) {
        (Some(service), Some((_, event))) if backend::is("nats") => format!("{service}receive {event}"),
        _ => child.to_owned(),
    }
}

fn label(span: &Span) -> String {
    format!("{} {}", span.service, span.name)
}

fn orphans(trace: &Trace) -> Vec<String> {
    let ids: BTreeSet<_> = trace.spans.iter().map(|s| s.id.as_str()).collect();
    let lost = |s: &&Span| s.parent.as_deref().is_some_and(|p| !ids.contains(p));
    trace.spans.iter().filter(lost).map(label).collect()
}

async fn delivered(fleet: &Fleet) -> (Customer, Ordered, Trace) {
    let customer = Customer::of(fleet).await;
    let order = customer.order(SUSHI).await;
    customer.until(&order.id, "delivered").await;
    let trace = trace(fleet, &order.trace_id, whole).await;
    (customer, order, trace)
}

#[tokio::test]
async fn an_order_is_one_trace_through_all_eight_services_and_the_partners() {
    let fleet = shared().await;
    let (_, order, trace) = delivered(fleet).await;
    let seen: BTreeSet<_> = trace.spans.iter().map(|s| s.service.as_str()).collect();
    assert_eq!(seen, SERVICES.into_iter().collect::<BTreeSet<_>>());
    let url = format!("{}/logs?trace_id={}", fleet.url("partners", "http"), order.trace_id);
    let logs: Value = http().get(url).send().await.unwrap().json().await.unwrap();
    for partner in ["card-network", "restaurant-pos", "courier-fleet", "push-provider"] {
        assert!(logs.to_string().contains(partner), "{partner} did not see the trace id: {logs}");
    }
    let found = format!(
        "{}/api/traces?service=notification&tags={}",
        fleet.url("tracestore", "http"),
        json!({ "order.id": order.id })
    );
    let found: Value = http().get(found).send().await.unwrap().json().await.unwrap();
    let ids: Vec<_> = found["data"].as_array().unwrap().iter().map(|t| t["traceID"].as_str()).collect();
    assert_eq!(ids, [Some(order.trace_id.as_str())], "the last service's spans bear the order's id");
}

#[tokio::test]
async fn every_span_of_an_order_is_under_the_right_one() {
    let (_, _, trace) = delivered(shared().await).await;
    let by_id: BTreeMap<_, _> = trace.spans.iter().map(|s| (s.id.as_str(), s)).collect();
    let roots: Vec<_> = trace.spans.iter().filter(|s| s.parent.is_none()).map(label).collect();
    assert_eq!(roots, ["mobile-app POST /carts"]);
    let mut crossings = BTreeSet::new();
    for span in &trace.spans {
        let Some(parent) = span.parent.as_deref().map(|id| by_id[id]) else { continue };
        if parent.service != span.service {
            crossings.insert((label(span), label(parent)));
            continue;
        }
        // Within a service nothing is served or consumed but what another has sent, and the order continues its cart.
        let enters = matches!(span.kind, Kind::Server | Kind::Consumer) && span.name != "POST /orders";
        assert!(!enters, "{} is under {}", label(span), label(parent));
    }
    let expected: BTreeSet<_> =
        CROSSINGS.iter().map(|(child, parent)| (as_carried(child, parent), (*parent).to_owned())).collect();
    assert_eq!(crossings, expected);
}

#[tokio::test]
async fn every_span_of_an_order_bears_its_id_and_an_order_that_went_well_has_no_error() {
    let (_, order, trace) = delivered(shared().await).await;
    for span in &trace.spans {
        assert_eq!(span.attributes.get("order.id"), Some(&order.id), "{}", label(span));
        assert!(!span.error, "{} {}", label(span), span.error_message);
    }
}

#[tokio::test]
async fn every_log_line_of_an_order_has_its_trace_id_in_the_file_and_in_the_store() {
    let fleet = Fleet::with(&["--env", "partners:WAYBILL_PARTNERS_SCHEDULE=rules: [{partner: courier-fleet, match: {zone: old-harbour}, do: hang}]"]).await;
    let customer = Customer::of(&fleet).await;
    let order = customer.order(PIZZA).await;
    customer.until(&order.id, "refunded").await;
    let mut lines = 0;
    for service in SERVICES {
        let text = std::fs::read_to_string(fleet.data().join(format!("logs/{service}.log"))).unwrap();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{service}: {e}: {line}"));
            // Nothing else happens in this fleet: what is above a note on the process's own life is about the order, but
            // for what a service says of its telemetry while the collector is still starting.
            let own = line["level"] == "INFO" || line["target"] == "telemetry";
            if own && line["trace_id"].is_null() {
                continue;
            }
            assert_eq!(line["trace_id"], order.trace_id.as_str(), "{service}: {line}");
            assert_eq!(line["service"], service);
            assert!(line["span_id"].as_str().is_some_and(|id| id.len() == 16), "{line}");
            lines += 1;
        }
    }
    assert!(lines > 0, "an order that could not be delivered is worth a line");
    let url = format!("{}/logs?trace_id={}", fleet.url("tracestore", "http"), order.trace_id);
    eventually("the lines in the store", || async {
        let reply = http().get(&url).send().await.map_err(|e| e.to_string())?;
        let answer: Value = reply.json().await.map_err(|e| e.to_string())?;
        let stored = answer["logs"].as_array().map_or(0, Vec::len);
        if stored >= lines { Ok(()) } else { Err(format!("{stored} of {lines}: {answer}")) }
    })
    .await;
}

#[tokio::test]
async fn every_reply_tells_its_trace_failures_included() {
    let fleet = shared().await;
    let customer = Customer::of(fleet).await;
    let door = fleet.url("mobile-app", "http");
    let anonymous = http();
    let cart = json!({ "restaurant_id": "nowhere", "items": [{ "sku": "x", "quantity": 1 }] });
    let replies: Vec<(&str, Response)> = vec![
        ("a page", anonymous.get(format!("{door}/openapi.json")).send().await.unwrap()),
        ("no such path", anonymous.get(format!("{door}/nowhere")).send().await.unwrap()),
        ("no such method", anonymous.delete(format!("{door}/carts")).send().await.unwrap()),
        ("no token", anonymous.post(format!("{door}/carts")).json(&cart).send().await.unwrap()),
        ("no JSON", anonymous.post(format!("{door}/sessions")).body("{").send().await.unwrap()),
        ("no such restaurant", customer.ask(Method::POST, "/carts", Some(&cart)).await),
        ("no such order", customer.ask(Method::GET, "/orders/7F3K-9QZD-XM42", None).await),
    ];
    let mut seen = BTreeSet::new();
    for (what, reply) in replies {
        let status = reply.status();
        let header = |name: &str| {
            let value = reply.headers().get(name).unwrap_or_else(|| panic!("{what} ({status}): no {name}"));
            value.to_str().unwrap().to_owned()
        };
        let (timing, id) = (header("server-timing"), header("x-trace-id"));
        assert!(timing.contains(&format!("trace;desc=00-{id}-")), "{what}: {timing} {id}");
        assert!(seen.insert(id), "{what}: the trace id of another reply");
    }
    let declined = customer.cart(SUSHI).await;
    let body = json!({ "cart_id": declined["cart_id"], "card_token": "tok_declined" });
    let reply = customer.ask(Method::POST, "/orders", Some(&body)).await;
    assert_eq!(reply.status(), 402);
    assert_eq!(reply.headers()["x-trace-id"].to_str().ok(), declined["trace_id"].as_str());
    let problem: Value = reply.json().await.unwrap();
    assert_eq!(problem["trace_id"], declined["trace_id"], "the problem document tells it, too");
}

//! `OTEL_*` end to end: one variable of one service changes that service alone, as those see it who receive.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, routing::post};
use journey::Trace;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value as Any,
};
use prost::Message;

use crate::{
    customer::{Customer, SUSHI, trace},
    harness::{Fleet, eventually},
};

type Seen = Arc<Mutex<BTreeSet<String>>>;

/// An OTLP receiver that is none of ours: notes which services send it spans.
async fn receiver() -> (String, Seen) {
    let seen = Seen::default();
    let app = Router::new().route("/v1/traces", post(note)).with_state(Arc::clone(&seen));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, app).await });
    (url, seen)
}

async fn note(State(seen): State<Seen>, body: Bytes) -> &'static [u8] {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    for resource in request.resource_spans.into_iter().filter_map(|r| r.resource) {
        let name = resource.attributes.into_iter().find(|a| a.key == "service.name");
        if let Some(Any::StringValue(name)) = name.and_then(|a| a.value?.value) {
            seen.lock().unwrap().insert(name);
        }
    }
    b""
}

fn services(trace: &Trace) -> BTreeSet<&str> {
    trace.spans.iter().map(|s| s.service.as_str()).collect()
}

/// The push of the delivery is on its way: the last thing that an order causes.
fn to_the_end(trace: &Trace) -> Result<(), String> {
    let last = |name: &str, service: &str| trace.spans.iter().any(|s| s.name == name && s.service == service);
    if last("process order.delivered", "restaurant-orders") || last("process order.delivered", "notification")
    {
        Ok(())
    } else {
        Err(format!("{} spans, of {:?}", trace.spans.len(), services(trace)))
    }
}

#[tokio::test]
async fn a_name_a_sampler_and_an_endpoint_of_one_service_change_that_service_alone() {
    let (elsewhere, seen) = receiver().await;
    let endpoint = format!("tracking:OTEL_EXPORTER_OTLP_ENDPOINT={elsewhere}");
    let fleet = Fleet::with(&[
        "--env",
        "auth:OTEL_SERVICE_NAME=gatekeeper",
        "--env",
        "notification:OTEL_TRACES_SAMPLER=always_off",
        "--env",
        &endpoint,
        "--env",
        "tracking:OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
    ])
    .await;
    let customer = Customer::of(&fleet).await;
    let order = customer.order(SUSHI).await;
    customer.until(&order.id, "delivered").await;
    let expected = [
        "delivery-assignment",
        "gatekeeper",
        "mobile-app",
        "payment-gateway",
        "restaurant-availability",
        "restaurant-orders",
    ];
    // Services send their spans each in their own time.
    let all = |trace: &Trace| {
        to_the_end(trace)?;
        let missing: Vec<_> = expected.iter().filter(|s| !services(trace).contains(*s)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("nothing of {missing:?} yet")) }
    };
    let trace = trace(&fleet, &order.trace_id, all).await;
    assert_eq!(services(&trace), expected.into_iter().collect());
    eventually("spans at the other endpoint", async || {
        let seen = seen.lock().unwrap().clone();
        if seen == BTreeSet::from(["tracking".to_owned()]) { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_line_in_one_otel_env_file_switches_that_service_off_and_the_trace_stays_whole_around_it() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("restaurant-orders");
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("otel.env"), "# silence\nOTEL_SDK_DISABLED=true\n").unwrap();
    let fleet = Fleet::with(&["--otel-env-dir", folder.path().to_str().unwrap()]).await;
    let customer = Customer::of(&fleet).await;
    let order = customer.order(SUSHI).await;
    customer.until(&order.id, "delivered").await;
    let handed_on = |trace: &Trace| {
        to_the_end(trace)?;
        let process =
            trace.spans.iter().find(|s| s.name == "process order.accepted").ok_or("not accepted yet")?;
        let parent = trace.spans.iter().find(|s| Some(&s.id) == process.parent.as_ref());
        parent.map(drop).ok_or_else(|| "its parent is not there yet".to_owned())
    };
    let trace = trace(&fleet, &order.trace_id, handed_on).await;
    let services = services(&trace);
    assert!(!services.contains("restaurant-orders"), "{services:?}");
    let process = trace.spans.iter().find(|s| s.name == "process order.accepted").unwrap();
    let parent = trace.spans.iter().find(|s| Some(&s.id) == process.parent.as_ref());
    // The silent service hands on the context that it was given: its caller's.
    let parent = parent.map(|s| (s.service.as_str(), s.name.as_str()));
    assert_eq!(parent, Some(("mobile-app", "orders.v1.RestaurantOrders/Place")));
}

#[tokio::test]
async fn ctrl_c_right_after_an_order_loses_neither_its_spans_nor_the_order() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::at(folder.path(), &[]);
    fleet.ready().await;
    let customer = Customer::of(&fleet).await;
    let mut orders = Vec::new();
    for _ in 0..10 {
        orders.push(customer.order(SUSHI).await);
    }
    assert!(fleet.stop().await.success());
    let fleet = Fleet::at(folder.path(), &[]);
    fleet.ready().await;
    let customer = customer.at(&fleet);
    for order in orders {
        customer.until(&order.id, "delivered").await;
        trace(&fleet, &order.trace_id, |trace| {
            let ids: BTreeSet<_> = trace.spans.iter().map(|s| &s.id).collect();
            let orphan = trace.spans.iter().find(|s| s.parent.as_ref().is_some_and(|p| !ids.contains(p)));
            match orphan {
                None => to_the_end(trace),
                Some(span) => Err(format!("no parent of {} {}", span.service, span.name)),
            }
        })
        .await;
    }
}

//! What our services send goes through the official collector and through ours, and comes out the same, attribute by
//! attribute.
//!
//! Runs where `OTELCOL` names the official one, as `make conformance` does.

mod ends;
#[path = "../../otel/collector/tests/conformance/flat.rs"]
mod flat;
mod program;

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;

use self::{
    ends::Ear,
    flat::{Flat, flat, flat_logs},
    program::Program,
};
use crate::{
    backend::SERVICES,
    customer::{Customer, PIZZA, SUSHI},
    harness::{Fleet, NOBODY_RIDES, eventually, waybill},
};

/// The two orders' telemetry as the services sent it: one is delivered, for the other no courier is found.
async fn of_two_orders() -> Ear {
    let ear = Ear::start().await;
    let to_us = SERVICES.map(|service| format!("{service}:OTEL_EXPORTER_OTLP_ENDPOINT={}", ear.url));
    let mut arguments = vec!["--without", "collector,tracestore", "--env", NOBODY_RIDES];
    arguments.extend(to_us.iter().flat_map(|setting| ["--env", setting.as_str()]));
    let fleet = Fleet::with(&arguments).await;
    let customer = Customer::of(&fleet).await;
    let (delivered, refunded) = (customer.order(SUSHI).await, customer.order(PIZZA).await);
    customer.until(&delivered.id, "delivered").await;
    customer.until(&refunded.id, "refunded").await;
    // The last word of each order reaches the customer by these.
    eventually("both orders were told of", async || {
        let sent = spans(&ear);
        let told =
            |name: &str| sent.iter().any(|(service, span, _)| service == "notification" && span == name);
        let missing =
            ["process order.delivered", "process order.failed"].into_iter().find(|name| !told(name));
        missing.map_or(Ok(()), |name| Err(format!("no {name} in {sent:?}")))
    })
    .await;
    // What waits in the services is sent before they end.
    assert!(fleet.stop().await.success());
    ear
}

/// Service, name and whether it failed, of every span that was sent.
fn spans(ear: &Ear) -> BTreeSet<(String, String, bool)> {
    let mut found = BTreeSet::new();
    for resource in ear.traces().into_iter().flat_map(|request| request.resource_spans) {
        let attributes = resource.resource.unwrap_or_default().attributes;
        let service = attributes.into_iter().find(|one| one.key == "service.name");
        let Some(Value::StringValue(service)) = service.and_then(|one| one.value?.value) else { continue };
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            found.insert((service.clone(), span.name, span.status.is_some_and(|status| status.code == 2)));
        }
    }
    found
}

/// Waits until as much is there as was sent, and holds each against what was sent.
async fn same(what: &str, sent: &[Flat], come: impl Fn() -> Vec<Flat>) {
    eventually(&format!("all {} {what}", sent.len()), async || match come().len() {
        count if count >= sent.len() => Ok(()),
        count => Err(format!("{count} are there")),
    })
    .await;
    let come = come();
    assert_eq!(come.len(), sent.len(), "{what}: each once");
    for (come, sent) in come.iter().zip(sent) {
        assert_eq!(come, sent, "{what}: what came, what was sent");
    }
}

#[tokio::test]
async fn what_the_services_send_comes_out_of_both_collectors_the_same() {
    let Some(official) = std::env::var_os("OTELCOL") else {
        eprintln!("SKIPPED: the official collector is not here; set OTELCOL=/path/to/otelcol");
        return;
    };
    let ear = of_two_orders().await;
    let sent = spans(&ear);
    let services: BTreeSet<_> = sent.iter().map(|(service, ..)| service.as_str()).collect();
    assert_eq!(services, SERVICES.into_iter().collect());
    assert!(sent.iter().any(|(.., failed)| *failed), "a span of the failed order says so");
    let (traces, logs): (Vec<ExportTraceServiceRequest>, Vec<ExportLogsServiceRequest>) =
        (ear.traces(), ear.logs());
    let (traces, logs) = (flat(&traces), flat_logs(&logs));
    assert!(!logs.is_empty(), "the services' log records were sent, too");

    let ours = Program::start(|| waybill(["collector"])).await;
    let official = Program::start(|| std::process::Command::new(&official)).await;
    for collector in [&ours, &official] {
        ear.replay(&collector.http).await;
    }
    for (name, collector) in [("ours", &ours), ("the official one", &official)] {
        same(&format!("spans behind {name}"), &traces, || flat(&collector.backend.traces())).await;
        same(&format!("log records behind {name}"), &logs, || flat_logs(&collector.backend.logs())).await;
    }
    eprintln!("{} spans and {} log records of {} services", traces.len(), logs.len(), services.len());
}

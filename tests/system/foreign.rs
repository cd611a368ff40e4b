//! A service that no one here wrote the telemetry of: a courier fleet's desk in Node.js with its official OpenTelemetry
//! SDK, in the middle of an order's trace.
//!
//! Runs where `COURIER_DESK` names the script (`tests/peers/node/find` installs what it needs), as `make conformance` does.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use journey::{Kind, Span, Trace};

use crate::{
    customer::{Customer, SUSHI, trace},
    harness::Fleet,
};

/// The desk's process; killed when dropped.
struct Desk(Child);

// === impl Desk ===

impl Desk {
    /// Listens on `port`, passes questions on to the fleet's partners and sends its spans to the fleet's collector.
    fn start(script: &str, port: u16, fleet: &Fleet) -> Self {
        let mut node = Command::new("node");
        node.arg(script)
            .env("PORT", port.to_string())
            .env("COURIER_FLEET_URL", format!("{}/courier-fleet", fleet.url("partners", "http")))
            .env("OTEL_SERVICE_NAME", "courier-desk")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", fleet.url("collector", "otlp-http"))
            .env("OTEL_TRACES_EXPORTER", "otlp")
            .env("OTEL_METRICS_EXPORTER", "none")
            .env("OTEL_LOGS_EXPORTER", "none")
            .env("OTEL_BSP_SCHEDULE_DELAY", "200");
        let mut child = node.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n", "the desk did not start");
        Self(child)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn find<'t>(trace: &'t Trace, service: &str, what: impl Fn(&Span) -> bool) -> Result<&'t Span, String> {
    let found = trace.spans.iter().find(|span| span.service == service && what(span));
    found.ok_or_else(|| {
        let seen: Vec<_> = trace.spans.iter().map(|s| format!("{} {}", s.service, s.name)).collect();
        format!("not yet among {seen:?}")
    })
}

/// The question to the fleet, from our client span through the desk's three: server, its own, client.
fn chain(trace: &Trace) -> Result<[&Span; 4], String> {
    let desk = |kind: Kind| find(trace, "courier-desk", move |span| span.kind == kind);
    let ours =
        find(trace, "delivery-assignment", |s| s.kind == Kind::Client && s.name == "POST /assignments")?;
    let (server, client) = (desk(Kind::Server)?, desk(Kind::Client)?);
    Ok([ours, server, find(trace, "courier-desk", |s| s.name == "desk.ask_fleet")?, client])
}

#[tokio::test]
async fn a_service_in_another_language_joins_the_orders_trace() {
    let Ok(script) = std::env::var("COURIER_DESK") else {
        eprintln!("SKIPPED: COURIER_DESK names no script with the OpenTelemetry SDK for Node.js");
        return;
    };
    // Held until the fleet has its ports, so that none of them is this one.
    let place = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = place.local_addr().unwrap().port();
    let url = format!("delivery-assignment:COURIER_FLEET_URL=http://127.0.0.1:{port}");
    let fleet = Fleet::with(&["--env", &url]).await;
    drop(place);
    let desk = Desk::start(&script, port, &fleet);
    let customer = Customer::of(&fleet).await;
    let order = customer.order(SUSHI).await;
    customer.until(&order.id, "delivered").await;
    let trace = trace(&fleet, &order.trace_id, |trace| {
        chain(trace)?;
        find(trace, "notification", |span| span.name == "process order.delivered").map(drop)
    })
    .await;
    let chain = chain(&trace).unwrap();
    for pair in chain.windows(2) {
        assert_eq!(pair[1].parent.as_ref(), Some(&pair[0].id), "{} under {}", pair[1].name, pair[0].name);
    }
    let journey = journey::stamps(&trace, &journey::Route::parse(contracts::ROUTE).unwrap(), u64::MAX);
    let open: Vec<_> = journey.stamps.iter().filter(|s| s.state != journey::State::Done).collect();
    assert!(open.is_empty(), "the route is whole with a stranger in it: {open:?}");
    drop(desk);
}

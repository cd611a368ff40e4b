//! Twenty times each process is killed with SIGKILL at a random moment, with 200 orders in flight, while the card network
//! now and then charges and never answers. Then everything comes to rest and the books are compared.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use reqwest::StatusCode;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{
    backend,
    customer::{Customer, SOUP},
    harness::{Fleet, eventually, eventually_within, http},
};

const ROUNDS: usize = 20;
const IN_FLIGHT: usize = 200;
const PARTS: [&str; 11] = [
    "mobile-app",
    "auth",
    "restaurant-availability",
    "payment-gateway",
    "restaurant-orders",
    "delivery-assignment",
    "tracking",
    "notification",
    "partners",
    "collector",
    "tracestore",
];
/// How long an order may take to come to rest: a refund that failed again and again waits up to half a minute in
/// payment-gateway and again in restaurant-orders.
const REST: Duration = Duration::from_secs(180);
/// Charges that are made and never answered: about one in forty.
const WITHHELD: &str = "partners:WAYBILL_PARTNERS_SCHEDULE=\
    rules: [{partner: card-network, probability: 0.025, do: withhold}]";

type Acknowledged = Arc<Mutex<Vec<String>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_twenty_kills_of_every_process_no_paid_order_and_no_acknowledged_span_is_unaccounted_for() {
    let fleet = Fleet::with(&["--env", WITHHELD]).await;
    let customer = Arc::new(Customer::of(&fleet).await);
    let calm = Arc::new(AtomicBool::new(false));
    let mut orders = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (customer, calm) = (Arc::clone(&customer), Arc::clone(&calm));
        orders.spawn(async move {
            while !calm.load(Ordering::Relaxed) {
                customer.insist(SOUP).await;
            }
        });
    }
    let acknowledged = Acknowledged::default();
    let mut senders = JoinSet::new();
    for url in [fleet.url("collector", "otlp-http"), fleet.url("tracestore", "otlp")] {
        senders.spawn(send_spans(url, Arc::clone(&calm), Arc::clone(&acknowledged)));
    }
    kill_rounds(&fleet).await;
    calm.store(true, Ordering::Relaxed);
    orders.join_all().await;
    senders.join_all().await;
    fleet.ready().await;
    books_agree(&fleet, &customer, IN_FLIGHT).await;
    spans_are_there(&fleet, &acknowledged).await;
}

/// In every round every part once, in random order, with random pauses; a round ends when all run again. The servers that the
/// fleet runs on have their rounds, too.
async fn kill_rounds(fleet: &Fleet) {
    let mut random = ChaCha8Rng::seed_from_u64(20_261_231);
    for round in 0..ROUNDS {
        let mut parts = PARTS;
        parts.shuffle(&mut random);
        for part in parts {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..200))).await;
            eventually(&format!("round {round}: {part} runs and is killed"), || async {
                if fleet.kill(part) { Ok(()) } else { Err("it does not run") }
            })
            .await;
        }
        let data = fleet.data().to_owned();
        tokio::task::spawn_blocking(move || backend::trouble(&data, round)).await.unwrap();
    }
}

/// The card network's charges and refunds against what the services say of each order: every charge belongs to one order
/// that was delivered, or has gone back whole. No order was charged twice. Fewer than `enough` charges prove nothing.
pub(crate) async fn books_agree(fleet: &Fleet, customer: &Customer, enough: usize) {
    let charges = charges(fleet).await;
    assert!(charges.len() > enough, "only {} orders were paid: too few to prove anything", charges.len());
    let mut keys: Vec<_> = charges.iter().map(|c| c["idempotency_key"].as_str().unwrap()).collect();
    keys.sort_unstable();
    let all = keys.len();
    keys.dedup();
    assert_eq!(keys.len(), all, "an order was charged twice");
    let mut ends = BTreeMap::new();
    for id in charges.iter().filter(|c| c["status"] == "charged").map(|c| c["reference"].as_str().unwrap()) {
        let what = format!("order {id} at its end");
        let end = eventually_within(REST, &what, async || match customer.state(id).await?.as_str() {
            end @ ("delivered" | "refunded") => Ok(end.to_owned()),
            other => Err(format!("it is {other}, yet it was paid")),
        });
        ends.insert(id, end.await);
    }
    let (mut kept, mut earned) = (0, 0);
    for charge in &self::charges(fleet).await {
        let Some(end) = ends.get(charge["reference"].as_str().unwrap()) else { continue };
        let paid = charge["amount_minor"].as_i64().unwrap();
        let refunds = charge["refunds"].as_array().unwrap();
        let refunded: i64 = refunds.iter().map(|r| r["amount_minor"].as_i64().unwrap()).sum();
        assert_eq!(refunded, if end == "delivered" { 0 } else { paid }, "the order is {end}: {charge}");
        kept += paid - refunded;
        earned += if end == "delivered" { paid } else { 0 };
    }
    assert_eq!(kept, earned, "the card network holds what was delivered, to the cent");
}

/// All charges of the card network, as it tells of them itself.
pub(crate) async fn charges(fleet: &Fleet) -> Vec<Value> {
    let url = format!("{}/card-network/charges?limit=5000", fleet.url("partners", "http"));
    let page: Value = http().get(url).send().await.unwrap().json().await.unwrap();
    page["charges"].as_array().unwrap_or_else(|| panic!("{page}")).clone()
}

/// Sends one span after the other to an OTLP receiver that keeps being killed, and notes those it acknowledged.
async fn send_spans(url: String, calm: Arc<AtomicBool>, acknowledged: Acknowledged) {
    let client = http();
    while !calm.load(Ordering::Relaxed) {
        let trace = uuid::Uuid::new_v4();
        let reply = client
            .post(format!("{url}/v1/traces"))
            .header("content-type", "application/x-protobuf")
            .body(one_span(trace.into_bytes()).encode_to_vec())
            .send()
            .await;
        if reply.is_ok_and(|r| r.status() == StatusCode::OK) {
            acknowledged.lock().unwrap().push(trace.simple().to_string());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn one_span(trace: [u8; 16]) -> ExportTraceServiceRequest {
    let now = u64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap();
    let span = Span {
        trace_id: trace.to_vec(),
        span_id: trace[..8].to_vec(),
        name: "witness".to_owned(),
        start_time_unix_nano: now,
        end_time_unix_nano: now + 1_000,
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }],
    }
}

async fn spans_are_there(fleet: &Fleet, acknowledged: &Acknowledged) {
    let ids = acknowledged.lock().unwrap().clone();
    assert!(ids.len() > 100, "only {} spans were acknowledged: too few to prove anything", ids.len());
    let store = fleet.url("tracestore", "http");
    let client = http();
    let mut missing = ids;
    eventually_within(REST, "every acknowledged span in the store", async || {
        let mut still = Vec::new();
        for id in &missing {
            let reply = client.get(format!("{store}/api/traces/{id}")).send().await;
            if !reply.is_ok_and(|r| r.status() == StatusCode::OK) {
                still.push(id.clone());
            }
        }
        missing = still;
        if missing.is_empty() { Ok(()) } else { Err(format!("{} are missing: {missing:?}", missing.len())) }
    })
    .await;
}

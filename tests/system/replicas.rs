//! Two machines with a replica of every service but the front door on each, one database and one broker for both. Their work is
//! shared, every step is done once, and when one machine is gone from one moment to the next the other finishes what it had
//! in hand. On PostgreSQL only: a SQLite file has one process.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use journey::{Kind, Trace};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::{
    backend,
    balancer::Balancer,
    customer::{Customer, Ordered, SUSHI, trace},
    harness::{Fleet, eventually, http},
    kills::{books_agree, charges},
    one_order::whole,
};

const REPLICATED: [&str; 7] = [
    "auth",
    "restaurant-availability",
    "payment-gateway",
    "restaurant-orders",
    "delivery-assignment",
    "tracking",
    "notification",
];
const ASSIGNMENT: &str = "delivery-assignment";
const PARTNERS: [&str; 4] = ["card-network", "restaurant-pos", "courier-fleet", "push-provider"];
/// Long enough that all orders of a round are in hand when a machine is lost: over HTTP one connection takes many of them to the
/// same machine, and the next one is a second away.
const COURIERS_TAKE_THEIR_TIME: [&str; 2] = [
    "partners:WAYBILL_PARTNERS_SCHEDULE=rules: [{partner: courier-fleet, do: latency=6s}]",
    "delivery-assignment:WAYBILL_COURIER_DEADLINE=30s",
];
/// Orders of one round, and the pause between two.
const ROUND: usize = 24;
const PAUSE: Duration = Duration::from_millis(120);
/// Rounds until both replicas of every service must have had a share.
const ROUNDS: usize = 6;
/// Orders that a replica must have had a hand in.
const SHARE: usize = 3;

/// The whole fleet, and the replicas of the second machine.
struct Machines {
    one: Fleet,
    two: Fleet,
    _folder: TempDir,
    _balancers: Vec<(&'static str, Balancer)>,
}

/// Which instances of each service had a hand in how many orders.
type Shares = BTreeMap<String, BTreeMap<String, usize>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_share_the_work_do_each_step_once_and_one_takes_over_from_the_other() {
    if !backend::is("postgres") {
        return eprintln!("SKIPPED: replicas share a PostgreSQL server; WAYBILL_TEST_BACKEND=postgres,nats");
    }
    let machines = Machines::start().await;
    let customer = Arc::new(Customer::of(&machines.one).await);
    let first = both_have_a_share(&machines, &customer).await;
    let second = survives_the_loss_of_a_machine(machines, &customer).await;
    assert!(first >= ROUND && second >= ROUND);
}

/// Orders go through, until both replicas of every service have had a share; every step of each was done once.
async fn both_have_a_share(machines: &Machines, customer: &Arc<Customer>) -> usize {
    let mut shares = Shares::new();
    for round in 1..=ROUNDS {
        for order in orders(customer).await {
            customer.until(&order.id, "delivered").await;
            let trace = trace(&machines.one, &order.trace_id, whole).await;
            let times = consumed(&trace);
            assert!(times.len() == 5 && times.values().all(|n| *n == 1), "{}: {times:?}", order.id);
            let asked = asked(&machines.one, &order.id).await;
            let once =
                [("card-network", 1), ("courier-fleet", 1), ("push-provider", 2), ("restaurant-pos", 1)];
            assert_eq!(asked, once.map(|(p, n)| (p.to_owned(), n)).into(), "{}", order.id);
            assert_eq!(told(&machines.one, &order.id).await, Ok(()));
            note(&mut shares, &trace);
        }
        let shared = |service: &&str| {
            shares.get(*service).is_some_and(|by| by.len() == 2 && by.values().all(|n| *n >= SHARE))
        };
        if REPLICATED.iter().all(shared) {
            eprintln!("shares of {} orders: {shares:#?}", round * ROUND);
            return round * ROUND;
        }
    }
    panic!("after {ROUNDS} rounds a replica has had no share: {shares:#?}");
}

/// With orders in every stage the second machine loses its power. All orders come to their end on the first.
async fn survives_the_loss_of_a_machine(machines: Machines, customer: &Arc<Customer>) -> usize {
    let before = charges(&machines.one).await.len();
    let orders = orders(customer).await;
    let mut insisting = JoinSet::new();
    for _ in 0..ROUND {
        let customer = customer.clone();
        insisting.spawn(async move { customer.insist(SUSHI).await });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let Machines { one, two, _folder, _balancers } = machines;
    drop(two);
    for order in &orders {
        customer.until(&order.id, "delivered").await;
        eventually("all is told", async || told(&one, &order.id).await.map(drop)).await;
    }
    insisting.join_all().await;
    books_agree(&one, customer, before + ROUND).await;
    let next = customer.order(SUSHI).await;
    customer.until(&next.id, "delivered").await;
    let next = trace(&one, &next.trace_id, whole).await;
    let survivor = hand(&next, "process order.accepted").expect("whole");
    let mut taken_over = 0;
    for order in &orders {
        // Spans that the lost machine had not sent yet are gone.
        let trace = trace(&one, &order.trace_id, |_| Ok(())).await;
        let times = consumed(&trace);
        assert!(times.values().all(|n| *n == 1), "{}: {times:?}", order.id);
        assert_eq!(told(&one, &order.id).await, Ok(()));
        taken_over += usize::from(was_taken_over(&trace, &survivor));
    }
    assert!(taken_over > 0, "the lost machine had nothing in hand: nothing is proven");
    eprintln!(
        "{taken_over} of {} assignments were begun on the lost machine and ended on the other",
        orders.len()
    );
    orders.len()
}

/// So many orders, one shortly after the other, all taken.
async fn orders(customer: &Arc<Customer>) -> Vec<Ordered> {
    let mut placing = JoinSet::new();
    for _ in 0..ROUND {
        let customer = customer.clone();
        placing.spawn(async move { customer.order(SUSHI).await });
        tokio::time::sleep(PAUSE).await;
    }
    placing.join_all().await
}

/// How often each message of the order was worked on.
fn consumed(trace: &Trace) -> HashMap<(&str, &str), usize> {
    let mut times = HashMap::new();
    for span in trace.spans.iter().filter(|s| s.kind == Kind::Consumer && s.name.starts_with("process ")) {
        *times.entry((span.service.as_str(), span.name.as_str())).or_default() += 1;
    }
    times
}

/// How often each third party was asked about the order, however it answered.
async fn asked(fleet: &Fleet, order: &str) -> BTreeMap<String, usize> {
    let url = format!("{}/logs?order_id={order}", fleet.url("partners", "http"));
    let page: Value = http().get(url).send().await.unwrap().json().await.unwrap();
    let mut asked = BTreeMap::new();
    for entry in page["entries"].as_array().unwrap_or_else(|| panic!("{page}")) {
        *asked.entry(entry["partner"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    asked
}

/// Whether the customer was told of each piece of news; never more than once.
async fn told(fleet: &Fleet, order: &str) -> Result<(), String> {
    let url = format!("{}/push-provider/pushes?order_id={order}", fleet.url("partners", "http"));
    let page: Value = http().get(url).send().await.unwrap().json().await.unwrap();
    let mut titles: Vec<_> =
        page["pushes"].as_array().unwrap().iter().map(|p| p["title"].as_str().unwrap()).collect();
    titles.sort_unstable();
    let all = titles.len();
    titles.dedup();
    assert_eq!(titles.len(), all, "{order} was told twice: {titles:?}");
    if titles == ["Enjoy your meal", "Your order is on its way"] {
        Ok(())
    } else {
        Err(format!("{titles:?}"))
    }
}

fn note(shares: &mut Shares, trace: &Trace) {
    let hands: BTreeSet<_> = trace.spans.iter().map(|s| (&s.service, instance(&s.resource))).collect();
    for (service, instance) in hands {
        *shares.entry(service.clone()).or_default().entry(instance).or_default() += 1;
    }
}

fn instance(resource: &BTreeMap<String, String>) -> String {
    resource.get("service.instance.id").expect("every span says which process it is of").clone()
}

/// A courier began to be looked for on the lost machine, and the work on that message ended on the other.
fn was_taken_over(trace: &Trace, survivor: &str) -> bool {
    let began_there = trace.spans.iter().any(|s| {
        s.service == ASSIGNMENT && s.name == "accept delivery-assignment" && instance(&s.resource) != survivor
    });
    began_there && hand(trace, "process order.accepted").as_deref() == Some(survivor)
}

/// The instance of delivery-assignment that did it.
fn hand(trace: &Trace, name: &str) -> Option<String> {
    let span = trace.spans.iter().find(|s| s.service == ASSIGNMENT && s.name == name)?;
    Some(instance(&span.resource))
}

// === impl Machines ===

impl Machines {
    async fn start() -> Self {
        let balancers: Vec<_> = REPLICATED.map(|service| (service, Balancer::new())).into();
        let mut shared: Vec<String> = COURIERS_TAKE_THEIR_TIME.map(str::to_owned).into();
        for caller in REPLICATED.iter().chain(&["mobile-app"]) {
            // Connections that end often are spread soon.
            shared.push(format!("{caller}:WAYBILL_CONNECTION_AGE=1s"));
            shared.extend(balancers.iter().map(|(s, b)| format!("{caller}:{}=http://{}", key(s), b.address)));
        }
        let one = Fleet::with(&flags(&shared)).await;
        let folder = tempfile::tempdir().unwrap();
        backend::share(one.data(), folder.path());
        let (partners, collector) = (one.url("partners", "http"), one.url("collector", "otlp-http"));
        for service in REPLICATED {
            shared.push(format!("{service}:OTEL_EXPORTER_OTLP_ENDPOINT={collector}"));
            shared.extend(PARTNERS.map(|p| format!("{service}:{}={partners}/{p}", key(p))));
        }
        let only = REPLICATED.join(",");
        let mut arguments = vec!["--only", only.as_str()];
        arguments.extend(flags(&shared));
        let two = Fleet::at(folder.path(), &arguments);
        eventually("the second machine has started", async || two.endpoints().map(drop).ok_or("not yet"))
            .await;
        two.ready().await;
        for (service, balancer) in &balancers {
            balancer.add(&one.url(service, "http"));
            balancer.add(&two.url(service, "http"));
        }
        Self { one, two, _folder: folder, _balancers: balancers }
    }
}

/// The variable that tells callers where a part is.
fn key(part: &str) -> String {
    format!("{}_URL", part.to_uppercase().replace('-', "_"))
}

fn flags(settings: &[String]) -> Vec<&str> {
    settings.iter().flat_map(|setting| ["--env", setting]).collect()
}

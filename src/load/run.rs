//! One run: every order starts when it is due, is followed to its end, and is counted once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use indicatif::ProgressBar;
use telemetry::context;
use tokio::sync::{Semaphore, mpsc};
use tracing::Instrument;

use super::{
    Arrivals,
    arrivals::Arrival,
    report::{Outcome, Report},
};
use crate::shop::{self, Customer, Order, Shop};

/// First wait between two looks at an order; grows by half up to [`LONGEST_PAUSE`], so that following an order costs
/// a few requests and not one every instant.
const FIRST_PAUSE: Duration = Duration::from_millis(150);
/// See [`FIRST_PAUSE`].
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Orders under way at once. One above it is not placed and counts as failed: a run must not exhaust the machine.
const AT_ONCE: usize = 5_000;

/// What a run shall do.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The front door.
    pub(crate) shop: Shop,
    /// Who orders; at least one.
    pub(crate) customers: Vec<Customer>,
    /// Orders a second.
    pub(crate) rate: f64,
    /// How many orders, if that is what ends the run.
    pub(crate) orders: Option<u64>,
    /// How long orders are placed otherwise.
    pub(crate) duration: Duration,
    /// Seed of all that is drawn.
    pub(crate) seed: u64,
    /// An order that is not at an end by then is lost.
    pub(crate) patience: Duration,
}

struct Done {
    id: String,
    placed: Option<Duration>,
    whole: Duration,
    outcome: Outcome,
}

/// Places the orders and follows each to its end. `stop` ends the placing early; what was placed is still followed.
///
/// # Errors
/// When there is nobody to order.
pub(crate) async fn run(
    plan: Plan,
    bar: &ProgressBar,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<Report> {
    let mut report = Report::new()?;
    let (done, mut finished) = mpsc::channel(1_024);
    let begun = Instant::now();
    let placing = place(Arc::new(plan), begun, done);
    tokio::pin!(placing, stop);
    let mut still_placing = true;
    loop {
        tokio::select! {
            result = &mut placing, if still_placing => {
                still_placing = false;
                result?;
            }
            () = &mut stop, if still_placing => still_placing = false,
            one = finished.recv() => match one {
                None => break,
                Some(one) => {
                    report.add(&one.id, one.placed, one.whole, &one.outcome);
                    bar.inc(1);
                }
            },
        }
    }
    report.took = begun.elapsed();
    Ok(report)
}

async fn place(plan: Arc<Plan>, begun: Instant, done: mpsc::Sender<Done>) -> anyhow::Result<()> {
    let arrivals = Arrivals::new(plan.seed, plan.rate, plan.customers.len());
    let limit = plan.orders.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    let last = if plan.orders.is_some() { Duration::MAX } else { plan.duration };
    let places = Arc::new(Semaphore::new(AT_ONCE));
    for arrival in arrivals.take(limit).take_while(|a| a.at < last) {
        tokio::time::sleep_until((begun + arrival.at).into()).await;
        let due = begun + arrival.at;
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            let why = format!("not placed: {AT_ONCE} orders are under way");
            let one =
                Done { id: "-".into(), placed: None, whole: Duration::ZERO, outcome: Outcome::Failed(why) };
            drop(done.send(one).await);
            continue;
        };
        let (plan, done) = (Arc::clone(&plan), done.clone());
        let work = async move {
            drop(done.send(follow(&plan, arrival, due).await).await);
            drop(place);
        };
        let marked = context::root().with_baggage(contracts::keys::SYNTHETIC, "test");
        drop(context::spawn(marked.run(work)));
    }
    Ok(())
}

/// One order from cart to end.
async fn follow(plan: &Plan, arrival: Arrival, due: Instant) -> Done {
    let Some(customer) = plan.customers.get(arrival.customer) else {
        let outcome = Outcome::Failed("nobody orders".to_owned());
        return Done { id: "-".into(), placed: None, whole: due.elapsed(), outcome };
    };
    let span = tracing::info_span!("load.order", "restaurant.id" = %arrival.meal.restaurant);
    let ordered = plan.shop.order(customer, &arrival.meal, "tok_visa").instrument(span).await;
    let placed = due.elapsed();
    match ordered {
        Ok(order) => {
            let id = order.id.clone();
            let outcome = to_its_end(plan, customer, order).await;
            Done { id, placed: Some(placed), whole: due.elapsed(), outcome }
        }
        Err(error) => refused(plan, customer, error, due).await,
    }
}

/// An order whose placing gave no clear yes may still have been taken: that is looked up before it is called failed.
async fn refused(plan: &Plan, customer: &Customer, error: anyhow::Error, due: Instant) -> Done {
    let refusal = error.downcast_ref::<shop::Refused>();
    let id = refusal.and_then(|r| r.order.clone());
    let unclear = refusal.is_none_or(|r| r.status.is_server_error());
    if let (true, Some(id)) = (unclear, &id) {
        let order = Order { id: id.clone(), state: "unknown".into(), trace_id: String::new() };
        let outcome = to_its_end(plan, customer, order).await;
        if !matches!(outcome, Outcome::Lost(_)) {
            return Done { id: id.clone(), placed: None, whole: due.elapsed(), outcome };
        }
    }
    let id = id.unwrap_or_else(|| "-".to_owned());
    Done { id, placed: None, whole: due.elapsed(), outcome: Outcome::Failed(format!("{error:#}")) }
}

async fn to_its_end(plan: &Plan, customer: &Customer, mut order: Order) -> Outcome {
    let until = Instant::now() + plan.patience;
    let mut pause = FIRST_PAUSE;
    loop {
        match order.state.as_str() {
            "delivered" => return Outcome::Delivered,
            "refunded" => return Outcome::Refunded,
            "rejected" | "declined" | "failed" | "cancelled" => return Outcome::Failed(order.state),
            _ if Instant::now() > until => return Outcome::Lost(order.state),
            _ => {}
        }
        tokio::time::sleep(pause).await;
        pause = pause.mul_f64(1.5).min(LONGEST_PAUSE);
        // A look that fails is no verdict: the next one may tell.
        if let Ok(seen) = plan.shop.look(customer, &order.id).await {
            order = seen;
        }
    }
}

/// Signs in `count` customers, one after the other: the same names every time, so that runs do not fill the accounts.
///
/// # Errors
/// When the front door cannot be reached or refuses.
pub(crate) async fn customers(shop: &Shop, count: usize) -> anyhow::Result<Vec<Customer>> {
    let mut customers = Vec::with_capacity(count);
    for n in 1..=count {
        let name = format!("load-{n}");
        let customer = shop.sign_in(&name, "a password for load tests").await;
        customers.push(customer.with_context(|| format!("customer {name}"))?);
    }
    Ok(customers)
}

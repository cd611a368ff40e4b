//! The customers: they fill carts and order, each when it is due, and write down what they were told.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};
use std::time::Duration;

use anyhow::Context;
use futures::{StreamExt, stream::FuturesUnordered};
use indicatif::ProgressBar;
use tokio::time::Instant;

use super::{
    record::now_ms,
    stage::{Draw, Pace, RUSH, Stage},
};
use crate::{
    load::{self, Arrivals},
    shop::{self, Cart, Customer, Meal, Shop},
};

/// Who orders.
const CUSTOMERS: usize = 3;
/// How often a customer whose line is cut presses the button again, with the same key.
const TRIES: u32 = 4;
/// Pause before it is pressed again.
const PAUSE: Duration = Duration::from_millis(400);

/// What one customer knows of an order.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    /// Position in the order of placing, from 1.
    pub(super) n: u32,
    /// Known from the cart on.
    pub(super) cart: Cart,
    /// Trace id of the reply to the order, else of that to the cart.
    pub(super) trace_id: String,
    /// What the front door answered.
    pub(super) answer: String,
    /// When it was ordered, Unix milliseconds.
    pub(super) at_ms: u64,
}

struct Due {
    n: u32,
    at: Duration,
    by: Customer,
    meal: Meal,
    card: &'static str,
}

/// A crowd that is signed in.
pub(super) struct Crowd {
    shop: Shop,
    due: Vec<Due>,
}

// === impl Crowd ===

impl Crowd {
    /// `count` orders over the rush, drawn by `seed`, to be placed at `front_door`.
    ///
    /// # Errors
    /// When nobody can sign in.
    pub(super) async fn gather(
        front_door: &str,
        stage: &Stage,
        seed: u64,
        count: u32,
        pace: Pace,
    ) -> anyhow::Result<Self> {
        let shop = Shop::new(front_door)?;
        let customers = load::customers(&shop, CUSTOMERS).await.context("signing in")?;
        let mut draw = Draw::new(seed ^ 0x000C_A12D);
        let rate = f64::from(count) / pace.of(RUSH).as_secs_f64();
        let arrivals = Arrivals::new(seed, rate, customers.len()).take(count as usize);
        let due = arrivals.zip(1..).map(|(arrival, n)| Due {
            n,
            at: arrival.at,
            by: customers[arrival.customer % customers.len()].clone(),
            meal: arrival.meal,
            card: draw.card(&stage.cards),
        });
        let due = due.collect();
        Ok(Self { shop, due })
    }

    /// Places every order when it is due and waits for the replies. A cart that could not be filled is no order.
    pub(super) async fn order(self, begun: Instant, bar: &ProgressBar) -> Vec<Placed> {
        let shop = &self.shop;
        let taken = Arc::new(AtomicU32::new(0));
        let mut under_way: FuturesUnordered<_> = self
            .due
            .into_iter()
            .map(|due| {
                let taken = Arc::clone(&taken);
                async move {
                    tokio::time::sleep_until(begun + due.at).await;
                    bar.set_position(u64::from(taken.fetch_add(1, Ordering::Relaxed) + 1));
                    one(shop, due).await
                }
            })
            .collect();
        let mut placed = Vec::new();
        while let Some(one) = under_way.next().await {
            placed.extend(one);
        }
        placed.sort_by_key(|p| p.n);
        placed
    }
}

async fn one(shop: &Shop, due: Due) -> Option<Placed> {
    let mut tries = 0;
    let cart = loop {
        match shop.fill(&due.by, &due.meal).await {
            Ok(cart) => break cart,
            Err(_) if tries < TRIES => tries += 1,
            Err(_) => return None,
        }
        tokio::time::sleep(PAUSE).await;
    };
    let at_ms = now_ms();
    let placed = |trace_id, answer| {
        let cart = cart.clone();
        Some(Placed { n: due.n, cart, trace_id, answer, at_ms })
    };
    loop {
        match shop.place(&due.by, &cart, due.card).await {
            Ok(order) => return placed(order.trace_id, order.state),
            Err(error) => match shop::status_of(&error) {
                Some(status) => return placed(cart.trace_id.clone(), status.as_u16().to_string()),
                // No answer at all: the line was cut, or nobody is there.
                None if tries < TRIES => tries += 1,
                None => return placed(cart.trace_id.clone(), "no answer".to_owned()),
            },
        }
        tokio::time::sleep(PAUSE).await;
    }
}

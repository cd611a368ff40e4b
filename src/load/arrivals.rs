//! When orders come and what is ordered: all drawn from one seed, so that a run can be repeated.

use std::time::Duration;

use contracts::catalogue::{Restaurant, restaurants};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::shop::Meal;

/// An endless sequence of orders.
#[derive(Debug)]
pub(crate) struct Arrivals {
    random: ChaCha8Rng,
    rate: f64,
    at: Duration,
    menus: Vec<Restaurant>,
    customers: usize,
}

/// One order to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// When, since the start.
    pub(crate) at: Duration,
    /// What.
    pub(crate) meal: Meal,
    /// By which of the customers.
    pub(crate) customer: usize,
}

// === impl Arrivals ===

impl Arrivals {
    /// `rate` orders a second on average, with exponential gaps, as independent customers make them.
    pub(crate) fn new(seed: u64, rate: f64, customers: usize) -> Self {
        let mut menus = restaurants();
        for restaurant in &mut menus {
            restaurant.dishes.retain(|d| d.stock > 0);
        }
        // Only what can be had: closed kitchens and empty shelves are for those who test them.
        menus.retain(|r| !r.dishes.is_empty() && r.opens_h == 0 && r.closes_h == 24);
        let random = ChaCha8Rng::seed_from_u64(seed);
        Self { random, rate, at: Duration::ZERO, menus, customers }
    }
}

impl Iterator for Arrivals {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let uniform: f64 = self.random.random_range(f64::EPSILON..1.0);
        let arrival_at = self.at;
        self.at += Duration::from_secs_f64((-uniform.ln() / self.rate).min(3_600.0));
        let menu = self.menus.get(self.random.random_range(0..self.menus.len().max(1)))?;
        let dish = menu.dishes.get(self.random.random_range(0..menu.dishes.len()))?;
        let meal = Meal::of(menu, dish, self.random.random_range(1..=3));
        Some(Arrival { at: arrival_at, meal, customer: self.random.random_range(0..self.customers) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_orders_the_same_and_another_does_not() {
        let first = |seed| Arrivals::new(seed, 50.0, 4).take(20).collect::<Vec<_>>();
        assert_eq!(first(1), first(1));
        assert_ne!(first(1), first(2));
    }

    #[test]
    fn the_mean_rate_is_the_one_asked_for() {
        let last = Arrivals::new(7, 50.0, 4).nth(5_000).map(|a| a.at.as_secs_f64()).unwrap_or_default();
        assert!((90.0..110.0).contains(&last), "5000 orders at 50/s took {last} s");
    }
}

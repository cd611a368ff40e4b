//! The restaurants and dishes that can be ordered: the front door shows them, restaurant-availability keeps their stock.

use serde::{Deserialize, Serialize};

/// A restaurant of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restaurant {
    /// Stable id, such as `bella-napoli`.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Delivery zone, such as `old-harbour`.
    pub zone: String,
    /// Opening hour, 0 to 24, UTC.
    pub opens_h: u8,
    /// Closing hour, 0 to 24, UTC; opens_h 0 and closes_h 24 never closes.
    pub closes_h: u8,
    /// Orders the kitchen cooks at once.
    pub kitchen_capacity: u32,
    /// The menu.
    pub dishes: Vec<Dish>,
}

/// A dish of a menu.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dish {
    /// Stable id, unique in the catalogue.
    pub sku: String,
    /// What people call it.
    pub name: String,
    /// Price of one in minor units of USD.
    pub price_minor: i64,
    /// Portions at opening; 0 is sold out.
    pub stock: u32,
}

/// The built-in catalogue.
pub fn restaurants() -> Vec<Restaurant> {
    serde_json::from_str(include_str!("../catalogue.json")).unwrap_or_default()
}

/// ISO 4217 code of every price here.
pub const CURRENCY: &str = "USD";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_parses_and_its_skus_are_unique() {
        let all = restaurants();
        assert!(all.len() >= 8);
        let mut skus: Vec<_> = all.iter().flat_map(|r| &r.dishes).map(|d| &d.sku).collect();
        let count = skus.len();
        skus.sort();
        skus.dedup();
        assert_eq!(skus.len(), count);
    }
}

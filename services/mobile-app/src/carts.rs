//! Carts: what someone wants, priced from the catalogue, with the id and the trace of the order it will become.

use chassis::{Database, Traced};
use contracts::{catalogue, code};
use telemetry::context::StoredContext;

use crate::{
    bodies::{Cart, CartRequest, PricedLine},
    clock::now_ms,
    error::FrontError,
};

/// Groups of four symbols in cart and order ids: 60 bits, not to be guessed.
pub(crate) const GROUPS: usize = 3;
/// How long a cart waits to be ordered.
const KEPT_MS: i64 = 24 * 3600 * 1000;
const MOST_LINES: usize = 20;
const MOST_OF_A_DISH: i32 = 50;

/// The carts in the database.
#[derive(Clone)]
pub(crate) struct Carts {
    database: Database,
}

/// A cart with what the customer need not see.
#[derive(Debug, Clone)]
pub(crate) struct StoredCart {
    pub(crate) cart: Cart,
    pub(crate) zone: String,
    pub(crate) context: StoredContext,
}

#[derive(sqlx::FromRow)]
struct Row {
    cart_id: String,
    order_id: String,
    restaurant_id: String,
    zone: String,
    items: String,
    amount_minor: i64,
    currency: String,
    traceparent: String,
    tracestate: String,
}

// === impl Carts ===

impl Carts {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Keeps the cart, with the running span as the one that its order will continue.
    pub(crate) async fn keep(&self, mut cart: Cart, zone: &str) -> Result<Cart, FrontError> {
        let context = telemetry::context::store();
        cart.trace_id = context.trace_id().unwrap_or_default();
        let items = serde_json::to_string(&cart.items).unwrap_or_default();
        let mut tx = self.database.begin().await?;
        sqlx::query(
            "INSERT INTO carts (cart_id, order_id, restaurant_id, zone, items, amount_minor, currency,
                 traceparent, tracestate, created_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(&cart.cart_id)
        .bind(&cart.order_id)
        .bind(&cart.restaurant_id)
        .bind(zone)
        .bind(items)
        .bind(cart.amount_minor)
        .bind(&cart.currency)
        .bind(context.traceparent)
        .bind(context.tracestate)
        .bind(now_ms())
        .execute(&mut *tx)
        .traced("INSERT carts")
        .await?;
        tx.commit().await?;
        Ok(cart)
    }

    /// A cart by its id, however it was typed. Read without a span: until it is known, so is not whose trace this is.
    pub(crate) async fn find(&self, cart_id: &str) -> Result<StoredCart, FrontError> {
        let cart_id = code::parse(cart_id, GROUPS).ok_or(FrontError::NoCart)?;
        self.one("SELECT * FROM carts WHERE cart_id = $1", &cart_id).await
    }

    /// The cart that an order came from.
    pub(crate) async fn of_order(&self, order_id: &str) -> Result<StoredCart, FrontError> {
        self.one("SELECT * FROM carts WHERE order_id = $1", order_id).await
    }

    async fn one(&self, query: &'static str, id: &str) -> Result<StoredCart, FrontError> {
        let row: Option<Row> = sqlx::query_as(query).bind(id).fetch_optional(self.database.read()).await?;
        row.map(StoredCart::from).ok_or(FrontError::NoCart)
    }

    /// Forgets carts that no one ordered.
    pub(crate) async fn tidy(&self) -> Result<(), FrontError> {
        let mut tx = self.database.begin_quiet().await?;
        for query in [
            "DELETE FROM orders WHERE customer_id = '' AND created_ms < $1",
            "DELETE FROM carts WHERE created_ms < $1
                 AND NOT EXISTS (SELECT 1 FROM orders WHERE orders.order_id = carts.order_id)",
        ] {
            sqlx::query(query).bind(now_ms() - KEPT_MS).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }
}

/// A cart for the order `order_id`, with names and prices of the catalogue, and its delivery zone.
pub(crate) fn price(request: &CartRequest, order_id: String) -> Result<(Cart, String), FrontError> {
    let all = catalogue::restaurants();
    let restaurant = all
        .iter()
        .find(|r| r.id == request.restaurant_id)
        .ok_or_else(|| FrontError::NoRestaurant(shown(&request.restaurant_id)))?;
    if !(1..=MOST_LINES).contains(&request.items.len()) {
        return Err(FrontError::Invalid(format!("items: 1 to {MOST_LINES} lines")));
    }
    let mut items: Vec<PricedLine> = Vec::new();
    for line in &request.items {
        let dish = restaurant
            .dishes
            .iter()
            .find(|d| d.sku == line.sku)
            .ok_or_else(|| FrontError::NoDish { restaurant: restaurant.id.clone(), sku: shown(&line.sku) })?;
        if !(1..=MOST_OF_A_DISH).contains(&line.quantity) {
            return Err(FrontError::Invalid(format!("quantity of {}: 1 to {MOST_OF_A_DISH}", dish.sku)));
        }
        if items.iter().any(|known| known.sku == dish.sku) {
            return Err(FrontError::Invalid(format!("{} is there twice; add the quantities", dish.sku)));
        }
        items.push(PricedLine {
            sku: dish.sku.clone(),
            name: dish.name.clone(),
            quantity: line.quantity,
            price_minor: dish.price_minor,
        });
    }
    let cart = Cart {
        cart_id: code::random(GROUPS),
        order_id,
        restaurant_id: restaurant.id.clone(),
        amount_minor: items.iter().map(|i| i.price_minor * i64::from(i.quantity)).sum(),
        items,
        currency: catalogue::CURRENCY.to_owned(),
        trace_id: String::new(),
    };
    Ok((cart, restaurant.zone.clone()))
}

fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

// === impl StoredCart ===

impl From<Row> for StoredCart {
    fn from(row: Row) -> Self {
        let context = StoredContext { traceparent: row.traceparent, tracestate: row.tracestate };
        let cart = Cart {
            cart_id: row.cart_id,
            order_id: row.order_id,
            restaurant_id: row.restaurant_id,
            items: serde_json::from_str(&row.items).unwrap_or_default(),
            amount_minor: row.amount_minor,
            currency: row.currency,
            trace_id: context.trace_id().unwrap_or_default(),
        };
        Self { cart, zone: row.zone, context }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bodies::Line;

    fn request(lines: &[(&str, i32)]) -> CartRequest {
        let line = |(sku, quantity): &(&str, i32)| Line { sku: (*sku).to_owned(), quantity: *quantity };
        CartRequest { restaurant_id: "bella-napoli".into(), items: lines.iter().map(line).collect() }
    }

    #[test]
    fn a_cart_costs_what_the_catalogue_says() {
        let wanted = request(&[("bella-napoli/party-pizza", 1), ("bella-napoli/tiramisu", 2)]);
        let (cart, zone) = price(&wanted, "o".into()).unwrap();
        assert_eq!((cart.amount_minor, zone.as_str()), (21500, "old-harbour"));
    }

    #[test]
    fn what_cannot_be_ordered_makes_no_cart() {
        let dish = "bella-napoli/tiramisu";
        for lines in [&[][..], &[(dish, 0)], &[(dish, 51)], &[(dish, -1)], &[(dish, 1), (dish, 1)]] {
            assert!(matches!(price(&request(lines), "o".into()), Err(FrontError::Invalid(_))), "{lines:?}");
        }
        assert!(matches!(price(&request(&[("x", 1)]), "o".into()), Err(FrontError::NoDish { .. })));
    }
}

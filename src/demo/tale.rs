//! The tale: a good night, a lost pizza, the cure.

use std::{collections::BTreeMap, time::Instant};

use anyhow::anyhow;
use contracts::catalogue;
use journey::Route;

use super::{outside::Outside, page};
use crate::{
    ask::{Backend, BackendArgs, Window, now_ns},
    fleet::Fleet,
    shop::{Customer, Meal, Shop},
    term,
};

/// How the fleet is set up for the tale. The fault is the courier fleet's and comes from outside: it does not answer for
/// the old harbour. What differs between lost and cured is one variable of one service, which picks up what it had dropped.
pub(crate) const OVERRIDES: [&str; 4] = [
    "partners:WAYBILL_PARTNERS_SCHEDULE={\"rules\":[{\"partner\":\"courier-fleet\",\
     \"match\":{\"zone\":\"old-harbour\"},\"do\":\"hang\"}]}",
    "partners:WAYBILL_RIDE=300ms",
    "delivery-assignment:WAYBILL_COURIER_DEADLINE=3s",
    "delivery-assignment:WAYBILL_RESILIENCE=off",
];

/// Restaurant, dish, quantity: delivered as they should be.
const GOOD: [(&str, &str, u32); 3] = [
    ("sakura", "sakura/salmon-set", 2),
    ("taj-palace", "taj-palace/butter-chicken", 1),
    ("el-camino", "el-camino/burrito", 3),
];
/// The one that the tale is about: its restaurant is in the old harbour.
const PIZZA: (&str, &str, u32) = ("bella-napoli", "bella-napoli/party-pizza", 1);

struct Stage<'a> {
    fleet: &'a mut Fleet,
    shop: Shop,
    customer: Customer,
    backend: Backend,
    outside: Outside,
    route: Route,
    begun: Instant,
}

/// Tells the tale on a running fleet that was started at `begun`.
///
/// # Errors
/// When an order cannot be placed, or does not end as the tale says it does.
pub(crate) async fn tell(fleet: &mut Fleet, begun: Instant) -> anyhow::Result<()> {
    let shop = Shop::new(&fleet.plan().url("mobile-app", "http"))?;
    let backend = Backend::connect(&BackendArgs::at(&fleet.plan().url("tracestore", "http"))).await?;
    let outside = Outside::new(fleet.plan().url("partners", "http"));
    let route = Route::parse(contracts::ROUTE)?;
    let customer = shop.sign_in("new-years-eve", "should auld acquaintance").await?;
    let mut stage = Stage { fleet, shop, customer, backend, outside, route, begun };
    stage.good_night().await?;
    let pizza = stage.lost().await?;
    stage.cured(&pizza).await?;
    stage.footprint()
}

// === impl Stage ===

impl Stage<'_> {
    /// Three meals at once; the first is shown as soon as its waterfall is whole.
    async fn good_night(&self) -> anyhow::Result<()> {
        let mut orders = Vec::new();
        for choice in GOOD {
            orders.push(self.order(choice).await?);
        }
        let steps: Vec<_> = self.route.steps.iter().map(journey::Step::name).collect();
        heading("A good night")?;
        term::say(&term::dim(&format!("stamps: {}", steps.join(" · "))))?;
        for (i, (id, meal)) in orders.iter().enumerate() {
            let page = page::read(&self.backend, &self.route, id, page::delivered).await?;
            if i == 0 {
                let seconds = self.begun.elapsed().as_secs_f64();
                term::say(&term::dim(&format!("first waterfall {seconds:.1} s after the start")))?;
                self.yesterday().await?;
            }
            page.print(&meal.title, &self.backend)?;
        }
        Ok(())
    }

    /// What an earlier run left is still there.
    async fn yesterday(&self) -> anyhow::Result<()> {
        let begun = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let until = Window { start_ns: 0, end_ns: now_ns().saturating_sub(begun) };
        if let Some(old) = self.backend.any("mobile-app", "POST /orders", until).await? {
            term::say(&format!("still there from an earlier run: {}", self.backend.link(&old.id)))?;
        }
        Ok(())
    }

    async fn lost(&self) -> anyhow::Result<(String, Meal)> {
        heading("New Year's Eve: no courier answers for the old harbour, and delivery-assignment is naive")?;
        let (id, meal) = self.order(PIZZA).await?;
        let page = page::read(&self.backend, &self.route, &id, page::stranded).await?;
        page.print(&meal.title, &self.backend)?;
        self.aftermath(&id).await?;
        Ok((id, meal))
    }

    async fn cured(&mut self, (id, meal): &(String, Meal)) -> anyhow::Result<()> {
        heading(
            "The cure: delivery-assignment alone is restarted with WAYBILL_RESILIENCE=on; the same order, again",
        )?;
        let cure = BTreeMap::from([("WAYBILL_RESILIENCE".to_owned(), "on".to_owned())]);
        self.fleet.restart("delivery-assignment", cure).await?;
        let page = page::read(&self.backend, &self.route, id, page::made_good).await?;
        page.print(&meal.title, &self.backend)?;
        self.aftermath(id).await
    }

    /// What card network and push provider have in their own books.
    async fn aftermath(&self, id: &str) -> anyhow::Result<()> {
        term::say(&format!("   card network: {}", self.outside.money(id).await?))?;
        let told = self.outside.told(id).await?;
        let told = if told.is_empty() { "nothing".to_owned() } else { told.join("; ") };
        Ok(term::say(&format!("   the customer was told: {told}"))?)
    }

    fn footprint(&self) -> anyhow::Result<()> {
        let (memory, mib) = (self.fleet.memory(), 1 << 20);
        let count = self.fleet.plan().parts.len() + 1;
        term::say("")?;
        Ok(term::say(&term::dim(&format!(
            "{count} processes hold {} MiB of memory together ({} MiB if the program they share is counted for each)",
            memory.held / mib,
            memory.resident / mib
        )))?)
    }

    async fn order(&self, (restaurant, sku, quantity): (&str, &str, u32)) -> anyhow::Result<(String, Meal)> {
        let menus = catalogue::restaurants();
        let unknown = || anyhow!("the catalogue has no {sku}");
        let menu = menus.iter().find(|r| r.id == restaurant).ok_or_else(unknown)?;
        let dish = menu.dishes.iter().find(|d| d.sku == sku).ok_or_else(unknown)?;
        let meal = Meal::of(menu, dish, quantity);
        let order = self.shop.order(&self.customer, &meal, "tok_visa").await?;
        Ok((order.id, meal))
    }
}

fn heading(text: &str) -> std::io::Result<()> {
    term::say(&format!("\n{}", term::bold(text)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::fleet::Override;

    #[test]
    fn the_route_has_the_eight_services_as_its_steps_in_the_order_of_the_design() {
        let route = Route::parse(contracts::ROUTE).unwrap();
        let services: Vec<_> = crate::cmd::service::SERVICES.iter().map(|s| s.name).collect();
        let steps: Vec<_> = route.steps.iter().map(journey::Step::name).collect();
        assert_eq!(steps, services);
    }

    #[test]
    fn what_the_tale_orders_and_sets_exists() {
        let menus = catalogue::restaurants();
        let zone = |id: &str| menus.iter().find(|r| r.id == id).unwrap().zone.clone();
        for (restaurant, sku, _) in GOOD.iter().chain([&PIZZA]) {
            let menu = menus.iter().find(|r| r.id == *restaurant).unwrap();
            assert!(menu.dishes.iter().any(|d| d.sku == *sku), "{sku}");
        }
        assert!(
            GOOD.iter().all(|(restaurant, ..)| zone(restaurant) != zone(PIZZA.0)),
            "only the pizza is lost"
        );
        assert!(OVERRIDES.iter().all(|o| o.parse::<Override>().is_ok()));
    }
}

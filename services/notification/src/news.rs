//! What the customer is told. Pure: no transport, no database.

use contracts::message::{OrderFailed, Ride};

/// A piece of news for one customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) order_id: String,
    pub(crate) customer_id: String,
    pub(crate) title: &'static str,
    pub(crate) body: String,
}

/// Currencies without minor units (ISO 4217, exponent 0) that a card may be charged in.
const WHOLE: [&str; 6] = ["CLP", "ISK", "JPY", "KRW", "PYG", "VND"];

// === impl News ===

impl News {
    /// The courier has set off.
    pub(crate) fn started(ride: Ride) -> Self {
        let body = format!("Courier {} has picked it up. Follow the ride in the app.", ride.courier_id);
        Self {
            order_id: ride.order_id,
            customer_id: ride.customer_id,
            title: "Your order is on its way",
            body,
        }
    }

    /// The food is there.
    pub(crate) fn delivered(ride: Ride) -> Self {
        let body = "Your order has been delivered.".to_owned();
        Self { order_id: ride.order_id, customer_id: ride.customer_id, title: "Enjoy your meal", body }
    }

    /// Nobody rides, and the money goes back.
    pub(crate) fn failed(failed: OrderFailed) -> Self {
        let why = match failed.reason.as_str() {
            "no_courier" => "No courier is free in your area.",
            "courier_timeout" => "We could not find a courier in time.",
            _ => "Something went wrong on our side.",
        };
        let money = money(failed.amount_minor, &failed.currency);
        Self {
            order_id: failed.order_id,
            customer_id: failed.customer_id,
            title: "Your order cannot be delivered",
            body: format!("{why} We are sorry. Your refund of {money} is on its way back to your card."),
        }
    }
}

fn money(minor: i64, currency: &str) -> String {
    if WHOLE.contains(&currency) {
        return format!("{minor} {currency}");
    }
    let number = format!("{}.{:02}", minor / 100, (minor % 100).abs());
    if currency == "USD" { format!("${number}") } else { format!("{number} {currency}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_order_tells_why_and_names_the_refund() {
        for (reason, amount, currency, why, refund) in [
            ("courier_timeout", 20_000, "USD", "in time", "$200.00"),
            ("no_courier", 1_905, "EUR", "No courier", "19.05 EUR"),
            ("meteor", 300, "JPY", "our side", "300 JPY"),
        ] {
            let news = News::failed(OrderFailed {
                order_id: "o-1".into(),
                customer_id: "u-1".into(),
                reason: reason.into(),
                amount_minor: amount,
                currency: currency.into(),
            });
            assert!(news.body.contains(why) && news.body.contains(refund), "{}", news.body);
        }
    }
}

//! `waybill lost` over real fleets: what was dropped on the floor is found, grouped and summed; what only lost its telemetry
//! is not called lost; and the money adds up by traces and by books alike.

use serde_json::{Value, json};

use crate::{
    customer::{Customer, Ordered, PIZZA, SUSHI},
    harness::{Fleet, NOBODY_RIDES, eventually, http, run, waybill},
};

/// What `waybill lost --json` says of `fleet`, with its exit status.
async fn lost(fleet: &Fleet, more: &[&str]) -> (Option<i32>, Value) {
    let mut command = waybill(["lost", "--json", "--endpoints"]);
    command.arg(fleet.data().join("endpoints.json")).args(more);
    let ended = run(command).await;
    let told =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{}{}", ended.stdout, ended.stderr));
    (ended.status.code(), told)
}

async fn place(customer: &Customer, dish: (&str, &str), times: usize) -> Vec<Ordered> {
    let mut all = Vec::new();
    for _ in 0..times {
        all.push(customer.order(dish).await);
    }
    all
}

/// Asks until the answer fits: spans arrive a moment after what they tell of.
async fn until_told(fleet: &Fleet, what: &str, fits: impl Fn(&Value) -> bool) -> (Option<i32>, Value) {
    eventually(what, || async {
        let (status, told) = lost(fleet, &[]).await;
        if fits(&told) { Ok((status, told)) } else { Err(told.to_string()) }
    })
    .await
}

fn counts(side: &Value) -> Vec<(&'static str, u64)> {
    let terms = ["paid", "delivered", "refunded", "under_way", "stopped", "undecided"];
    terms.into_iter().map(|term| (term, side[term]["count"].as_u64().unwrap())).collect()
}

#[tokio::test]
async fn orders_dropped_on_new_years_eve_are_found_grouped_and_summed_and_the_books_agree() {
    let naive = "delivery-assignment:WAYBILL_RESILIENCE=off";
    let fleet = Fleet::with(&["--env", NOBODY_RIDES, "--env", naive]).await;
    let customer = Customer::of(&fleet).await;
    let dropped = place(&customer, PIZZA, 3).await;
    place(&customer, SUSHI, 2).await;

    let settled = |told: &Value| {
        let at_rest = told["outcomes"]["arrived"] == 2 && told["outcomes"]["stopped"] == 3;
        at_rest && told["reconciliation"]["books"]["under_way"]["count"] == 0
    };
    let (status, told) = until_told(&fleet, "three stopped, two delivered", settled).await;

    assert_eq!(status, Some(1));
    assert_eq!(told["stopped"].as_array().unwrap().len(), 1, "{told}");
    let group = &told["stopped"][0];
    assert_eq!((&group["step"], &group["cause"]), (&json!("delivery-assignment"), &json!("courier_timeout")));
    assert_eq!((&group["count"], &group["owed"]), (&json!(3), &json!({"USD": 60_000})));
    for example in group["examples"].as_array().unwrap() {
        let order = dropped.iter().find(|o| o.id == example["order"]).unwrap_or_else(|| panic!("{example}"));
        assert!(example["link"].as_str().unwrap().ends_with(&order.trace_id), "{example}");
    }
    let sides = &told["reconciliation"];
    let want =
        [("paid", 5), ("delivered", 2), ("refunded", 0), ("under_way", 0), ("stopped", 3), ("undecided", 0)];
    assert_eq!(counts(&sides["traces"]), want, "{told}");
    assert_eq!(sides["traces"], sides["books"]);
    assert_eq!(
        (&sides["differences_total"], &sides["books"]["stopped"]["money"]["USD"]),
        (&json!(0), &json!(60_000))
    );

    // The traces alone find the same, and a step at which nothing stopped has lost nothing.
    let (status, alone) = lost(&fleet, &["--no-books"]).await;
    assert_eq!(
        (status, &alone["stopped"][0]["count"], &alone["reconciliation"]["books"]),
        (Some(1), &json!(3), &Value::Null)
    );
    assert_eq!(lost(&fleet, &["--step", "tracking"]).await.0, Some(0));

    let mut command = waybill(["lost", "--plain", "--endpoints"]);
    command.arg(fleet.data().join("endpoints.json"));
    let said = run(command).await.stdout;
    assert!(
        said.contains("3 orders stopped at delivery-assignment") && said.contains("$600.00 owed"),
        "{said}"
    );
    assert!(said.contains("= delivered") && said.contains("differ on no order"), "{said}");
}

#[tokio::test]
async fn in_the_cured_pipeline_nothing_is_lost_and_the_last_term_is_zero() {
    let fleet = Fleet::with(&["--env", NOBODY_RIDES]).await;
    let customer = Customer::of(&fleet).await;
    place(&customer, PIZZA, 2).await;
    place(&customer, SUSHI, 1).await;
    let settled = |told: &Value| told["outcomes"] == json!({"arrived": 3});
    let (status, told) = until_told(&fleet, "all at rest", settled).await;
    assert_eq!((status, &told["lost"]), (Some(0), &json!(0)));
    let sides = &told["reconciliation"];
    let want =
        [("paid", 3), ("delivered", 1), ("refunded", 2), ("under_way", 0), ("stopped", 0), ("undecided", 0)];
    assert_eq!(counts(&sides["books"]), want, "{told}");
    assert_eq!(counts(&sides["traces"]), want, "{told}");
    assert_eq!(sides["differences_total"], 0);
    crate::doctor::finds_nothing(&fleet).await;
}

#[tokio::test]
async fn orders_of_which_a_service_or_the_front_door_sends_no_spans_are_not_called_lost() {
    let ailing = ["mobile-app:OTEL_TRACES_EXPORTER=none", "tracking:OTEL_TRACES_EXPORTER=none"];
    let fleet = Fleet::with(&["--env", ailing[0], "--env", ailing[1]]).await;
    let customer = Customer::of(&fleet).await;
    let orders = place(&customer, SUSHI, 2).await;
    for order in &orders {
        customer.until(&order.id, "delivered").await;
    }
    let settled =
        |told: &Value| told["orders"] == 2 && told["reconciliation"]["books"]["delivered"]["count"] == 2;
    let (status, told) = until_told(&fleet, "two orders", settled).await;
    assert_eq!((status, &told["lost"]), (Some(0), &json!(0)), "{told}");
}

#[tokio::test]
async fn every_book_tells_how_an_order_stands() {
    let fleet = crate::harness::shared().await;
    let customer = Customer::of(fleet).await;
    let order = customer.order(SUSHI).await;
    customer.until(&order.id, "delivered").await;
    for (service, says, state) in [
        ("mobile-app", "done", "placed"),
        ("payment-gateway", "done", "charged"),
        ("restaurant-orders", "ended", "delivered"),
        ("delivery-assignment", "done", "riding"),
        ("tracking", "ended", "delivered"),
        ("notification", "done", "told_start"),
    ] {
        let url = format!("{}/book?order_id={},nobody", fleet.url(service, "http"), order.id);
        eventually(&format!("{service} says {state}"), || async {
            let page: Value = http()
                .get(&url)
                .send()
                .await
                .map_err(|e| e.to_string())?
                .json()
                .await
                .map_err(|e| e.to_string())?;
            let (entry, other) = (&page["entries"][0], &page["entries"][1]);
            let right = entry["says"] == says && entry["state"] == state && other["says"] == "not_seen";
            let named = entry["trace_id"].as_str().is_none_or(|id| id == order.trace_id);
            if right && named && page["messages"] == json!([]) { Ok(()) } else { Err(page.to_string()) }
        })
        .await;
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_said_with_its_own_status() {
    let ended = run(waybill(["lost", "--jaeger", "http://127.0.0.1:1"])).await;
    assert_eq!(ended.status.code(), Some(4), "{}", ended.stderr);
    for wrong in [&["--step", "pizza"][..], &["--since", "1h", "--until", "2h"]] {
        let ended = run(waybill(["lost"].into_iter().chain(wrong.iter().copied()))).await;
        assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(wrong[0]), "{}", ended.stderr);
    }
}

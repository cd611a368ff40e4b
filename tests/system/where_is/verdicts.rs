//! Lost, cured, under way, undecided: what `where` says, and how it ends.

use journey::Trace;
use serde_json::Value;

use super::{ask, objects};
use crate::{
    customer::{Customer, PIZZA, SUSHI, trace},
    harness::{Fleet, NOBODY_RIDES, eventually},
};

/// The answer to `arguments`, once it has exit status `status`.
async fn once(fleet: &Fleet, arguments: &[&str], status: i32) -> Value {
    let mut all = arguments.to_vec();
    all.push("--json");
    eventually(&format!("where {arguments:?} ends with {status}"), || async {
        let ended = ask(fleet, &all).await;
        let answer = objects(&ended).into_iter().next().ok_or_else(|| ended.stderr.clone())?;
        if ended.status.code() == Some(status) { Ok(answer) } else { Err(answer["sentence"].to_string()) }
    })
    .await
}

/// Waits for a span of that name: services send them each in their own time.
async fn seen(fleet: &Fleet, id: &str, name: &str) {
    let there =
        |t: &Trace| t.spans.iter().any(|s| s.name == name).then_some(()).ok_or(format!("no {name} yet"));
    trace(fleet, id, there).await;
}

#[tokio::test]
async fn a_dropped_order_stopped_at_delivery_assignment_with_the_money_that_is_owed() {
    let fleet =
        Fleet::with(&["--env", NOBODY_RIDES, "--env", "delivery-assignment:WAYBILL_RESILIENCE=off"]).await;
    let customer = Customer::of(&fleet).await;
    let order = customer.order(PIZZA).await;
    seen(&fleet, &order.trace_id, "process order.accepted").await;
    let answer = once(&fleet, &[&order.id], 1).await;
    assert_eq!(answer["stop"]["step"], "delivery-assignment", "{answer:#}");
    assert_eq!(answer["stop"]["phase"], "failed", "{answer:#}");
    assert_eq!(
        (&answer["value"]["taken"], &answer["value"]["returned"]),
        (&true.into(), &false.into()),
        "{answer:#}"
    );
    let sentence = answer["sentence"].as_str().unwrap();
    for words in ["stopped at delivery assignment", "no courier answered within 3 s", "$200.00 was charged"] {
        assert!(sentence.contains(words), "{sentence}");
    }
    let ended = ask(&fleet, &[&order.id]).await;
    assert!(
        ended.stdout.contains("⚠️ delivery-assignment") && ended.stdout.contains("✗  tracking"),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stdout.lines().any(|l| l.starts_with("next ") && l.contains("delivery-assignment")),
        "{}",
        ended.stdout
    );
}

#[tokio::test]
async fn an_order_is_followed_until_it_is_refunded() {
    let fleet = Fleet::with(&["--env", NOBODY_RIDES]).await;
    let customer = Customer::of(&fleet).await;
    let order = customer.order(PIZZA).await;
    seen(&fleet, &order.trace_id, "accept mobile-app").await;
    let ended = ask(&fleet, &[&order.id, "--watch"]).await;
    assert_eq!(ended.status.code(), Some(0), "{}{}", ended.stdout, ended.stderr);
    let changes: Vec<_> = ended.stdout.lines().filter(|l| l.contains("is under way")).collect();
    assert!(!changes.is_empty() && changes.iter().all(|l| l.contains('⏳')), "{}", ended.stdout);
    assert!(ended.stdout.contains("↩ refund") && ended.stdout.contains("refunded"), "{}", ended.stdout);
    let answer = once(&fleet, &[&order.id], 0).await;
    assert_eq!(
        (&answer["end"], &answer["alternative"]["name"]),
        (&"refunded".into(), &"refund".into()),
        "{answer:#}"
    );
}

#[tokio::test]
async fn a_silent_last_step_is_undecided_by_traces_alone_and_decided_by_its_book() {
    let fleet = Fleet::with(&["--env", "notification:OTEL_SDK_DISABLED=true"]).await;
    let customer = Customer::of(&fleet).await;
    let order = customer.order(SUSHI).await;
    customer.until(&order.id, "delivered").await;
    let answer = once(&fleet, &[&order.id, "--no-witnesses"], 6).await;
    assert_eq!(answer["outcome"], "undecided", "{answer:#}");
    let answer = once(&fleet, &[&order.id], 0).await;
    assert_eq!(answer["outcome"], "arrived", "{answer:#}");
    let findings = answer["findings"].as_array().unwrap();
    let decides = |f: &Value| f["source"] == "notification's book" && f["weight"] == "decisive";
    assert!(findings.iter().any(decides), "{answer:#}");
}

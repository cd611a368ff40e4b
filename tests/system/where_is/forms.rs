//! Every form of id leads to the same order.

use std::collections::BTreeSet;

use journey::Trace;
use serde_json::Value;

use super::{ask, objects, plainly};
use crate::{
    customer::{Customer, PIZZA, SUSHI, trace},
    harness::{Fleet, shared},
    one_order::whole,
};

/// A delivered order with every id under which someone may know it.
struct Known {
    order: String,
    ids: Vec<(&'static str, String)>,
}

/// Orders, waits for the delivery, and collects the ids from replies and from the partners' own records.
async fn known(fleet: &Fleet) -> Known {
    let customer = Customer::of(fleet).await;
    let order = customer.order(SUSHI).await;
    customer.until(&order.id, "delivered").await;
    let seen = trace(fleet, &order.trace_id, |trace| {
        // Services send their spans each in their own time.
        whole(trace)?;
        let references = references(trace);
        let all = references.iter().map(|r| partner(r)).collect::<BTreeSet<_>>().len() >= 4;
        all.then_some(()).ok_or_else(|| format!("not all told yet: {references:?}"))
    });
    let seen = seen.await;
    let look = customer.ask(reqwest::Method::GET, &format!("/orders/{}", order.id), None).await;
    let header = |name: &str| look.headers()[name].to_str().unwrap().to_owned();
    let (later, timing) = (header("x-trace-id"), header("server-timing"));
    assert_ne!(later, order.trace_id, "a later look is a trace of its own");
    // It is sent after the reply, too, and leads to the order by a link alone.
    let links = |t: &Trace| t.spans.iter().flat_map(|s| &s.links).any(|l| l.trace == order.trace_id);
    trace(fleet, &later, |t| links(t).then_some(()).ok_or("no link yet".to_owned())).await;
    let attribute = |key: &str| seen.attribute(key).unwrap_or_else(|| panic!("no {key}")).to_owned();
    let (id, hex) = (order.id.clone(), order.trace_id.clone());
    let store = fleet.url("tracestore", "http");
    let uuid = uuid::Uuid::try_parse(&hex).unwrap();
    let mut ids = vec![
        ("order id", id.clone()),
        ("order id, lower case without hyphens", id.to_lowercase().replace('-', "")),
        ("order id, in groups", id.replace('-', " ")),
        ("cart id", attribute("cart.id")),
        ("payment reference", attribute("payment.reference").to_lowercase()),
        ("trace id", hex.clone()),
        ("trace id, upper case", hex.to_uppercase()),
        ("trace id as a UUID", uuid.hyphenated().to_string()),
        ("traceparent", format!("00-{hex}-00f067aa0ba902b7-01")),
        ("link", format!("{store}/trace/{hex}?uiFind=x")),
        ("link of another host with a base path", format!("https://ops.example/jaeger/trace/{hex}")),
        ("trace id of a later look", later),
        ("Server-Timing of a later look", timing),
        (
            "line of a log",
            format!(
                r#"{{"level":"INFO","trace_id":"{hex}","span_id":"00f067aa0ba902b7","order.id":"{id}"}}"#
            ),
        ),
    ];
    ids.extend(references(&seen).into_iter().map(|r| ("partner's reference", r)));
    Known { order: id, ids }
}

/// What the four partners know it by.
fn references(trace: &Trace) -> BTreeSet<String> {
    trace.spans.iter().filter_map(|s| s.attributes.get("partner.reference")).cloned().collect()
}

/// The word before the number says whose it is.
fn partner(reference: &str) -> &str {
    reference.split('_').next().unwrap_or_default()
}

#[tokio::test]
async fn every_form_of_id_leads_to_the_same_verdict() {
    let fleet = shared().await;
    let known = known(fleet).await;
    let list: String = known.ids.iter().map(|(_, id)| format!("{id}\n")).collect();
    let endpoints = fleet.data().join("endpoints.json");
    let ended = plainly(&["-", "--json", "--endpoints", endpoints.to_str().unwrap()], &list).await;
    assert_eq!(ended.status.code(), Some(0), "{}{}", ended.stdout, ended.stderr);
    let answers = objects(&ended);
    assert_eq!(answers.len(), known.ids.len());
    for ((form, id), answer) in known.ids.iter().zip(&answers) {
        assert_eq!(answer["subject"], Value::from(known.order.clone()), "{form}: {id}");
        assert_eq!(
            (&answer["outcome"], &answer["end"]),
            (&"arrived".into(), &"delivered".into()),
            "{form}: {id}"
        );
    }
}

#[tokio::test]
async fn a_person_sees_stamps_with_times_the_sentence_and_the_waterfall() {
    let fleet = shared().await;
    let known = known(fleet).await;
    let ended = ask(fleet, &[&known.order, "--why"]).await;
    assert_eq!(ended.status.code(), Some(0), "{}{}", ended.stdout, ended.stderr);
    let stamped: Vec<_> = ended.stdout.lines().filter(|l| l.starts_with("✅ ")).collect();
    assert_eq!(stamped.len(), 8, "{}", ended.stdout);
    assert!(stamped[1..].iter().all(|l| l.contains(" ms") || l.contains(" us")), "{stamped:#?}");
    assert!(ended.stdout.contains(&format!("Order {} was delivered.", known.order)), "{}", ended.stdout);
    assert!(
        ended.stdout.contains("waterfall  http://") && !ended.stdout.contains('\u{1b}'),
        "{}",
        ended.stdout
    );
    let plain = ask(fleet, &[&known.order, "--plain"]).await;
    assert!(plain.stdout.is_ascii() && plain.stdout.contains("done     notification"), "{}", plain.stdout);
}

#[tokio::test]
async fn a_text_of_two_orders_lists_both_and_what_is_unknown_is_not_found() {
    let fleet = shared().await;
    let customer = Customer::of(fleet).await;
    let (one, two) = (customer.order(SUSHI).await, customer.order(PIZZA).await);
    for order in [&one, &two] {
        trace(fleet, &order.trace_id, |t| (t.spans.len() > 5).then_some(()).ok_or("few spans".into())).await;
    }
    let both = format!("{} or {}?", one.id, two.trace_id);
    let ended = ask(fleet, &[&both, "--json"]).await;
    assert_eq!(ended.status.code(), Some(2), "{}", ended.stdout);
    let candidates = &objects(&ended)[0]["candidates"];
    let subjects: BTreeSet<_> =
        candidates.as_array().unwrap().iter().map(|c| c["subject"].as_str().unwrap()).collect();
    assert_eq!(subjects, BTreeSet::from([one.id.as_str(), two.id.as_str()]));
    for unknown in ["0000-0000-0000", "ffffffffffffffffffffffffffffffff", "ch_00000000000000000000"] {
        let ended = ask(fleet, &[unknown]).await;
        assert_eq!(ended.status.code(), Some(3), "{}", ended.stdout);
        assert!(ended.stdout.starts_with(&format!("Not found: {unknown}.")), "{}", ended.stdout);
    }
    assert_eq!(ask(fleet, &["where is my food"]).await.status.code(), Some(2));
    let cart = customer.cart(SUSHI).await;
    let (cart_id, trace_id) = (cart["cart_id"].as_str().unwrap(), cart["trace_id"].as_str().unwrap());
    trace(fleet, trace_id, |_| Ok(())).await;
    let ended = ask(fleet, &[cart_id, "--json"]).await;
    assert_eq!(ended.status.code(), Some(3), "a cart that was never ordered: {}", ended.stdout);
    assert_eq!(objects(&ended)[0]["outcome"], "not_begun");
}

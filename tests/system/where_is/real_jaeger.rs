//! The same spans in a real Jaeger: the same verdicts. Runs where `JAEGER_QUERY` (such as `127.0.0.1:16686`) and
//! `JAEGER_OTLP` (its OTLP/HTTP receiver) name one, as `make conformance` does.

use serde_json::{Value, json};

use super::{objects, plainly};
use crate::{
    customer::{Customer, Ordered, PIZZA, SUSHI},
    harness::{Fleet, NOBODY_RIDES, eventually, http, run, waybill},
};

/// What is ordered in the naive pipeline while nobody rides for the old harbour, and what becomes of it.
pub(crate) const ENDS: [((&str, &str), &str); 2] = [(SUSHI, "arrived"), (PIZZA, "stopped")];
/// Arguments of `waybill up` for that.
pub(crate) const NAIVE: [&str; 4] =
    ["--env", NOBODY_RIDES, "--env", "delivery-assignment:WAYBILL_RESILIENCE=off"];

/// What must be the same; findings name spans, whose order is the store's own.
const SAME: [&str; 8] = ["subject", "traces", "outcome", "end", "stop", "alternative", "value", "sentence"];
/// What `lost` must say alike.
const SAME_LOST: [&str; 6] = [
    "/outcomes",
    "/stopped/0/step",
    "/stopped/0/cause",
    "/stopped/0/count",
    "/stopped/0/owed",
    "/reconciliation/traces",
];

/// Sends a trace of the embedded store to the other.
async fn copy(store: &str, otlp: &str, trace: &str) {
    let url = format!("{store}/api/v3/traces/{trace}?raw_traces=true");
    let answer: Value = http().get(url).send().await.unwrap().json().await.unwrap();
    let spans = json!({ "resourceSpans": answer["result"]["resourceSpans"] });
    let reply = http().post(format!("{otlp}/v1/traces")).json(&spans).send().await.unwrap();
    assert!(reply.status().is_success(), "{} {}", reply.status(), reply.text().await.unwrap());
}

async fn verdict(store: &str, id: &str) -> Result<Value, String> {
    let ended = plainly(&[id, "--json", "--no-witnesses", "--jaeger", store], "").await;
    objects(&ended).into_iter().next().ok_or(ended.stderr)
}

#[tokio::test]
#[allow(clippy::print_stdout, reason = "a skipped test says so")]
async fn a_real_jaeger_gives_the_same_verdicts_for_every_form_of_id() {
    let peer = |name: &str| std::env::var(name).ok().map(|at| format!("http://{at}"));
    let (Some(query), Some(otlp)) = (peer("JAEGER_QUERY"), peer("JAEGER_OTLP")) else {
        println!(
            "SKIPPED where on a real Jaeger: JAEGER_QUERY and JAEGER_OTLP are not set (make conformance sets them)"
        );
        return;
    };
    let fleet = Fleet::with(&NAIVE).await;
    let (customer, store) = (Customer::of(&fleet).await, fleet.url("tracestore", "http"));
    for (dish, outcome) in ENDS {
        let order = customer.order(dish).await;
        settled(&store, &order.id, outcome).await;
        copy(&store, &otlp, &order.trace_id).await;
        same_for_every_id(&store, &query, &order).await;
    }
    same_losses(&store, &query).await;
}

/// Waits until `store` shows that the order has come to that.
pub(crate) async fn settled(store: &str, id: &str, outcome: &str) {
    eventually(&format!("{id} {outcome}"), || async {
        let here = verdict(store, id).await?;
        if here["outcome"] == outcome { Ok(()) } else { Err(here["sentence"].to_string()) }
    })
    .await;
}

/// `where` comes to say of the order in `query` what it says in `store`, by whatever id it is asked.
pub(crate) async fn same_for_every_id(store: &str, query: &str, order: &Ordered) {
    let payment = order_attribute(store, &order.trace_id, "payment.reference").await;
    let uuid = uuid::Uuid::try_parse(&order.trace_id).unwrap().hyphenated().to_string();
    let code = order.id.to_lowercase().replace('-', "");
    for id in [order.id.clone(), code, payment, order.trace_id.clone(), uuid] {
        eventually(&format!("{id} in Jaeger"), || async {
            let here = verdict(store, &id).await?;
            let there = verdict(query, &id).await?;
            let states = |v: &Value| {
                v["stamps"].as_array().map(|all| all.iter().map(|s| s["state"].clone()).collect::<Vec<_>>())
            };
            let differs = SAME.iter().find(|key| there[**key] != here[**key]);
            match differs {
                _ if there["found"] != true => Err(there["sentence"].to_string()),
                Some(key) => Err(format!("{key} differs: {there:#}\n{here:#}")),
                None if states(&there) != states(&here) => Err(format!("stamps differ: {there:#}\n{here:#}")),
                None => Ok(()),
            }
        })
        .await;
    }
}

/// `lost` comes to say of `query` what it says of `store`, by traces alone.
pub(crate) async fn same_losses(store: &str, query: &str) {
    eventually("the same is lost in both", || async {
        let (here, there) = (lost(store).await, lost(query).await);
        for key in SAME_LOST {
            assert!(here.pointer(key).is_some(), "{key}: {here:#}");
            if there.pointer(key) != here.pointer(key) {
                return Err(format!("{key} differs: {there:#}\n{here:#}"));
            }
        }
        Ok(())
    })
    .await;
}

/// What `waybill lost` says of `store` by its traces alone.
async fn lost(store: &str) -> Value {
    let ended = run(waybill(["lost", "--json", "--no-books", "--since", "10m", "--jaeger", store])).await;
    serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{}{}", ended.stdout, ended.stderr))
}

async fn order_attribute(store: &str, trace: &str, key: &str) -> String {
    let url = format!("{store}/api/traces/{trace}");
    let body = http().get(url).send().await.unwrap().bytes().await.unwrap();
    let traces = journey::adapters::jaeger::parse(&body).unwrap();
    traces[0].attribute(key).unwrap().to_owned()
}

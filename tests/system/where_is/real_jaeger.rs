//! The same spans in a real Jaeger: the same verdicts. Runs where `JAEGER_QUERY` (such as `127.0.0.1:16686`) and
//! `JAEGER_OTLP` (its OTLP/HTTP receiver) name one, as `make conformance` does.

use serde_json::{Value, json};

use super::{objects, plainly};
use crate::{
    customer::{Customer, PIZZA, SUSHI},
    harness::{Fleet, NOBODY_RIDES, eventually, http, run, waybill},
};

/// What must be the same; findings name spans, whose order is the store's own.
const SAME: [&str; 8] = ["subject", "traces", "outcome", "end", "stop", "alternative", "value", "sentence"];

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
    let fleet =
        Fleet::with(&["--env", NOBODY_RIDES, "--env", "delivery-assignment:WAYBILL_RESILIENCE=off"]).await;
    let (customer, store) = (Customer::of(&fleet).await, fleet.url("tracestore", "http"));
    for (dish, outcome) in [(SUSHI, "arrived"), (PIZZA, "stopped")] {
        let order = customer.order(dish).await;
        let here = eventually(&format!("{} {outcome}", order.id), || async {
            let here = verdict(&store, &order.id).await?;
            if here["outcome"] == outcome { Ok(here) } else { Err(here["sentence"].to_string()) }
        })
        .await;
        copy(&store, &otlp, &order.trace_id).await;
        let payment = order_attribute(&store, &order.trace_id, "payment.reference").await;
        let uuid = uuid::Uuid::try_parse(&order.trace_id).unwrap().hyphenated().to_string();
        for id in [
            order.id.clone(),
            order.id.to_lowercase().replace('-', ""),
            payment,
            order.trace_id.clone(),
            uuid,
        ] {
            let there = eventually(&format!("{id} in Jaeger"), || async {
                let there = verdict(&query, &id).await?;
                if there["found"] == true { Ok(there) } else { Err(there["sentence"].to_string()) }
            })
            .await;
            for key in SAME {
                assert_eq!(there[key], here[key], "{key} by {id}: {there:#}\n{here:#}");
            }
            let states = |v: &Value| {
                v["stamps"].as_array().unwrap().iter().map(|s| s["state"].clone()).collect::<Vec<_>>()
            };
            assert_eq!(states(&there), states(&here), "{id}");
        }
    }
    let (here, there) = (lost(&store).await, lost(&query).await);
    for key in ["/outcomes", "/stopped/0/step", "/stopped/0/cause", "/reconciliation/traces"] {
        assert!(here.pointer(key).is_some(), "{key}: {here:#}");
        assert_eq!(there.pointer(key), here.pointer(key), "lost, {key}: {there:#}");
    }
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

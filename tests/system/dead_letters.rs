//! A message that can never be handled, over a real NATS: it ends in the stream of dead letters, and `waybill lost` names
//! it, whoever else can be asked.

use std::path::Path;

use async_nats::{HeaderMap, jetstream};
use serde_json::{Value, json};

use crate::{
    backend::{self, SERVICES},
    customer::{Customer, Ordered, SUSHI},
    engines::Nats,
    harness::{Fleet, eventually, run, waybill},
};

/// A fleet on a NATS of its own, in which every ride ends at a wall: its message is dead after two tries.
async fn fleet(nats: &Nats) -> Fleet {
    let mut settings: Vec<_> = SERVICES.map(|s| format!("{s}:NATS_URL={}", nats.url())).into();
    settings.push("delivery-assignment:TRACKING_URL=http://127.0.0.1:1".into());
    settings.push("delivery-assignment:WAYBILL_MESSAGE_ATTEMPTS=2".into());
    let arguments: Vec<_> = settings.iter().flat_map(|setting| ["--env", setting.as_str()]).collect();
    Fleet::with(&arguments).await
}

/// What `waybill lost --json` says, asked with `more` of those in `endpoints`.
async fn lost(endpoints: &Path, more: &[&str]) -> Value {
    let mut command = waybill(["lost", "--json", "--endpoints"]);
    command.arg(endpoints).args(more);
    let ended = run(command).await;
    assert_eq!(ended.status.code(), Some(1), "{}{}", ended.stdout, ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

/// A message about `order` whose data is nothing that its receiver could read.
async fn send_nonsense(nats: &Nats, order: &Ordered) {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", "nonsense-1"),
        ("ce-source", "/restaurant-orders"),
        ("ce-type", "order.accepted"),
        ("ce-subject", order.id.as_str()),
        ("ce-datacontenttype", "application/json"),
        ("ce-traceparent", &format!("00-{}-00f067aa0ba902b7-01", order.trace_id)),
    ] {
        headers.insert(name, value);
    }
    let jetstream = jetstream::new(async_nats::connect(nats.url()).await.unwrap());
    let subject = format!("waybill.delivery-assignment.{}.order.accepted", order.id.replace('.', "_"));
    jetstream.publish_with_headers(subject, headers, "{}".into()).await.unwrap().await.unwrap();
}

/// The messages that were set aside: by how often they were tried, who tells of each.
fn set_aside(told: &Value) -> Vec<(u64, Value)> {
    let messages = told["set_aside"]["messages"].as_array().unwrap();
    let mut all: Vec<_> =
        messages.iter().map(|m| (m["attempts"].as_u64().unwrap(), m["known_from"].clone())).collect();
    all.sort_by_key(|(attempts, _)| *attempts);
    all
}

#[tokio::test]
async fn a_message_that_can_never_be_handled_is_a_dead_letter_that_lost_names_once() {
    let Some(nats) = Nats::start() else {
        assert!(!backend::is("nats"), "NATS was asked for");
        return;
    };
    let fleet = fleet(&nats).await;
    let order = Customer::of(&fleet).await.order(SUSHI).await;
    let url = nats.url();
    let (both, one) = (json!(["inbox", "nats"]), json!(["nats"]));

    let endpoints = fleet.data().join("endpoints.json");
    let told = eventually("inbox and NATS tell of it", async || {
        let ended = run({
            let mut command = waybill(["lost", "--json", "--nats", &url, "--endpoints"]);
            command.arg(&endpoints);
            command
        })
        .await;
        let told: Value = serde_json::from_str(&ended.stdout).map_err(|_| ended.stderr.clone())?;
        let settled = told["lost"] == 1 && set_aside(&told) == [(2, both.clone())];
        if settled { Ok(told) } else { Err(told.to_string()) }
    })
    .await;
    let message = &told["set_aside"]["messages"][0];
    let named = ["order", "step", "event_type", "from", "trace"].map(|key| message[key].clone());
    let want = [&order.id, "delivery-assignment", "order.accepted", "restaurant-orders", &order.trace_id];
    assert_eq!(named, want.map(|word| json!(word)), "{message}");
    assert!(message["error"].as_str().unwrap().contains("tracking"), "{message}");

    // A second message of the same order, which no inbox takes: the order is still one.
    send_nonsense(&nats, &order).await;
    eventually("what makes no sense is a dead letter, too", async || {
        let told = lost(&endpoints, &["--nats", &url]).await;
        let settled = set_aside(&told) == [(1, one.clone()), (2, both.clone())];
        if settled && told["lost"] == 1 { Ok(()) } else { Err(told.to_string()) }
    })
    .await;
    without_others(&fleet, &nats, &order).await;
}

/// NATS alone tells of it where the receiver's book is not to be had; and the report is made without NATS.
async fn without_others(fleet: &Fleet, nats: &Nats, order: &Ordered) {
    let folder = tempfile::tempdir().unwrap();
    let (endpoints, secret) = (folder.path().join("endpoints.json"), folder.path().join("nats"));
    let mut parts = fleet.endpoints().unwrap();
    parts.as_object_mut().unwrap().remove("delivery-assignment");
    std::fs::write(&endpoints, parts.to_string()).unwrap();
    std::fs::write(&secret, nats.url()).unwrap();

    let mut command = waybill(["lost", "--plain", "--endpoints"]);
    command.arg(&endpoints).env("NATS_URL_FILE", &secret);
    let said = run(command).await.stdout;
    let line = said.lines().find(|l| l.contains("tried 2 times")).unwrap_or_else(|| panic!("{said}"));
    for word in [&order.id, "order.accepted at delivery-assignment", "tracking", &order.trace_id] {
        assert!(line.contains(word), "{word}: {line}");
    }
    assert!(said.contains("1 stopped") && said.contains("2 messages were set aside"), "{said}");

    let endpoints = fleet.data().join("endpoints.json");
    let told = lost(&endpoints, &["--nats", "nats://u:secret@127.0.0.1:1"]).await;
    let trouble = told["set_aside"]["nats_error"].as_str().unwrap();
    assert!(trouble.contains("127.0.0.1:1") && !trouble.contains("secret"), "{trouble}");
    assert_eq!((set_aside(&told), &told["lost"]), (vec![(2, json!(["inbox"]))], &json!(1)), "{told}");
}

#[tokio::test]
async fn a_nats_url_that_cannot_be_used_is_wrong_usage() {
    let ended = run(waybill(["lost", "--nats", "http://127.0.0.1:4222"])).await;
    assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("--nats") && ended.stderr.contains("nats://"), "{}", ended.stderr);
}

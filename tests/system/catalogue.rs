//! `docs/telemetry.md` says what spans and attributes there are; real spans say whether that is so.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    backend,
    customer::{Customer, PIZZA, SUSHI},
    harness::{Fleet, NOBODY_RIDES, eventually, http},
};

const DOC: &str = include_str!("../../docs/telemetry.md");
type Spans = BTreeSet<(String, String, String)>;

#[tokio::test]
async fn the_catalogue_of_spans_and_attributes_is_what_the_services_send() {
    let fleet = Fleet::with(&["--env", NOBODY_RIDES]).await;
    let customer = Customer::of(&fleet).await;
    let delivered = customer.order(SUSHI).await;
    let refunded = customer.order(PIZZA).await;
    customer.until(&delivered.id, "delivered").await;
    customer.until(&refunded.id, "refunded").await;

    let mut always = spans(&["Spans"]);
    if backend::is("nats") {
        always.retain(|(_, name, _)| name != "POST /events");
        always.extend(spans(&["Spans with NATS"]));
    }
    let documented: Spans = always.union(&spans(&["Spans of a bad day"])).cloned().collect();
    let ids = [delivered.trace_id, refunded.trace_id];
    let traces = eventually("all catalogued spans of both orders", || async {
        let mut traces = Vec::new();
        for id in &ids {
            let url = format!("{}/api/traces/{id}", fleet.url("tracestore", "http"));
            let reply = http().get(url).send().await.map_err(|e| e.to_string())?;
            let reply: Value = reply.json().await.map_err(|e| e.to_string())?;
            traces.extend(reply["data"].as_array().cloned().unwrap_or_default());
        }
        let missing: Vec<_> = always.difference(&seen(&traces)).cloned().collect();
        if missing.is_empty() { Ok(traces) } else { Err(format!("documented and not seen: {missing:?}")) }
    })
    .await;

    let unknown: Vec<_> = seen(&traces).difference(&documented).cloned().collect();
    assert!(unknown.is_empty(), "seen and not in docs/telemetry.md: {unknown:#?}");
    let types = attributes();
    for (key, kinds) in keys(&traces) {
        let documented =
            types.get(&key).unwrap_or_else(|| panic!("attribute {key} is not in docs/telemetry.md"));
        assert_eq!(kinds, BTreeSet::from([documented.clone()]), "type of {key}");
    }
}

/// Rows of the tables under the headings: service, span, kind.
fn spans(headings: &[&str]) -> Spans {
    let mut all = Spans::new();
    for row in headings.iter().flat_map(|h| rows(h)) {
        let [services, name, kind, ..] = row.as_slice() else { panic!("a short row: {row:?}") };
        for service in services.split(", ") {
            all.insert((service.to_owned(), name.clone(), kind.clone()));
        }
    }
    all
}

/// Attribute keys and their types, from the tables on spans' and resources' attributes.
fn attributes() -> BTreeMap<String, String> {
    let both = ["Attributes", "Resource"].into_iter().flat_map(rows);
    both.map(|row| (row[0].clone(), row[1].clone())).collect()
}

/// Cells of the table under `## heading`, without back-quotes.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let section = DOC.split("\n## ").find(|s| s.lines().next() == Some(heading));
    let lines = section.unwrap_or_else(|| panic!("no section {heading}")).lines();
    let cells = |line: &str| line.trim_matches('|').split('|').map(|c| c.trim().replace('`', "")).collect();
    lines.filter(|l| l.starts_with("| `") || l.starts_with("| all")).map(cells).collect()
}

fn seen(traces: &[Value]) -> Spans {
    let mut all = Spans::new();
    for trace in traces {
        for span in trace["spans"].as_array().into_iter().flatten() {
            let service = &trace["processes"][span["processID"].as_str().unwrap()]["serviceName"];
            let tags = span["tags"].as_array().unwrap();
            let kind = tags
                .iter()
                .find(|t| t["key"] == "span.kind")
                .map_or("internal", |t| t["value"].as_str().unwrap());
            let name = span["operationName"].as_str().unwrap();
            // A slow or failed statement may turn up anywhere; one row of the bad day stands for all.
            if tags.iter().all(|t| t["key"] != "db.system.name") {
                all.insert((service.as_str().unwrap().to_owned(), name.to_owned(), kind.to_owned()));
            }
        }
    }
    all
}

/// Attribute keys of spans and processes, with the types they were seen with.
fn keys(traces: &[Value]) -> BTreeMap<String, BTreeSet<String>> {
    let mut all = BTreeMap::<String, BTreeSet<String>>::new();
    for trace in traces {
        let spans = trace["spans"].as_array().into_iter().flatten();
        let processes = trace["processes"].as_object().into_iter().flatten().map(|(_, process)| process);
        for tag in spans.chain(processes).flat_map(|s| s["tags"].as_array().into_iter().flatten()) {
            let kind = tag["type"].as_str().unwrap().to_owned();
            all.entry(tag["key"].as_str().unwrap().to_owned()).or_default().insert(kind);
        }
    }
    all
}

//! The log lines of one order, found by its trace id through the query that Kibana's saved search holds; and every field
//! that Kibana is told of is there. What the services export really reaches the index: a stand-in for the official
//! `elasticsearch` exporter takes it from the collector and writes its documents.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, http::header, routing::post};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    documents,
    kibana::{DataView, Saved},
    server::{OpenSearch, Peers},
    stage::{add_exporter, collector_config, with_collector},
};
use crate::{
    customer::{Customer, PIZZA, SUSHI},
    harness::{eventually, http},
    where_is::real_jaeger::NAIVE,
};

/// In the saved query, in the place of a trace id.
const NO_TRACE: &str = "00000000000000000000000000000000";

/// What came in from the collector.
type Received = Arc<Mutex<Vec<Value>>>;

#[tokio::test]
async fn the_log_lines_of_one_order_are_found_by_its_trace_id_through_the_saved_search() {
    let Some(peers) = Peers::find("logs in OpenSearch") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (url, received) = exporter().await;
    let mut config = collector_config();
    config["exporters"]["otlp_http/documents"] = json!({ "endpoint": url, "compression": "none" });
    add_exporter(&mut config, "logs", "otlp_http/documents");
    let fleet = with_collector(folder.path(), &config, &NAIVE).await;
    let (customer, store) = (Customer::of(&fleet).await, fleet.url("tracestore", "http"));
    let delivered = customer.order(SUSHI).await;
    customer.until(&delivered.id, "delivered").await;
    let dropped = customer.order(PIZZA).await;
    // The pizza stops with an error; of each of the two, all that the embedded store has must have come here, too.
    for (order, severity) in [(&delivered, None), (&dropped, Some("ERROR"))] {
        eventually(&format!("all log lines of {}", order.trace_id), || async {
            let url = format!("{store}/logs?trace_id={}", order.trace_id);
            let kept: Value = http()
                .get(url)
                .send()
                .await
                .map_err(|e| e.to_string())?
                .json()
                .await
                .map_err(|e| e.to_string())?;
            let (here, there) = (of_trace(&received, &order.trace_id), kept["logs"].as_array().unwrap());
            let told = severity.is_none_or(|s| here.iter().any(|d| d["severity_text"] == s));
            let whole = told && here.len() == there.len();
            if whole { Ok(()) } else { Err(format!("{here:#?} and {there:#?}")) }
        })
        .await;
    }
    let documents = received.lock().unwrap().clone();
    index(&peers.search, &documents).await;

    let saved = Saved::read("waybill-order-logs");
    for order in [&delivered, &dropped] {
        let hits = ask(&peers.search, &saved, &saved.query.replace(NO_TRACE, &order.trace_id)).await;
        assert_eq!(lines(&hits), lines(&of_trace(&received, &order.trace_id)), "{}", order.trace_id);
        let times: Vec<_> = hits.iter().map(millis).collect();
        assert!(times.is_sorted(), "the oldest first: {times:?}");
    }
    let failed = ask(&peers.search, &saved, &saved.query.replace(NO_TRACE, &dropped.trace_id)).await;
    let error = failed.iter().find(|d| d["severity_text"] == "ERROR").unwrap();
    assert_eq!(error["resource"]["attributes"]["service.name"], "delivery-assignment", "{error:#}");
    assert_eq!(error["attributes"]["error.type"], "courier_timeout", "{error:#}");
    failures(&peers.search, &documents).await;
    fields_are_there(&peers.search).await;
    leads_back(&saved, error, &store).await;
}

/// A receiver of OTLP/HTTP that makes documents of log records, and where they gather.
async fn exporter() -> (String, Received) {
    let (received, dataset) = (Received::default(), dataset());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let all = received.clone();
    let take = move |body: Bytes| async move {
        let request = ExportLogsServiceRequest::decode(body).unwrap();
        all.lock().unwrap().extend(documents::of(&request, &dataset));
        // An empty reply: all was taken.
        [(header::CONTENT_TYPE, "application/x-protobuf")]
    };
    let router = Router::new().route("/v1/logs", post(take));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, received)
}

/// What the first tier of collectors calls the stream.
fn dataset() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/collector/routing.yaml");
    let config: Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let pipeline = &config["service"]["pipelines"]["logs"];
    assert!(pipeline["processors"].as_array().unwrap().contains(&"resource/stream".into()), "{pipeline}");
    assert_eq!(pipeline["exporters"], json!(["elasticsearch"]));
    assert_eq!(config["exporters"]["elasticsearch"]["mapping"]["mode"], "otel");
    let action = &config["processors"]["resource/stream"]["attributes"][0];
    assert_eq!((&action["key"], &action["action"]), (&json!("data_stream.dataset"), &json!("upsert")));
    action["value"].as_str().unwrap().to_owned()
}

/// Writes the documents into a new data stream, whose template holds what this repository deploys.
async fn index(search: &OpenSearch, documents: &[Value]) {
    let stream = documents::stream(&documents[0]);
    assert!(documents.iter().all(|d| documents::stream(d) == stream), "one stream for all");
    search
        .ask(Method::DELETE, &format!("/_data_stream/{}*", stream.trim_end_matches("-default")), None)
        .await;
    for (name, template) in [("logs-otel@mappings", mappings()), ("logs-otel@custom", deployed())] {
        search.ask(Method::PUT, &format!("/_component_template/{name}"), Some(&template)).await;
    }
    let template = json!({
        "index_patterns": ["logs-*.otel-*"],
        "priority": 120,
        "data_stream": {},
        "composed_of": ["logs-otel@mappings", "logs-otel@custom"],
    });
    search.ask(Method::PUT, "/_index_template/logs-otel@template", Some(&template)).await;
    search.create(&stream, documents).await;
    let streams = search.ask(Method::GET, &format!("/_data_stream/{stream}"), None).await;
    assert_eq!(streams["data_streams"][0]["template"], "logs-otel@template", "{streams:#}");
    let settings = search.ask(Method::GET, &format!("/{stream}/_settings?flat_settings=true"), None).await;
    let settings = &settings.as_object().unwrap().values().next().unwrap()["settings"];
    assert_eq!(settings["index.number_of_replicas"], "0", "what is deployed counts: {settings:#}");
}

/// Elasticsearch has this built in, OpenSearch has not: what its `otel@mappings` and `logs-otel@mappings`
/// (`x-pack/plugin/otel-data`) say of the fields that are used here, in types that OpenSearch knows (`object` for
/// `passthrough`, `text` for `match_only_text`).
fn mappings() -> Value {
    let keyword = json!({ "type": "keyword" });
    let attributes = json!({ "properties": { "attributes": { "type": "object", "dynamic": true } } });
    json!({ "template": { "mappings": {
        "date_detection": false,
        "dynamic": false,
        "dynamic_templates": [
            { "strings": { "match_mapping_type": "string", "mapping": { "type": "keyword", "ignore_above": 1024 } } },
        ],
        "properties": {
            "@timestamp": { "type": "date" },
            "observed_timestamp": { "type": "date_nanos" },
            "trace_id": keyword, "span_id": keyword, "severity_text": keyword, "event_name": keyword,
            "severity_number": { "type": "byte" },
            "body": { "properties": { "text": { "type": "text" } } },
            "data_stream": { "properties": { "type": keyword, "dataset": keyword, "namespace": keyword } },
            "attributes": attributes["properties"]["attributes"],
            "resource": attributes,
            "scope": { "properties": { "name": keyword, "version": keyword } },
        },
    } } })
}

/// `deploy/elasticsearch/logs-otel-custom.json` without its life cycle, which OpenSearch does not know; the policy of that
/// name is deployed beside it.
fn deployed() -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");
    let read = |name: &str| std::fs::read_to_string(format!("{folder}/{name}")).unwrap();
    let mut template: Value = serde_json::from_str(&read("elasticsearch/logs-otel-custom.json")).unwrap();
    let settings = template["template"]["settings"].as_object_mut().unwrap();
    let policy = settings.remove("index.lifecycle.name").expect("a life cycle");
    let made = format!("/_ilm/policy/{}\"", policy.as_str().unwrap());
    assert!(read("kibana/provision.sh").contains(&made), "{made} is not made");
    template
}

/// Documents that a saved query finds in its data view.
async fn ask(search: &OpenSearch, saved: &Saved, query: &str) -> Vec<Value> {
    let path = format!("/{}/_search", saved.view.pattern);
    let answer = search.ask(Method::POST, &path, Some(&saved.search(query))).await;
    let hits = answer["hits"]["hits"].as_array().unwrap();
    assert_eq!(answer["hits"]["total"]["value"], hits.len(), "all on one page");
    hits.iter().map(|hit| hit["_source"].clone()).collect()
}

fn of_trace(received: &Received, trace: &str) -> Vec<Value> {
    received.lock().unwrap().iter().filter(|d| d["trace_id"] == trace).cloned().collect()
}

/// As text, sorted: for a comparison in which order does not count.
fn lines(documents: &[Value]) -> Vec<String> {
    let mut all: Vec<_> = documents.iter().map(Value::to_string).collect();
    all.sort();
    all
}

fn millis(document: &Value) -> u64 {
    document["@timestamp"].as_str().unwrap().split_once('.').unwrap().0.parse().unwrap()
}

/// The saved search and the dashboard of failures: every line of an error, counted by service and by type.
async fn failures(search: &OpenSearch, documents: &[Value]) {
    let failed: Vec<Value> = documents.iter().filter(|d| d["severity_text"] == "ERROR").cloned().collect();
    let saved = Saved::read("waybill-failure-logs");
    assert_eq!(lines(&ask(search, &saved, &saved.query).await), lines(&failed));
    let table = Saved::read("waybill-failures-by-service");
    let [service, cause] = &table.buckets[..] else { panic!("{:?}", table.buckets) };
    let by = |field: &str| json!({ "terms": { "field": field, "size": 10 } });
    let mut outer = by(service);
    outer["aggs"] = json!({ "by": by(cause) });
    let mut body = table.search(&table.query);
    body["aggs"] = json!({ "by": outer });
    let path = format!("/{}/_search", table.view.pattern);
    let answer = search.ask(Method::POST, &path, Some(&body)).await;
    let rows = answer["aggregations"]["by"]["buckets"].as_array().unwrap();
    let row = rows.iter().find(|r| r["key"] == "delivery-assignment").unwrap_or_else(|| panic!("{rows:#?}"));
    assert_eq!(row["by"]["buckets"][0]["key"], "courier_timeout", "{row:#}");
    let sum: u64 = rows.iter().map(|r| r["doc_count"].as_u64().unwrap()).sum();
    assert_eq!(sum, failed.len() as u64);
}

/// That the index has every field which data view, columns, tables and charts name, and can count by those it is to count by.
async fn fields_are_there(search: &OpenSearch) {
    let all = ["waybill-order-logs", "waybill-failure-logs", "waybill-failures-by-service"];
    let all = all.into_iter().chain(["waybill-failures-over-time"]).map(Saved::read);
    let path = format!("/{}/_field_caps?fields=*", DataView::read("waybill-logs").pattern);
    let known = search.ask(Method::GET, &path, None).await;
    for saved in all {
        for field in saved.view.fields().iter().chain(&saved.columns).chain(&saved.buckets) {
            let kinds = known["fields"][field].as_object().unwrap_or_else(|| panic!("no field {field}"));
            for kind in kinds.values() {
                assert_eq!(kind["searchable"], true, "{field}: {kind}");
                assert!(!saved.buckets.contains(field) || kind["aggregatable"] == true, "{field}: {kind}");
            }
        }
    }
}

/// From a line to its trace, and from the trace in Jaeger to the lines.
async fn leads_back(saved: &Saved, line: &Value, store: &str) {
    let [(field, page)] = &saved.view.links[..] else { panic!("{:?}", saved.view.links) };
    let id = line[field].as_str().unwrap();
    let page = page.replace("{{rawValue}}", id);
    let path = page.split_once("/trace/").map(|(_, id)| format!("{store}/api/traces/{id}"));
    let trace: Value = http().get(path.unwrap()).send().await.unwrap().json().await.unwrap();
    let span = &line["span_id"];
    let spans = trace["data"][0]["spans"].as_array().unwrap();
    assert!(spans.iter().any(|s| s["spanID"] == *span), "the line's span {span} is in its trace");

    let ui = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/jaeger/ui-scale.json");
    let ui: Value = serde_json::from_str(&std::fs::read_to_string(ui).unwrap()).unwrap();
    let link = ui["linkPatterns"].as_array().unwrap().iter().find(|p| p["type"] == "traces").unwrap();
    let url = link["url"].as_str().unwrap();
    let query = saved.query.replace(NO_TRACE, "#{traceID}");
    assert!(url.contains(&format!("query:'{query}'")), "Jaeger's link asks as the saved search does: {url}");
    assert!(url.contains("#/view/waybill-order-logs?"), "{url}");
}

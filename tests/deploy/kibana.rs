//! Elasticsearch's and Kibana's settings, which no program here can read: held against their documented schemas and each other.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{json, text, yaml};

/// Fields of a log record as the collector's elasticsearch exporter writes them (mapping mode `otel`).
const FIELDS: [&str; 9] = [
    "@timestamp",
    "trace_id",
    "span_id",
    "severity_text",
    "body.text",
    "attributes.order.id",
    "attributes.error.type",
    "resource.attributes.service.name",
    "startTimeMillis",
];

fn objects() -> Vec<Value> {
    text("deploy/kibana/waybill.ndjson").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn find<'a>(objects: &'a [Value], kind: &str, id: &str) -> &'a Value {
    objects.iter().find(|o| o["type"] == kind && o["id"] == id).unwrap_or_else(|| panic!("no {kind} {id}"))
}

/// JSON within JSON, as saved objects have it.
fn inner(object: &Value, pointer: &str) -> Value {
    let text =
        object.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} in {object}"));
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{pointer}: {e}"))
}

#[test]
fn every_saved_object_refers_only_to_objects_of_the_same_file() {
    let objects = objects();
    let ids: BTreeSet<_> = objects.iter().map(|o| (o["type"].to_string(), o["id"].to_string())).collect();
    assert_eq!(ids.len(), objects.len(), "an id stands for two objects");
    for object in &objects {
        assert!(object["attributes"]["title"].is_string(), "{object}");
        for reference in object["references"].as_array().unwrap() {
            let wanted = (reference["type"].to_string(), reference["id"].to_string());
            assert!(ids.contains(&wanted), "{} refers to {wanted:?}", object["id"]);
        }
    }
}

#[test]
fn searches_and_pictures_ask_for_fields_that_a_log_record_has() {
    let objects = objects();
    for object in objects.iter().filter(|o| o["type"] == "search" || o["type"] == "visualization") {
        let source = inner(object, "/attributes/kibanaSavedObjectMeta/searchSourceJSON");
        let name = source["indexRefName"].as_str().unwrap();
        assert!(
            object["references"].as_array().unwrap().iter().any(|r| r["name"] == name),
            "{}",
            object["id"]
        );
        let query = source["query"]["query"].as_str().unwrap();
        let field = query.split(':').next().unwrap();
        assert!(FIELDS.contains(&field), "{query}");
        for column in object["attributes"]["columns"].as_array().into_iter().flatten() {
            assert!(FIELDS.contains(&column.as_str().unwrap()), "{column}");
        }
        if object["type"] == "visualization" {
            for aggregation in inner(object, "/attributes/visState")["aggs"].as_array().unwrap() {
                if let Some(field) = aggregation["params"]["field"].as_str() {
                    assert!(FIELDS.contains(&field), "{field}");
                }
            }
        }
    }
}

#[test]
fn the_dashboard_of_failures_shows_its_panels() {
    let objects = objects();
    let dashboard = find(&objects, "dashboard", "waybill-failures");
    let panels = inner(dashboard, "/attributes/panelsJSON");
    let references = dashboard["references"].as_array().unwrap();
    assert_eq!(panels.as_array().unwrap().len(), references.len());
    for panel in panels.as_array().unwrap() {
        let index = panel["panelIndex"].as_str().unwrap();
        let name = format!("{index}:{}", panel["panelRefName"].as_str().unwrap());
        let reference = references.iter().find(|r| r["name"] == *name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(reference["type"], panel["type"]);
        assert!(panel["gridData"]["x"].as_u64().unwrap() + panel["gridData"]["w"].as_u64().unwrap() <= 48);
    }
    let by_service =
        inner(find(&objects, "visualization", "waybill-failures-by-service"), "/attributes/visState");
    assert!(
        by_service["aggs"]
            .as_array()
            .unwrap()
            .iter()
            .any(|a| a["params"]["field"] == "resource.attributes.service.name")
    );
}

#[test]
fn jaeger_links_to_kibana_and_back() {
    let objects = objects();
    let ui = json("deploy/jaeger/ui-scale.json");
    let link = &ui["linkPatterns"][0];
    assert_eq!(link["type"], "traces");
    let url = link["url"].as_str().unwrap();
    assert!(url.contains("#/view/waybill-order-logs?") && url.contains("trace_id:#{traceID}"), "{url}");
    find(&objects, "search", "waybill-order-logs");
    assert!(
        ui["menu"]
            .as_array()
            .unwrap()
            .iter()
            .any(|m| m["url"].as_str().unwrap().ends_with("/waybill-failures"))
    );
    for (view, field) in [("waybill-logs", "trace_id"), ("waybill-spans", "traceID")] {
        let format = inner(find(&objects, "index-pattern", view), "/attributes/fieldFormatMap");
        assert_eq!(format[field]["id"], "url");
        let template = format[field]["params"]["urlTemplate"].as_str().unwrap();
        assert!(template.contains("/trace/{{rawValue}}"), "{template}");
    }
}

#[test]
fn the_stream_that_is_written_is_the_one_that_is_kept_and_looked_at() {
    let routing = yaml("deploy/collector/routing.yaml");
    assert_eq!(routing["exporters"]["elasticsearch"]["mapping"]["mode"], "otel");
    let attribute = &routing["processors"]["resource/stream"]["attributes"][0];
    assert_eq!(attribute["key"], "data_stream.dataset");
    // The exporter adds `.otel` to the data set, and Elasticsearch's template for logs-*.otel-* then applies.
    let stream = format!("logs-{}.otel-", attribute["value"].as_str().unwrap());
    let objects = objects();
    let view = find(&objects, "index-pattern", "waybill-logs");
    assert_eq!(view["attributes"]["title"], format!("{stream}*"));
    let provision = text("deploy/kibana/provision.sh");
    assert!(provision.contains(&format!("_data_stream/{stream}default")));
    assert!(provision.contains("_component_template/logs-otel@custom"));
    let template = json("deploy/elasticsearch/logs-otel-custom.json");
    let policy = template["template"]["settings"]["index.lifecycle.name"].as_str().unwrap();
    assert!(provision.contains(&format!("_ilm/policy/{policy}\"")), "{policy}");
    let phases = &json("deploy/elasticsearch/ilm-policy.json")["policy"]["phases"];
    assert!(phases["hot"]["actions"]["rollover"]["max_age"].is_string());
    assert!(phases["delete"]["actions"]["delete"].is_object());
    let prefix = |file| {
        yaml(file)["extensions"]["jaeger_storage"]["backends"]["search"]["elasticsearch"]["indices"]["index_prefix"].clone()
    };
    assert_eq!(prefix("deploy/jaeger/collector.yaml"), "waybill");
    assert!(text("deploy/elasticsearch/retire.sh").contains("_cat/indices/waybill-jaeger-*"));
}

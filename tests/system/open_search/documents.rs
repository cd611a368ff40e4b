//! Log records as the documents that the official `elasticsearch` exporter makes of them in its mapping mode `otel`: the
//! exporter itself cannot be built here. After `exporter/elasticsearchexporter` of opentelemetry-collector-contrib:
//! `internal/encoder/log/otel.go` (which fields), `testdata/golden/otel_logs.json` (how they look) and "OTel mapping mode"
//! of its README (`.otel` ends the dataset's name).

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value as Kind},
    logs::v1::LogRecord,
};
use serde_json::{Map, Value, json};

/// One document for each record of `request`; `dataset` is what the collector's processor wrote into the resource.
pub(super) fn of(request: &ExportLogsServiceRequest, dataset: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for resource in &request.resource_logs {
        let attributes = resource.resource.as_ref().map(|r| attributes(&r.attributes)).unwrap_or_default();
        let of_resource = json!({ "attributes": attributes });
        for scope in &resource.scope_logs {
            let of_scope = scope.scope.as_ref().map(|s| json!({ "name": s.name, "version": s.version }));
            for record in &scope.log_records {
                let mut document = of_record(record);
                document["resource"] = of_resource.clone();
                document["scope"] = of_scope.clone().unwrap_or_else(|| json!({}));
                document["data_stream"] = json!({
                    "type": "logs", "dataset": format!("{dataset}.otel"), "namespace": "default",
                });
                all.push(document);
            }
        }
    }
    all
}

/// The data stream into which a document goes.
pub(super) fn stream(document: &Value) -> String {
    let part = |name: &str| document["data_stream"][name].as_str().unwrap().to_owned();
    format!("{}-{}-{}", part("type"), part("dataset"), part("namespace"))
}

fn of_record(record: &LogRecord) -> Value {
    let observed = record.observed_time_unix_nano;
    let at = if record.time_unix_nano == 0 { observed } else { record.time_unix_nano };
    let mut document = json!({
        "@timestamp": milliseconds(at),
        "observed_timestamp": milliseconds(observed),
        "severity_number": record.severity_number,
        "attributes": attributes(&record.attributes),
        "body": { "text": body(record.body.as_ref()) },
    });
    // What is empty is left out.
    let texts = [
        ("trace_id", hex(&record.trace_id)),
        ("span_id", hex(&record.span_id)),
        ("severity_text", record.severity_text.clone()),
        ("event_name", record.event_name.clone()),
    ];
    for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        document[name] = text.into();
    }
    document
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Unix milliseconds with what is below them as a fraction.
fn milliseconds(nanos: u64) -> String {
    format!("{}.{:06}", nanos / 1_000_000, nanos % 1_000_000)
}

fn body(body: Option<&AnyValue>) -> String {
    match body.map(value) {
        Some(Value::String(text)) => text,
        other => panic!("our services write text, not {other:?}"),
    }
}

fn attributes(all: &[KeyValue]) -> Map<String, Value> {
    let value = |kv: &KeyValue| kv.value.as_ref().map_or(Value::Null, value);
    all.iter().map(|kv| (kv.key.clone(), value(kv))).collect()
}

fn value(value: &AnyValue) -> Value {
    match value.value.as_ref() {
        Some(Kind::StringValue(text)) => text.clone().into(),
        Some(Kind::BoolValue(yes)) => (*yes).into(),
        Some(Kind::IntValue(n)) => (*n).into(),
        Some(Kind::DoubleValue(n)) => (*n).into(),
        Some(Kind::ArrayValue(list)) => list.values.iter().map(self::value).collect(),
        other => panic!("our services log no such value: {other:?}"),
    }
}

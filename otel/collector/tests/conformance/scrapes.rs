//! The collectors' own metrics, and what their prometheus exporters say of others' metrics.

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Histogram, HistogramDataPoint, NumberDataPoint, Sum, metric::Data, number_data_point::Value,
};

use crate::both::{Both, Side};
use crate::listed::listed;
use crate::rig::{Act, attribute, eventually, get, log, metric, spans};

/// Families that only the official collector has, with the upstream line that `docs/conformance.md` explains it with.
const THEIRS: [(&str, &str); 4] = [
    ("otelcol_process_runtime_heap_alloc_bytes", "service/internal/proctelemetry/process_telemetry.go:84"),
    ("otelcol_process_runtime_total_alloc_bytes", "service/internal/proctelemetry/process_telemetry.go:85"),
    (
        "otelcol_process_runtime_total_sys_memory_bytes",
        "service/internal/proctelemetry/process_telemetry.go:86",
    ),
    ("promhttp_metric_handler_errors_total", "promhttp/http.go:120"),
];

/// Families that only ours has, the same way.
const OURS: [(&str, &str); 1] =
    [("otelcol_exporter_queue_batch_send_size", "service/internal/metricviews/views.go:103")];

/// Counters of nothing that has happened: ours has them from the start, the official one once it counts. That it has them
/// at all is looked up in its program.
const ZEROS: [&str; 8] = [
    "otelcol_exporter_enqueue_failed_log_records",
    "otelcol_exporter_enqueue_failed_spans",
    "otelcol_exporter_send_failed_log_records",
    "otelcol_exporter_send_failed_metric_points",
    "otelcol_exporter_send_failed_spans",
    "otelcol_processor_memory_limiter_refused_log_records",
    "otelcol_processor_memory_limiter_refused_metric_points",
    "otelcol_processor_memory_limiter_refused_spans",
];

/// The name in a family's line of type.
fn name_of(family: &str) -> &str {
    family.split(' ').next().unwrap()
}

/// Families with the names of their labels.
fn families(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            found.entry(rest.to_owned()).or_default();
        }
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let labels = line.split_once('{').map_or("", |(_, rest)| rest.split_once('}').unwrap().0);
        let family = found.iter_mut().find(|(family, _)| {
            let family = name_of(family);
            name == family
                || name.strip_prefix(family).is_some_and(|end| ["_bucket", "_sum", "_count"].contains(&end))
        });
        if let Some((_, names)) = family {
            names.extend(labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned())));
        }
    }
    found
}

/// The names of the families that only the first has.
fn only_in(
    here: &BTreeMap<String, BTreeSet<String>>,
    there: &BTreeMap<String, BTreeSet<String>>,
) -> BTreeSet<String> {
    here.keys().filter(|family| !there.contains_key(*family)).map(|family| name_of(family).into()).collect()
}

async fn use_it(side: &Side) {
    let logs =
        opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient::connect(
            side.url("grpc", ""),
        );
    side.traces().await.export(spans(0..10)).await.unwrap();
    logs.await.unwrap().export(log("here")).await.unwrap();
    let mut metrics = MetricsServiceClient::connect(side.url("grpc", "")).await.unwrap();
    for request in points() {
        metrics.export(request).await.unwrap();
    }
    eventually("what was sent", async || {
        (side.backend.span_numbers().len() == 10 && side.backend.logs().len() == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_send_is_counted_under_the_same_labels() {
    let Some(both) = Both::start().await else { return };
    let mut lines = Vec::new();
    for side in both.sides() {
        side.backend.always(Some(Act::Refuse(tonic::Status::invalid_argument("never"))));
        side.traces().await.export(spans([1])).await.unwrap();
        let line = eventually("a failed send", async || {
            let text = get(&side.url("metrics", "/metrics")).await;
            let found = text.lines().find(|line| line.starts_with("otelcol_exporter_send_failed_spans{"))?;
            (!found.ends_with(" 0")).then(|| found.to_owned())
        })
        .await;
        lines.push(line.replace(&side.backend.address.port().to_string(), "PORT"));
    }
    assert_eq!(lines[0], lines[1]);
}

fn points() -> Vec<opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest> {
    let time_unix_nano =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let number = |value| NumberDataPoint {
        attributes: vec![attribute("order.step", "a \"b\"")],
        value: Some(value),
        time_unix_nano,
        start_time_unix_nano: time_unix_nano - 1_000_000_000,
        ..Default::default()
    };
    let sum = |data_points| Sum { data_points, aggregation_temporality: 2, is_monotonic: true };
    let histogram = HistogramDataPoint {
        count: 6,
        sum: Some(4.5),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![0.5, 1.0],
        time_unix_nano,
        start_time_unix_nano: time_unix_nano - 1_000_000_000,
        ..Default::default()
    };
    vec![
        metric("queue.length", "{order}", Data::Gauge(Gauge { data_points: vec![number(Value::AsInt(7))] })),
        metric("kitchen.load", "1", Data::Gauge(Gauge { data_points: vec![number(Value::AsDouble(0.25))] })),
        metric("orders.placed", "", Data::Sum(sum(vec![number(Value::AsInt(41))]))),
        metric("cpu.time", "s", Data::Sum(sum(vec![number(Value::AsDouble(1.5))]))),
        metric("bytes.sent", "By", Data::Sum(sum(vec![number(Value::AsInt(1024))]))),
        metric(
            "http.server.request.duration",
            "s",
            Data::Histogram(Histogram { data_points: vec![histogram], aggregation_temporality: 2 }),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_count_themselves_under_the_same_names_and_labels() {
    let Some(both) = Both::start().await else { return };
    for (side, there) in both.sides().into_iter().zip([true, false]) {
        let text = get(&side.url("metrics", "/metrics")).await;
        assert_eq!(
            text.contains("otelcol_receiver_accepted_spans"),
            there,
            "{} before it is used",
            side.name
        );
        use_it(side).await;
    }
    // What was sent is counted once the backend has answered, a moment after it was seen there.
    eventually("the official one has counted what it sent", async || {
        let text = get(&both.real.url("metrics", "/metrics")).await;
        let sent = ["spans", "log_records", "metric_points"];
        sent.iter().all(|what| text.contains(&format!("otelcol_exporter_sent_{what}"))).then_some(())
    })
    .await;
    let text = get(&both.ours.url("metrics", "/metrics")).await;
    let ours = families(&text);
    let real = families(&get(&both.real.url("metrics", "/metrics")).await);
    let first = |(name, _): &(&str, &str)| (*name).to_owned();
    assert_eq!(only_in(&real, &ours), THEIRS.iter().map(first).collect(), "only in theirs");
    let zeros = ZEROS.into_iter().map(str::to_owned);
    assert_eq!(only_in(&ours, &real), OURS.iter().map(first).chain(zeros).collect(), "only in ours");
    // The official one has an id of its own in it.
    for (family, labels) in ours.iter().filter(|(family, _)| !family.starts_with("target_info")) {
        assert_eq!(labels, real.get(family).unwrap_or(labels), "{family}: ours, theirs");
    }
    let program = std::fs::read(crate::both::peer().unwrap()).unwrap();
    for name in ZEROS {
        let samples: Vec<_> =
            text.lines().filter(|line| line.starts_with(name) && !line.ends_with(" counter")).collect();
        let zero = !samples.is_empty() && samples.iter().all(|line| line.ends_with(" 0"));
        assert!(zero, "{name}: {samples:?}");
        let known = regex::bytes::Regex::new(name).unwrap().is_match(&program);
        assert!(known, "the official collector does not know {name}");
    }
    THEIRS.iter().chain(&OURS).for_each(|(_, upstream)| listed(upstream));
    listed("sdk/metric/internal/aggregate/sum.go:34");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_prometheus_exporters_say_the_same_of_the_same_metrics() {
    let Some(both) = Both::start().await else { return };
    let mut texts = Vec::new();
    for side in both.sides() {
        use_it(side).await;
        let text = eventually("the metrics", async || {
            let text = get(&side.url("prometheus", "/metrics")).await;
            text.contains("http_server_request_duration").then_some(text)
        })
        .await;
        let mut lines: Vec<String> = text.lines().map(sorted_labels).collect();
        lines.sort();
        texts.push(lines);
    }
    assert_eq!(texts[0], texts[1]);
}

/// A sample's line with its labels in order.
fn sorted_labels(line: &str) -> String {
    match line.split_once('{').and_then(|(name, rest)| Some((name, rest.rsplit_once('}')?))) {
        Some((name, (labels, value))) if !line.starts_with('#') => {
            let mut labels: Vec<&str> =
                labels.split("\",").map(|label| label.trim_end_matches('"')).collect();
            labels.sort_unstable();
            format!("{name} {labels:?}{value}")
        }
        _ => line.to_owned(),
    }
}

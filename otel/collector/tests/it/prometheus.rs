//! The `prometheus` exporter: OTLP metrics as a scraper sees them. Also the `debug` exporter and `health_check`.

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, NumberDataPoint, Sum, Summary, SummaryDataPoint,
    exponential_histogram_data_point::Buckets, metric::Data, number_data_point::Value,
    summary_data_point::ValueAtQuantile,
};

use crate::rig::{Rig, attribute, get, metric};

const CONFIG: &str = r#"
receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:0"}, http: {endpoint: "127.0.0.1:0"}}}}
exporters:
  prometheus: {endpoint: "127.0.0.1:0", const_labels: {site: north}}
  debug: {verbosity: detailed}
extensions: {health_check: {endpoint: "127.0.0.1:0"}}
service:
  extensions: [health_check]
  telemetry:
    metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: 0}}}}]}
  pipelines: {metrics: {receivers: [otlp], exporters: [prometheus, debug]}}
"#;

fn number(value: f64, time: u64, zone: &str) -> NumberDataPoint {
    NumberDataPoint {
        value: Some(Value::AsDouble(value)),
        time_unix_nano: time,
        attributes: vec![attribute("courier.zone", zone)],
        ..Default::default()
    }
}

fn counter(value: f64, time: u64, temporality: AggregationTemporality) -> Data {
    let data_points = vec![number(value, time, "a\"b\\c\nd")];
    Data::Sum(Sum { data_points, aggregation_temporality: temporality as i32, is_monotonic: true })
}

async fn send(rig: &Rig, name: &str, unit: &str, data: Data) {
    let mut client = MetricsServiceClient::connect(rig.url("otlp/grpc", "")).await.unwrap();
    client.export(metric(name, unit, data)).await.unwrap();
}

const LABELS: &str = r#"instance="one",job="waybill/shop",otel_scope_name="tests",otel_scope_schema_url="",otel_scope_version="1""#;

#[tokio::test]
async fn each_kind_of_metric_is_shown_as_prometheus_knows_it() {
    let rig = Rig::start(CONFIG).await;
    let cumulative = AggregationTemporality::Cumulative;
    send(&rig, "orders.placed", "{order}", counter(5.0, 1, cumulative)).await;
    send(&rig, "orders.placed", "{order}", counter(7.0, 2, cumulative)).await;
    send(&rig, "orders.placed", "{order}", counter(6.0, 1, cumulative)).await;
    send(&rig, "kitchen.load", "1", Data::Gauge(Gauge { data_points: vec![number(0.5, 1, "x")] })).await;
    let point = HistogramDataPoint {
        count: 6,
        sum: Some(3.5),
        explicit_bounds: vec![0.1, 1.0],
        bucket_counts: vec![1, 2, 3],
        ..Default::default()
    };
    let histogram = Histogram { data_points: vec![point], aggregation_temporality: cumulative as i32 };
    send(&rig, "http.server.request.duration", "s", Data::Histogram(histogram)).await;
    let point = SummaryDataPoint {
        count: 2,
        sum: 3.0,
        quantile_values: vec![ValueAtQuantile { quantile: 0.5, value: 1.5 }],
        ..Default::default()
    };
    send(&rig, "wait", "ms", Data::Summary(Summary { data_points: vec![point] })).await;
    let positive = Buckets { offset: -1, bucket_counts: vec![1, 2] };
    let point = ExponentialHistogramDataPoint {
        count: 5,
        sum: Some(4.0),
        scale: 0,
        zero_count: 2,
        positive: Some(positive),
        ..Default::default()
    };
    let histogram =
        ExponentialHistogram { data_points: vec![point], aggregation_temporality: cumulative as i32 };
    send(&rig, "size", "By", Data::ExponentialHistogram(histogram)).await;
    let text = get(&rig.url("prometheus", "/metrics")).await;
    let expected = [
        "# TYPE orders_placed_total counter".to_owned(),
        format!(r#"orders_placed_total{{courier_zone="a\"b\\c\nd",{LABELS},site="north"}} 7"#),
        format!(r#"kitchen_load_ratio{{courier_zone="x",{LABELS},site="north"}} 0.5"#),
        "# TYPE http_server_request_duration_seconds histogram".to_owned(),
        format!(r#"http_server_request_duration_seconds_bucket{{{LABELS},site="north",le="0.1"}} 1"#),
        format!(r#"http_server_request_duration_seconds_bucket{{{LABELS},site="north",le="1"}} 3"#),
        format!(r#"http_server_request_duration_seconds_bucket{{{LABELS},site="north",le="+Inf"}} 6"#),
        format!(r#"http_server_request_duration_seconds_sum{{{LABELS},site="north"}} 3.5"#),
        format!(r#"http_server_request_duration_seconds_count{{{LABELS},site="north"}} 6"#),
        format!(r#"wait_milliseconds{{{LABELS},site="north",quantile="0.5"}} 1.5"#),
        format!(r#"size_bytes_bucket{{{LABELS},site="north",le="0"}} 2"#),
        format!(r#"size_bytes_bucket{{{LABELS},site="north",le="1"}} 3"#),
        format!(r#"size_bytes_bucket{{{LABELS},site="north",le="2"}} 5"#),
        r#"target_info{host_name="here",instance="one",job="waybill/shop",site="north"} 1"#.to_owned(),
    ];
    for line in expected {
        assert!(text.lines().any(|found| found == line), "{line}\nis missing in\n{text}");
    }
    rig.stop().await;
}

#[tokio::test]
async fn deltas_are_added_up_and_a_series_that_its_sender_ends_goes() {
    let rig = Rig::start(CONFIG).await;
    for time in 1..4 {
        send(&rig, "sold", "", counter(2.0, time, AggregationTemporality::Delta)).await;
    }
    let shown = async || {
        let text = get(&rig.url("prometheus", "/metrics")).await;
        text.lines()
            .find(|line| line.starts_with("sold_total"))
            .map(|line| line.rsplit_once(' ').unwrap().1.to_owned())
    };
    assert_eq!(shown().await.as_deref(), Some("6"));
    let mut data = counter(0.0, 4, AggregationTemporality::Delta);
    if let Data::Sum(sum) = &mut data {
        sum.data_points[0].flags = 1;
    }
    send(&rig, "sold", "", data).await;
    assert_eq!(shown().await, None);
    rig.stop().await;
}

#[tokio::test]
async fn names_of_the_collector_s_own_metrics_follow_the_reader_s_settings() {
    let rig = Rig::start(CONFIG).await;
    let text = get(&rig.url("telemetry", "/metrics")).await;
    for name in [
        "otelcol_process_uptime_seconds_total",
        "otelcol_receiver_accepted_metric_points_total",
        "otelcol_process_memory_rss_bytes",
    ] {
        assert!(text.contains(&format!("# TYPE {name} ")), "{name} is missing in {text}");
    }
    rig.stop().await;
}

#[tokio::test]
async fn the_health_check_answers_as_upstream_does() {
    let rig = Rig::start(CONFIG).await;
    let reply = reqwest::get(rig.url("health_check", "/")).await.unwrap();
    assert_eq!(reply.status(), 200);
    let body: serde_json::Value = reply.json().await.unwrap();
    assert_eq!(body["status"], "Server available");
    assert!(body["upSince"].as_str().unwrap().starts_with("20") && body["uptime"].is_string(), "{body}");
    rig.stop().await;
}

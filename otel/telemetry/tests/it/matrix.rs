//! `OTEL_*`, one row of the specification's tables a test, by what a receiver gets.

use crate::probe::{self, Ended, run};
use crate::receiver::{Receiver, attribute};
use opentelemetry_proto::tonic::metrics::v1::AggregationTemporality;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;

/// One order over gRPC with these settings.
pub(crate) async fn order(env: &[(&str, &str)]) -> (Receiver, Ended) {
    let receiver = Receiver::start().await;
    let ended = run(&receiver, "grpc", &["order"], env).await;
    (receiver, ended)
}

/// What a program says that refuses to start; a good setting beside it is not mentioned.
pub(crate) async fn refusal(env: &[(&str, &str)]) -> String {
    let ended = probe::ended(probe::command(&["order"], env).output().await.unwrap());
    assert_eq!(ended.code, Some(2), "{env:?} was taken: {}", ended.stderr);
    ended.stderr
}

fn resource(receiver: &Receiver, key: &str) -> Option<String> {
    attribute(&receiver.resource(), key)
}

async fn names(env: &[(&str, &str)]) -> Vec<String> {
    let (receiver, _) = order(env).await;
    receiver.spans().into_iter().map(|span| span.name).collect()
}

/// Kinds of signals that arrived: traces, metrics, logs.
pub(crate) fn kinds(receiver: &Receiver) -> [bool; 3] {
    let got = receiver.got.lock().unwrap();
    [!got.traces.is_empty(), !got.metrics.is_empty(), !got.logs.is_empty()]
}

#[tokio::test]
async fn with_nothing_set_all_three_signals_arrive_with_the_services_own_resource() {
    for protocol in ["grpc", "http/protobuf"] {
        let receiver = Receiver::start().await;
        let ended = run(&receiver, protocol, &["order"], &[]).await;
        let span = receiver.span("order.place");
        assert_eq!(attribute(&span.attributes, "items").as_deref(), Some("int:2"), "{}", ended.stderr);
        assert_eq!(attribute(&span.attributes, "order.id").as_deref(), Some("o-1"));
        assert_eq!(attribute(&span.attributes, "user_agent.synthetic.type").as_deref(), Some("test"));
        assert_eq!(attribute(&span.attributes, "note").as_deref(), Some("last"), "set twice, there once");
        assert!(span.events.is_empty(), "events are logs");
        let created = receiver.span("create order.accepted");
        assert_eq!(created.parent_span_id, span.span_id);
        assert_eq!(attribute(&created.attributes, "order.id").as_deref(), Some("o-1"));
        let log =
            receiver.logs().into_iter().find(|l| attribute(&l.attributes, "position").is_some()).unwrap();
        assert_eq!(attribute(&log.attributes, "order.id").as_deref(), Some("o-1"), "as on spans");
        assert_eq!((log.trace_id, log.span_id), (span.trace_id, span.span_id));
        let get = |key| resource(&receiver, key).unwrap();
        assert_eq!([get("service.name"), get("service.version")], ["probe", "1.2.3"]);
        assert_eq!([get("service.namespace"), get("service.criticality")], ["tests", "low"]);
        assert_eq!([get("deployment.environment.name"), get("telemetry.sdk.language")], ["ci", "rust"]);
        assert_eq!(get("service.instance.id").len(), 36);
        assert_eq!(kinds(&receiver), [true; 3]);
    }
}

#[tokio::test]
async fn log_lines_are_json_with_trace_span_and_service() {
    let (receiver, ended) = order(&[]).await;
    let span = receiver.span("order.place");
    let line = ended.stdout.lines().find(|line| line.contains("order placed")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert_eq!(line["trace_id"], hex(&span.trace_id));
    assert_eq!(line["span_id"], hex(&span.span_id));
    assert_eq!([&line["service"], &line["level"], &line["message"]], ["probe", "INFO", "order placed"]);
    assert_eq!(line["fields"]["position"], 0);
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn rust_log_silences_logs_and_never_spans() {
    let (receiver, ended) = order(&[("RUST_LOG", "error")]).await;
    assert_eq!(receiver.span("order.place").name, "order.place");
    assert!(receiver.logs().is_empty() && !ended.stdout.contains("order placed"));
    let (receiver, _) = order(&[("RUST_LOG", "debug")]).await;
    assert_eq!(receiver.logs().len(), 2, "the detail, and nothing of the telemetry's own");
    assert!(refusal(&[("RUST_LOG", "a=b=c")]).await.contains("RUST_LOG"));
}

#[tokio::test]
async fn sdk_disabled_sends_nothing_and_context_still_passes() {
    let receiver = Receiver::start().await;
    let ended = run(&receiver, "grpc", &["pass"], &[("OTEL_SDK_DISABLED", "TRUE")]).await;
    let expected = "x-trace-id=0af7651916cd43dd8448eb211c80319c \
                    Some(\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\") Some(\"order.id=o-9\")";
    assert!(ended.stdout.contains(expected), "{}", ended.stdout);
    assert_eq!(kinds(&receiver), [false; 3]);
    assert!(refusal(&[("OTEL_SDK_DISABLED", "yes")]).await.contains("OTEL_SDK_DISABLED"));
}

#[tokio::test]
async fn service_name_wins_over_resource_attributes_which_win_over_the_code() {
    let attributes = (
        "OTEL_RESOURCE_ATTRIBUTES",
        "service.name=attr,a%20key=b%20c%2C,service.version=9,service.instance.id=i",
    );
    let (receiver, ended) = order(&[attributes]).await;
    assert_eq!(resource(&receiver, "service.name").as_deref(), Some("attr"));
    assert_eq!(resource(&receiver, "a key").as_deref(), Some("b c,"));
    assert_eq!(resource(&receiver, "service.version").as_deref(), Some("9"));
    assert_eq!(resource(&receiver, "service.instance.id").as_deref(), Some("i"));
    assert!(ended.stdout.contains("\"service\":\"attr\""));
    let (receiver, _) = order(&[attributes, ("OTEL_SERVICE_NAME", "env")]).await;
    assert_eq!(resource(&receiver, "service.name").as_deref(), Some("env"));
    for bad in ["novalue", "a=%zz", "=x"] {
        assert!(refusal(&[("OTEL_RESOURCE_ATTRIBUTES", bad)]).await.contains("OTEL_RESOURCE_ATTRIBUTES"));
    }
}

#[tokio::test]
async fn propagators_choose_what_travels() {
    for (value, parent, baggage) in
        [("tracecontext", true, false), ("baggage", false, true), ("none", false, false)]
    {
        let receiver = Receiver::start().await;
        let env = [("OTEL_PROPAGATORS", value), ("OTEL_TRACES_EXPORTER", "none")];
        let out = run(&receiver, "grpc", &["pass"], &env).await.stdout;
        assert_eq!(out.contains("0af7651916cd43dd8448eb211c80319c"), parent, "{value}: {out}");
        assert_eq!(out.contains("order.id=o-9"), baggage, "{value}: {out}");
    }
    assert!(refusal(&[("OTEL_PROPAGATORS", "tracecontext,b3")]).await.contains("`b3` is not supported"));
}

#[tokio::test]
async fn each_signal_has_an_exporter_of_its_own_choice() {
    for (name, expected) in [
        ("OTEL_TRACES_EXPORTER", [false, true, true]),
        ("OTEL_METRICS_EXPORTER", [true, false, true]),
        ("OTEL_LOGS_EXPORTER", [true, true, false]),
    ] {
        let (receiver, _) = order(&[(name, "none")]).await;
        assert_eq!(kinds(&receiver), expected, "{name}=none");
        let (receiver, ended) = order(&[(name, "console")]).await;
        assert_eq!(kinds(&receiver), expected, "{name}=console");
        assert!(ended.stdout.contains("{\"resource"), "{name}: {}", ended.stdout);
        let (receiver, ended) = order(&[(name, "otlp,console")]).await;
        assert!(kinds(&receiver) == [true; 3] && ended.stdout.contains("{\"resource"), "{name}");
        assert!(refusal(&[(name, "zipkin")]).await.contains(name));
    }
}

#[tokio::test]
async fn samplers_decide_and_unknown_ones_are_refused() {
    let sampler = "OTEL_TRACES_SAMPLER";
    let none: [String; 0] = [];
    assert_eq!(names(&[(sampler, "always_off")]).await, none);
    assert_eq!(names(&[(sampler, "parentbased_always_off")]).await, none);
    assert_eq!(names(&[(sampler, "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0")]).await, none);
    assert_eq!(
        names(&[(sampler, "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "1.0")]).await.len(),
        3
    );
    assert_eq!(names(&[(sampler, "always_on")]).await.len(), 3);
    for bad in ["bogus", "jaeger_remote", "xray"] {
        assert!(refusal(&[(sampler, bad)]).await.contains(sampler));
    }
    for bad in ["1.5", "-1", "half", "NaN"] {
        let text = refusal(&[(sampler, "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", bad)]).await;
        assert!(text.contains("OTEL_TRACES_SAMPLER_ARG"), "{text}");
    }
}

#[tokio::test]
async fn a_span_sampled_out_still_passes_its_trace_on() {
    let receiver = Receiver::start().await;
    let out = run(&receiver, "grpc", &["pass"], &[("OTEL_TRACES_SAMPLER", "always_off")]).await.stdout;
    assert!(out.contains("00-0af7651916cd43dd8448eb211c80319c-") && out.contains("-00\""), "{out}");
}

#[tokio::test]
async fn attribute_values_are_cut_at_their_limit() {
    for name in ["OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"] {
        let (receiver, _) = order(&[(name, "4")]).await;
        let span = receiver.span("order.place");
        assert_eq!(attribute(&span.attributes, "long").as_deref(), Some("0123"), "{name}");
        let log = receiver.logs().remove(0);
        let both = name == "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT";
        assert_eq!(attribute(&log.attributes, "long").unwrap().len(), if both { 4 } else { 10 }, "{name}");
    }
    let (receiver, _) = order(&[("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3")]).await;
    assert_eq!(attribute(&receiver.logs()[0].attributes, "long").as_deref(), Some("012"));
    assert_eq!(attribute(&receiver.span("order.place").attributes, "long").unwrap().len(), 10);
}

#[tokio::test]
async fn attributes_are_counted() {
    for name in ["OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"] {
        let (receiver, _) = order(&[(name, "2")]).await;
        let span = receiver.span("order.place");
        assert_eq!(span.attributes.len(), 2, "{name}");
        assert!(span.dropped_attributes_count > 0);
    }
    for name in ["OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT"] {
        let (receiver, _) = order(&[(name, "1")]).await;
        assert_eq!(receiver.logs()[0].attributes.len(), 1, "{name}");
    }
}

#[tokio::test]
async fn links_and_their_attributes_are_counted() {
    let (receiver, _) = order(&[("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "2")]).await;
    let link = &receiver.span("order.place").links[0];
    assert_eq!((link.attributes.len(), link.dropped_attributes_count), (2, 1));
    let (receiver, _) = order(&[("OTEL_SPAN_LINK_COUNT_LIMIT", "0")]).await;
    let span = receiver.span("order.place");
    assert_eq!((span.links.len(), span.dropped_links_count), (0, 1));
}

#[tokio::test]
async fn limits_of_events_are_read_and_checked() {
    for name in ["OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT"] {
        assert_eq!(names(&[(name, "1")]).await.len(), 3);
        assert!(refusal(&[(name, "-1")]).await.contains(name));
    }
}

#[tokio::test]
async fn batches_have_their_size_and_queues_their_order() {
    let receiver = Receiver::start().await;
    let env = [("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10"), ("OTEL_BSP_SCHEDULE_DELAY", "60000")];
    run(&receiver, "grpc", &["burst", "95"], &env).await;
    let sizes = |receiver: &Receiver| -> Vec<usize> {
        let got = receiver.got.lock().unwrap();
        got.traces
            .iter()
            .map(|r| r.resource_spans[0].scope_spans.iter().map(|s| s.spans.len()).sum())
            .collect()
    };
    assert_eq!(sizes(&receiver), [10, 10, 10, 10, 10, 10, 10, 10, 10, 5]);
    for (prefix, least) in [("OTEL_BSP", "SCHEDULE_DELAY"), ("OTEL_BLRP", "SCHEDULE_DELAY")] {
        assert!(refusal(&[(&format!("{prefix}_{least}"), "soon")]).await.contains(prefix));
        assert!(refusal(&[(&format!("{prefix}_MAX_QUEUE_SIZE"), "0")]).await.contains("MAX_QUEUE_SIZE"));
        let both =
            [(&*format!("{prefix}_MAX_QUEUE_SIZE"), "5"), (&*format!("{prefix}_MAX_EXPORT_BATCH_SIZE"), "6")];
        assert!(refusal(&both).await.contains("MAX_EXPORT_BATCH_SIZE"));
    }
}

#[tokio::test]
async fn log_batches_have_their_size() {
    let receiver = Receiver::start().await;
    let env = [("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "10"), ("OTEL_BLRP_SCHEDULE_DELAY", "60000")];
    run(&receiver, "grpc", &["logs", "25"], &env).await;
    assert_eq!(receiver.got.lock().unwrap().logs.len(), 3);
    assert_eq!(receiver.logs().len(), 25);
}

#[tokio::test]
async fn metrics_come_at_their_interval_with_their_temporality_and_aggregation() {
    let receiver = Receiver::start().await;
    let env = [
        ("OTEL_METRIC_EXPORT_INTERVAL", "50"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
        ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "base2_exponential_bucket_histogram"),
    ];
    run(&receiver, "grpc", &["trickle", "50"], &env).await;
    assert!(receiver.got.lock().unwrap().metrics.len() > 3, "interval");
    let (receiver, _) = order(&env[1..]).await;
    let histogram = {
        let got = receiver.got.lock().unwrap();
        let metrics = got.metrics.iter().flat_map(|r| &r.resource_metrics).flat_map(|r| &r.scope_metrics);
        let mut metrics = metrics.flat_map(|s| &s.metrics);
        metrics.find(|m| m.name == "http.server.request.duration").and_then(|m| m.data.clone()).unwrap()
    };
    match histogram {
        Data::ExponentialHistogram(h) => {
            assert_eq!(h.aggregation_temporality(), AggregationTemporality::Delta)
        }
        other => panic!("{other:?}"),
    }
    for name in [env[0].0, env[1].0, env[2].0, "OTEL_METRIC_EXPORT_TIMEOUT", "OTEL_METRICS_EXEMPLAR_FILTER"] {
        assert!(refusal(&[(name, "bogus")]).await.contains(name));
    }
}

#[tokio::test]
async fn a_metric_export_has_a_timeout() {
    let receiver = Receiver::start().await;
    receiver.set(crate::receiver::Mood::Hangs);
    let env = [
        ("OTEL_METRIC_EXPORT_INTERVAL", "50"),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "100"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_LOGS_EXPORTER", "none"),
    ];
    run(&receiver, "grpc", &["trickle", "50"], &env).await;
    assert!(receiver.got.lock().unwrap().headers.len() > 2, "the first export blocked the others");
}

#[tokio::test]
async fn the_log_level_is_that_of_telemetrys_own_lines() {
    let env = [("OTEL_METRICS_EXPORTER", "none"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")];
    let (_, loud) = order(&env).await;
    assert!(loud.stdout.contains("telemetry cannot be delivered"), "{}", loud.stdout);
    let (_, quiet) = order(&[env[0], env[1], ("OTEL_LOG_LEVEL", "none")]).await;
    assert!(!quiet.stdout.contains("delivered"), "{}", quiet.stdout);
    assert!(refusal(&[("OTEL_LOG_LEVEL", "loud")]).await.contains("OTEL_LOG_LEVEL"));
}

#[tokio::test]
async fn a_configuration_file_is_refused_and_all_bad_settings_are_named_at_once() {
    let text = refusal(&[
        ("OTEL_CONFIG_FILE", "otel.yaml"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
        ("OTEL_SERVICE_NAME", "fine"),
    ])
    .await;
    for name in ["OTEL_CONFIG_FILE", "OTEL_TRACES_SAMPLER", "OTEL_BSP_MAX_QUEUE_SIZE"] {
        assert!(text.contains(name), "{text}");
    }
    assert!(!text.contains("OTEL_SERVICE_NAME") && text.lines().count() == 1, "{text}");
}

#[tokio::test]
async fn empty_values_are_unset() {
    let (receiver, _) =
        order(&[("OTEL_TRACES_SAMPLER", ""), ("OTEL_SERVICE_NAME", ""), ("OTEL_BSP_MAX_QUEUE_SIZE", " ")])
            .await;
    assert_eq!(resource(&receiver, "service.name").as_deref(), Some("probe"));
}

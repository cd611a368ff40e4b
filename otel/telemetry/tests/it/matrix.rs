//! `OTEL_*`, one row of the specification's tables a test, by what a receiver gets.

use crate::probe::{self, Ended, run};
use crate::receiver::{Receiver, attribute};
use opentelemetry_proto::tonic::metrics::v1::AggregationTemporality;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;

/// One order over gRPC with these settings.
async fn order(env: &[(&str, &str)]) -> (Receiver, Ended) {
    let receiver = Receiver::start().await;
    let ended = run(&receiver, "grpc", &["order"], env).await;
    (receiver, ended)
}

/// What a program says that refuses to start; a good setting beside it is not mentioned.
async fn refusal(env: &[(&str, &str)]) -> String {
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
fn kinds(receiver: &Receiver) -> [bool; 3] {
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
async fn endpoints_are_per_signal_and_over_http_only_the_general_one_gets_a_path() {
    let (own, general) = (Receiver::start().await, Receiver::start().await);
    let (own_url, base) =
        (format!("http://{}/own", own.address), format!("http://{}/base/", general.address));
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", base.as_str()),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", own_url.as_str()),
    ];
    run(&general, "http/protobuf", &["order"], &env).await;
    assert_eq!(own.paths(), ["/own"]);
    assert_eq!(general.paths(), ["/base/v1/logs", "/base/v1/metrics"]);
    for (bad, protocol) in [("not a url", "grpc"), ("ftp://x", "grpc"), ("localhost:4318", "http/protobuf")] {
        let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", bad), ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)];
        assert!(refusal(&env).await.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{bad}");
    }
}

#[tokio::test]
async fn protocols_are_per_signal() {
    let (receiver, _) = order(&[("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/protobuf")]).await;
    assert_eq!(receiver.paths(), ["/v1/logs", "grpc/metrics", "grpc/traces"]);
    for bad in ["http/json", "tcp"] {
        assert!(
            refusal(&[("OTEL_EXPORTER_OTLP_PROTOCOL", bad)]).await.contains("OTEL_EXPORTER_OTLP_PROTOCOL")
        );
    }
}

#[tokio::test]
async fn headers_are_decoded_and_the_signals_own_win() {
    let env = [
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b,x-both=general"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-both=own"),
    ];
    for protocol in ["grpc", "http/protobuf"] {
        let receiver = Receiver::start().await;
        run(&receiver, protocol, &["order"], &env).await;
        assert_eq!(receiver.header("traces", "x-key").as_deref(), Some("a b"), "{protocol}");
        assert_eq!(receiver.header("traces", "x-both").as_deref(), Some("own"), "{protocol}");
        assert_eq!(receiver.header("logs", "x-both").as_deref(), Some("general"), "{protocol}");
    }
    let text = refusal(&[("OTEL_EXPORTER_OTLP_HEADERS", "bad key=secret")]).await;
    assert!(text.contains("OTEL_EXPORTER_OTLP_HEADERS") && !text.contains("secret"), "{text}");
}

#[tokio::test]
async fn compression_is_per_signal() {
    for (protocol, header) in [("grpc", "grpc-encoding"), ("http/protobuf", "content-encoding")] {
        let receiver = Receiver::start().await;
        let env =
            [("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"), ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "zstd")];
        run(&receiver, protocol, &["order"], &env).await;
        assert_eq!(kinds(&receiver), [true; 3], "{protocol}");
        // The HTTP receiver decompresses before it looks, so only gRPC still shows the header there.
        if protocol == "grpc" {
            assert_eq!(receiver.header("traces", header).as_deref(), Some("gzip"));
            assert_eq!(receiver.header("logs", header).as_deref(), Some("zstd"));
        }
    }
    assert!(
        refusal(&[("OTEL_EXPORTER_OTLP_COMPRESSION", "br")]).await.contains("OTEL_EXPORTER_OTLP_COMPRESSION")
    );
}

#[tokio::test]
async fn timeouts_end_an_attempt() {
    for name in ["OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_BSP_EXPORT_TIMEOUT"]
    {
        let receiver = Receiver::start().await;
        receiver.set(crate::receiver::Mood::Hangs);
        let env = [(name, "200"), ("OTEL_METRICS_EXPORTER", "none"), ("OTEL_LOGS_EXPORTER", "none")];
        let ended = run(&receiver, "grpc", &["return"], &env).await;
        assert!(
            receiver.got.lock().unwrap().headers.len() > 3,
            "{name}: was not tried again: {}",
            ended.stderr
        );
        assert!(refusal(&[(name, "0")]).await.contains(name));
        assert!(refusal(&[(name, "5s")]).await.contains(name));
    }
}

#[tokio::test]
async fn an_endpoint_without_scheme_is_https_unless_insecure() {
    let receiver = Receiver::start().await;
    let address = receiver.address.to_string();
    let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", address.as_str()), ("OTEL_EXPORTER_OTLP_INSECURE", "true")];
    run(&receiver, "grpc", &["order"], &env).await;
    assert_eq!(kinds(&receiver), [true; 3]);
    assert!(
        refusal(&[("OTEL_EXPORTER_OTLP_INSECURE", "1"), env[0]])
            .await
            .contains("OTEL_EXPORTER_OTLP_INSECURE")
    );
}

#[tokio::test]
async fn a_certificate_that_cannot_be_read_is_refused() {
    for name in ["CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE", "TRACES_CERTIFICATE"] {
        let name = format!("OTEL_EXPORTER_OTLP_{name}");
        assert!(refusal(&[(&name, "/does/not/exist.pem")]).await.contains(&name));
    }
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn certificates_are_used_for_the_server_and_for_the_client() {
    let pem = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pem");
    let file = |name: &str| pem.join(name).to_string_lossy().into_owned();
    let (ca, chain, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let all = [
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", ca.as_str()),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", chain.as_str()),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", key.as_str()),
    ];
    for protocol in ["grpc", "http/protobuf"] {
        let receiver = Receiver::start_tls(&pem).await;
        let endpoint = format!("https://localhost:{}", receiver.address.port());
        let mut env =
            vec![("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_METRICS_EXPORTER", "none")];
        env.extend(all);
        let ended = run(&receiver, protocol, &["order"], &env).await;
        assert_eq!(kinds(&receiver), [true, false, true], "{protocol}: {} {}", ended.stdout, ended.stderr);

        let stranger = Receiver::start_tls(&pem).await;
        let endpoint = format!("https://localhost:{}", stranger.address.port());
        env[0].1 = &endpoint;
        run(&stranger, protocol, &["order"], &env[..3]).await;
        assert_eq!(kinds(&stranger), [false; 3], "{protocol} without a client certificate");
        run(&stranger, protocol, &["order"], &env[..2]).await;
        assert_eq!(kinds(&stranger), [false; 3], "{protocol} with an unknown authority");
    }
    assert!(refusal(&[all[0], all[1]]).await.contains("CLIENT_KEY"));
    let no_pem = format!("{}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
    assert!(refusal(&[("OTEL_EXPORTER_OTLP_CERTIFICATE", &no_pem)]).await.contains("nothing in PEM"));
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

//! The configuration file: what it takes as the official collector does, and how its faults are told.

use collector::{Collector, Config, Error};

fn faults(text: &str) -> Vec<String> {
    match Config::parse(text, &|_| None) {
        Err(Error::Config(faults)) => faults,
        Err(other) => panic!("{other}"),
        Ok(config) => panic!("no fault found in {config:?}"),
    }
}

/// A sound configuration with `exporter` as the settings of its exporter.
fn with_exporter(exporter: &str) -> String {
    format!(
        "receivers: {{otlp: {{protocols: {{grpc:, http:}}}}}}\nexporters: {{otlp: {{endpoint: 'x:1', tls: {{insecure: true}}, {exporter}}}}}\n\
         service: {{pipelines: {{traces: {{receivers: [otlp], exporters: [otlp]}}}}}}"
    )
}

#[test]
fn the_configuration_at_the_top_of_the_repository_is_sound() {
    let config = Config::parse(collector::DEFAULT_CONFIG, &|_| None).unwrap();
    assert_eq!(config.warnings(), [""; 0]);
    assert_eq!(config.log_level(), Some("info"));
    let bad = Config::parse(collector::DEFAULT_CONFIG, &|name| {
        (name == "WAYBILL_COLLECTOR_GRPC").then(|| "nonsense".into())
    });
    assert!(bad.unwrap_err().to_string().contains("receivers::otlp::protocols::grpc::endpoint"));
}

#[test]
fn every_fault_is_reported_at_once_with_its_path() {
    let text = r#"
receivers:
  otlp: {protocols: {grpc: {endpont: "127.0.0.1:1"}, http: {endpoint: "no port"}}}
  jaeger: {}
processors:
  batch: {timeout: soon, send_batch_max_size: 5}
  memory_limiter: {limit_mib: 10, spike_limit_mib: 20}
exporters:
  otlp:
    endpoint: backend:4317
    tls: {ca_file: /no/such/file, cert_pem: x, min_version: "1.3"}
    sending_queue: {foo: 1, sizer: spoons, batch: {min_size: 10, max_size: 5}, storage: file_storage}
    retry_on_failure: {enabled: maybe}
  otlphttp/other: {endpoint: ftp://x}
extensions: {zpages: {}}
colour: blue
service:
  extensions: [health_check]
  telemetry: {logs: {level: loud}}
  pipelines:
    traces: {receivers: [otlp, zipkin], processors: [batch], exporters: [otlp], connectors: [x]}
    spans: {receivers: [otlp], exporters: [otlp]}
    logs: {receivers: [otlp], exporters: []}
"#;
    let found = faults(text);
    let expected = [
        "receivers::otlp::protocols::grpc::endpont: unknown key",
        "receivers::otlp::protocols::http::endpoint: `no port` is not an address",
        "receivers::jaeger: unknown type `jaeger` for receivers; known are otlp",
        "processors::batch::timeout: expected a duration such as 200ms or 5s, found \"soon\"",
        "processors::batch::send_batch_max_size: 5 is less than send_batch_size 8192",
        "processors::memory_limiter::check_interval: must be greater than zero",
        "processors::memory_limiter::spike_limit_mib: must be smaller than the limit",
        "exporters::otlp::tls::key_file: is required beside a certificate",
        "exporters::otlp::tls::ca_file: /no/such/file cannot be read",
        "exporters::otlp::tls::min_version: is not supported",
        "exporters::otlp::sending_queue::foo: unknown key",
        "exporters::otlp::sending_queue::sizer: `spoons` is none of requests, items, bytes",
        "exporters::otlp::sending_queue::batch::max_size: 5 is less than min_size 10",
        "exporters::otlp::retry_on_failure::enabled: expected true or false, found \"maybe\"",
        "exporters::otlphttp/other::endpoint: `ftp://x/v1/traces` is not a URL",
        "extensions::zpages: unknown type `zpages`",
        "colour: unknown key",
        "service::extensions: `health_check` is not configured below extensions",
        "service::telemetry::logs::level: `loud` is none of",
        "service::pipelines::traces::receivers: `zipkin` is not configured below receivers",
        "service::pipelines::traces::connectors: unknown key",
        "service::pipelines::spans: a pipeline is of traces, logs or metrics",
        "service::pipelines::logs::exporters: must have at least one entry",
    ];
    for fault in expected {
        assert!(found.iter().any(|line| line.starts_with(fault)), "{fault:?} is missing in {found:#?}");
    }
}

#[test]
fn settings_that_only_the_official_collector_has_are_refused_not_ignored() {
    let cases = [
        ("auth: {authenticator: x}", "exporters::otlp::auth: is not supported by this collector"),
        ("tls: {ca_pem: nonsense}", "exporters::otlp::tls::ca_file: there is no certificate in it"),
        ("tls: {insecure_skip_verify: true}", "exporters::otlp::tls::insecure_skip_verify: is not supported"),
        ("compression: snappy", "exporters::otlp::compression: `snappy` is none of"),
        (
            "sending_queue: {storage: file_storage}",
            "exporters::otlp::sending_queue::storage: `file_storage` is not a file_storage",
        ),
        (
            "sending_queue: {wait_for_result: true, storage: s}",
            "exporters::otlp::sending_queue::wait_for_result: cannot be",
        ),
        (
            "sending_queue: {queue_size: -1}",
            "exporters::otlp::sending_queue::queue_size: expected a whole number",
        ),
        ("sending_queue: {queue_size: 0}", "exporters::otlp::sending_queue::queue_size: must be positive"),
        ("headers: {'a b': c}", "exporters::otlp::headers::a b: is not a header"),
        (
            "retry_on_failure: {multiplier: 0.5}",
            "exporters::otlp::retry_on_failure::multiplier: must be at least 1",
        ),
    ];
    for (exporter, expected) in cases {
        let text = with_exporter(exporter);
        let text =
            if exporter.starts_with("tls") { text.replace("tls: {insecure: true}, ", "") } else { text };
        let found = faults(&text);
        assert!(found.iter().any(|line| line.starts_with(expected)), "{expected:?} is missing in {found:?}");
    }
}

#[test]
fn what_is_defined_and_not_used_is_a_warning_as_upstream() {
    let more = "processors: {batch:}\nextensions: {health_check:}\nexporters:";
    let text = with_exporter("").replacen("exporters:", more, 1);
    let text = text.replacen("exporters: {otlp:", "exporters: {debug:, otlp:", 1);
    let config = Config::parse(&text, &|_| None).unwrap();
    let warnings = config.warnings().join("\n");
    for expected in [
        "processors::batch: is configured but used by no pipeline",
        "exporters::debug",
        "extensions::health_check",
    ] {
        assert!(warnings.contains(expected), "{expected:?} is missing in {warnings:?}");
    }
}

#[test]
fn names_old_and_new_and_types_with_names_are_taken() {
    for name in ["otlp", "otlp_grpc", "otlp/two", "otlp_grpc/two"] {
        let text = with_exporter("").replace("exporters: {otlp:", &format!("exporters: {{{name}:"));
        let text = text.replace("exporters: [otlp]", &format!("exporters: [{name}]"));
        Config::parse(&text, &|_| None).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for name in ["otlphttp", "otlp_http/two"] {
        let text = with_exporter("").replace("exporters: {otlp:", &format!("exporters: {{{name}:"));
        let text =
            text.replace("exporters: [otlp]", &format!("exporters: [{name}]")).replace("x:1", "http://x:1");
        Config::parse(&text, &|_| None).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn a_file_that_is_no_yaml_or_not_there_is_one_clear_line() {
    assert!(faults("a: [")[0].starts_with("not YAML: "));
    assert!(faults("- a")[0].contains("expected a mapping, found a list"));
    let missing = Config::load("/nowhere/config.yaml".as_ref(), &|_| None).unwrap_err();
    assert_eq!(missing.to_string(), "cannot read the collector configuration /nowhere/config.yaml");
}

#[tokio::test]
async fn a_taken_port_and_a_missing_directory_are_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let own = "service: {telemetry: {metrics: {level: none}},";
    let text = with_exporter("")
        .replace("grpc:, http:", &format!("grpc: {{endpoint: '{address}'}}"))
        .replace("service: {", own);
    let error = Collector::start(Config::parse(&text, &|_| None).unwrap()).await.err().unwrap();
    assert_eq!(error.to_string(), format!("receivers::otlp::protocols::grpc cannot listen on {address}"));
    let text = with_exporter("").replace(
        "service: {",
        &format!(
            "extensions: {{file_storage: {{directory: /nowhere/at/all}}}}\n{own} extensions: [file_storage],"
        ),
    );
    let error = Collector::start(Config::parse(&text, &|_| None).unwrap()).await.err().unwrap();
    assert_eq!(error.to_string(), "the storage at /nowhere/at/all cannot be used");
}

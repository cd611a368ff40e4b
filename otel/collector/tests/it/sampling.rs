//! Tail sampling: which traces are kept, that whole traces are, and what becomes of those that are late, too many, or in
//! memory when the collector ends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use collector::{Config, Error};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use crate::durability::Process;
use crate::rig::{Backend, Rig, eventually, to_backend};

/// The rule of the repository's own file, which the official collector reads, too.
const OURS: &str = collector::SAMPLING_CONFIG;

fn value(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn text(key: &str, text: &str) -> KeyValue {
    value(key, Value::StringValue(text.into()))
}

/// A span of `trace` that lasts from its first to its second millisecond.
fn span(trace: u128, name: &str, (start, end): (u64, u64)) -> Span {
    let at = |millis: u64| 1_700_000_000_000_000_000 + millis * 1_000_000;
    Span {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: (name.len() as u64 + 1).to_be_bytes().to_vec(),
        name: name.into(),
        start_time_unix_nano: at(start),
        end_time_unix_nano: at(end),
        ..Default::default()
    }
}

fn failed(mut span: Span) -> Span {
    span.status = Some(Status { code: 2, message: "no courier".into() });
    span
}

fn with(mut span: Span, attribute: KeyValue) -> Span {
    span.attributes.push(attribute);
    span
}

fn of(service: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let resource = Resource { attributes: vec![text("service.name", service)], ..Default::default() };
    let scope_spans = vec![ScopeSpans { spans, ..Default::default() }];
    let resource_spans = ResourceSpans { resource: Some(resource), scope_spans, ..Default::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }
}

/// A collector with these settings of `tail_sampling` in front of `backend`.
fn config(backend: SocketAddr, sampling: &str, rest: &str) -> String {
    to_backend(backend, "", &format!("processors: {{tail_sampling: {{{sampling}}}}}\n{rest}")).replace(
        "traces: {receivers: [otlp], exporters",
        "traces: {receivers: [otlp], processors: [tail_sampling], exporters",
    )
}

/// Spans taken by `backend`, by trace, by name, sorted.
fn arrived(backend: &Backend) -> BTreeMap<u128, Vec<String>> {
    let mut found: BTreeMap<u128, Vec<String>> = BTreeMap::new();
    for request in backend.trace_requests() {
        let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        for span in scopes.flat_map(|scope| &scope.spans) {
            let trace = u128::from_be_bytes(span.trace_id.clone().try_into().unwrap());
            found.entry(trace).or_default().push(span.name.clone());
        }
    }
    found.values_mut().for_each(|names| names.sort_unstable());
    found
}

/// Sends all requests to a collector with these policies, ends it, and says which traces were kept.
async fn kept(sampling: &str, requests: &[ExportTraceServiceRequest]) -> Vec<u128> {
    let backend = Backend::start().await;
    let rig = Rig::start(&config(backend.address, sampling, "")).await;
    let mut client = rig.traces().await;
    for request in requests {
        client.export(request.clone()).await.unwrap();
    }
    rig.stop().await;
    arrived(&backend).into_keys().collect()
}

#[tokio::test]
async fn each_policy_keeps_the_traces_that_it_is_told_to() {
    let flag = |flag| value("vip", Value::BoolValue(flag));
    let number = |number| value("items", Value::IntValue(number));
    let state = |mut span: Span, state: &str| {
        span.trace_state = state.into();
        span
    };
    let sampled = |mut span: Span| {
        span.flags = 1;
        span
    };
    let requests = [
        of("shop", vec![span(1, "ok", (0, 10))]),
        of("shop", vec![span(2, "slow", (0, 10)), span(2, "slower", (50, 120))]),
        of("shop", vec![failed(span(3, "failed", (0, 10)))]),
        of("bank", vec![with(span(4, "numbered", (0, 10)), number(7)), span(4, "more", (0, 10))]),
        of("shop", vec![with(span(5, "flagged", (0, 10)), flag(true))]),
        of("shop", vec![state(span(6, "state", (0, 10)), "waybill=yes,other=no")]),
        of("shop", vec![sampled(span(7, "sampled", (0, 10)))]),
        // Not a number, which reads as 0, as upstream.
        of("shop", vec![with(with(span(8, "odd", (0, 10)), text("items", "7")), text("vip", "true"))]),
    ];
    let cases: &[(&str, &[u128])] = &[
        ("type: always_sample", &[1, 2, 3, 4, 5, 6, 7, 8]),
        ("type: latency, latency: {threshold_ms: 100}", &[2]),
        ("type: latency, latency: {threshold_ms: 5, upper_threshold_ms: 20}", &[1, 2, 3, 4, 5, 6, 7, 8]),
        ("type: status_code, status_code: {status_codes: [ERROR, OK]}", &[3]),
        ("type: string_attribute, string_attribute: {key: service.name, values: [bank]}", &[4]),
        (
            "type: string_attribute, string_attribute: {key: service.name, values: ['^b'], enabled_regex_matching: true, invert_match: true}",
            &[1, 2, 3, 5, 6, 7, 8],
        ),
        ("type: numeric_attribute, numeric_attribute: {key: items, min_value: 5, max_value: 9}", &[4]),
        ("type: numeric_attribute, numeric_attribute: {key: items, max_value: 5}", &[8]),
        ("type: boolean_attribute, boolean_attribute: {key: vip, value: true}", &[5]),
        ("type: trace_state, trace_state: {key: waybill, values: ['yes']}", &[6]),
        ("type: trace_flags", &[7]),
        ("type: span_count, span_count: {min_spans: 2}", &[2, 4]),
        ("type: rate_limiting, rate_limiting: {spans_per_second: 1}", &[1, 3]),
        ("type: probabilistic, probabilistic: {sampling_percentage: 0}", &[]),
        (
            r#"type: ottl_condition, ottl_condition: {span: ['name == "odd" or resource.attributes["service.name"] == "bank"']}"#,
            &[4, 8],
        ),
        (
            "type: not, not: {not_sub_policy: {type: latency, latency: {threshold_ms: 100}}}",
            &[1, 3, 4, 5, 6, 7, 8],
        ),
        (
            "type: and, and: {and_sub_policy: [{type: span_count, span_count: {min_spans: 2}}, {type: not, not: {not_sub_policy: {type: latency, latency: {threshold_ms: 100}}}}]}",
            &[4],
        ),
        (
            "type: composite, composite: {max_total_spans_per_second: 1000, composite_sub_policy: [{name: a, type: latency, latency: {threshold_ms: 100}}, {name: b, type: trace_flags}, {name: c, type: always_sample}], rate_allocation: [{policy: a, percent: 50}, {policy: b, percent: 50}]}",
            &[2, 7],
        ),
    ];
    for (policy, expected) in cases {
        let found = kept(&format!("policies: [{{name: one, {policy}}}]"), &requests).await;
        assert_eq!(&found, expected, "{policy}");
    }
    let dropped = "policies: [{name: all, type: always_sample}, {name: no, type: drop, drop: {drop_sub_policy: [{type: span_count, span_count: {min_spans: 2}}]}}]";
    assert_eq!(kept(dropped, &requests).await, [1, 3, 5, 6, 7, 8], "drop outranks all others");
}

#[tokio::test]
async fn a_share_of_traces_is_kept_by_their_ids_alone() {
    let all: Vec<_> = (1..=400_u128)
        .map(|n| {
            of("shop", vec![span(n.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C834), "x", (0, 1))])
        })
        .collect();
    let policy = |share: u32| {
        format!(
            "policies: [{{name: p, type: probabilistic, probabilistic: {{sampling_percentage: {share}}}}}]"
        )
    };
    let (tenth, again, half) =
        (kept(&policy(10), &all).await, kept(&policy(10), &all).await, kept(&policy(50), &all).await);
    assert!((20..=65).contains(&tenth.len()), "about a tenth of 400: {}", tenth.len());
    assert_eq!(tenth, again);
    assert!(tenth.iter().all(|id| half.contains(id)), "a larger share holds the smaller one");
}

#[tokio::test]
async fn a_trace_is_kept_or_dropped_as_a_whole_and_late_spans_follow() {
    let backend = Backend::start().await;
    let sampling = "decision_wait: 1s, decision_cache: {sampled_cache_size: 100, non_sampled_cache_size: 100}, policies: [{name: failed, type: status_code, status_code: {status_codes: [ERROR]}}]";
    let rig = Rig::start(&config(backend.address, sampling, "")).await;
    let mut client = rig.traces().await;
    let sent = Instant::now();
    client.export(of("a", vec![span(1, "1a", (0, 1)), span(2, "2a", (0, 1))])).await.unwrap();
    client.export(of("b", vec![failed(span(1, "1b", (0, 1))), span(2, "2b", (0, 1))])).await.unwrap();
    eventually("the failed trace", async || (!arrived(&backend).is_empty()).then_some(())).await;
    assert!(sent.elapsed() >= Duration::from_secs(1), "not before its time");
    client.export(of("c", vec![span(1, "1c", (0, 1)), span(2, "2c", (0, 1))])).await.unwrap();
    eventually("the late span", async || {
        let early = "otelcol_processor_tail_sampling_early_releases_from_cache_decision";
        let counted = rig.own(early, "sampled=\"true\"").await? + rig.own(early, "sampled=\"false\"").await?;
        (counted == 2.0 && arrived(&backend)[&1].len() == 3).then_some(())
    })
    .await;
    let own = async |name: &str, labels: &str| {
        rig.own(&format!("otelcol_processor_tail_sampling_{name}"), labels).await
    };
    assert_eq!(own("global_count_traces_sampled", "decision=\"sampled\"").await, Some(1.0));
    assert_eq!(own("count_traces_sampled", "decision=\"not_sampled\",policy=\"failed\"").await, Some(1.0));
    assert_eq!(own("sampling_policy_execution_count", "policy=\"failed\"").await, Some(2.0));
    let text = crate::rig::get(&rig.url("telemetry", "/metrics")).await;
    for line in
        ["new_trace_id_received 2", "sampling_traces_on_memory 0", "sampling_trace_removal_age_count 2"]
    {
        assert!(text.contains(&format!("otelcol_processor_tail_sampling_{line}\n")), "{line} in {text}");
    }
    rig.stop().await;
    assert_eq!(arrived(&backend), BTreeMap::from([(1, vec!["1a".into(), "1b".into(), "1c".into()])]));
}

#[tokio::test]
async fn without_caches_late_spans_follow_while_their_trace_is_remembered() {
    let backend = Backend::start().await;
    let sampling = "decision_wait: 50ms, num_traces: 2, policies: [{name: f, type: status_code, status_code: {status_codes: [ERROR]}}]";
    let rig = Rig::start(&config(backend.address, sampling, "")).await;
    let mut client = rig.traces().await;
    client.export(of("a", vec![failed(span(1, "1a", (0, 1))), span(2, "2a", (0, 1))])).await.unwrap();
    eventually("the decision", async || arrived(&backend).contains_key(&1).then_some(())).await;
    client.export(of("b", vec![span(1, "1b", (0, 1)), span(2, "2b", (0, 1))])).await.unwrap();
    eventually("the late span", async || (arrived(&backend)[&1].len() == 2).then_some(())).await;
    rig.stop().await;
    assert_eq!(arrived(&backend).into_keys().collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn traces_that_must_make_room_are_decided_early_and_counted_not_lost() {
    let backend = Backend::start().await;
    let sampling = "decision_wait: 1h, num_traces: 3, decision_cache: {sampled_cache_size: 100}, policies: [{name: all, type: always_sample}]";
    let rig = Rig::start(&config(backend.address, sampling, "")).await;
    let mut client = rig.traces().await;
    for trace in 1..=10 {
        client.export(of("a", vec![span(trace, "x", (0, 1))])).await.unwrap();
    }
    eventually("the seven oldest", async || (arrived(&backend).len() == 7).then_some(())).await;
    let text = crate::rig::get(&rig.url("telemetry", "/metrics")).await;
    assert!(text.contains("otelcol_processor_tail_sampling_sampling_trace_dropped_too_early 7\n"), "{text}");
    rig.stop().await;
    assert_eq!(arrived(&backend).len(), 10, "the rest is decided at the end");
}

#[tokio::test]
async fn a_root_span_a_size_and_a_first_match_can_decide_sooner() {
    let backend = Backend::start().await;
    let sampling = "decision_wait: 1h, decision_wait_after_root_received: 50ms, policies: [{name: all, type: always_sample}]";
    let rig = Rig::start(&config(backend.address, sampling, "")).await;
    let mut client = rig.traces().await;
    let mut child = span(1, "child", (0, 1));
    child.parent_span_id = vec![7; 8];
    let mut other = span(2, "other", (0, 1));
    other.parent_span_id = vec![7; 8];
    client.export(of("a", vec![child, other])).await.unwrap();
    client.export(of("b", vec![span(1, "root", (0, 1))])).await.unwrap();
    eventually("the trace with a root", async || arrived(&backend).contains_key(&1).then_some(())).await;
    assert!(!arrived(&backend).contains_key(&2), "the other one waits on");
    rig.stop().await;

    let large = of("a", vec![with(span(1, "large", (0, 1)), text("x", &"y".repeat(2000)))]);
    let small = of("a", vec![span(2, "small", (0, 1))]);
    let all = "policies: [{name: all, type: always_sample}]";
    assert_eq!(kept(&format!("maximum_trace_size_bytes: 1000, {all}"), &[large, small.clone()]).await, [2]);
    assert_eq!(kept(&format!("drop_pending_traces_on_shutdown: true, {all}"), &[small]).await, [0_u128; 0]);
}

/// The file of this repository with what it needs to run in a test.
fn ours(backend: SocketAddr, data: &str, wait: &str) -> String {
    let env = |text: &str, name: &str, value: &str| {
        let start = text.find(&format!("${{env:{name}:-")).unwrap();
        let end = start + text[start..].find('}').unwrap();
        text.replace(&text[start..=end], value)
    };
    let mut text = OURS.to_owned();
    for (name, value) in [
        ("WAYBILL_COLLECTOR_GRPC", "127.0.0.1:0"),
        ("WAYBILL_COLLECTOR_HTTP", "127.0.0.1:0"),
        ("WAYBILL_COLLECTOR_HEALTH", "127.0.0.1:0"),
        ("WAYBILL_COLLECTOR_PROMETHEUS", "127.0.0.1:0"),
        ("WAYBILL_COLLECTOR_METRICS_PORT", "0"),
        ("WAYBILL_TRACESTORE_OTLP", &backend.to_string()),
        ("WAYBILL_DATA", data),
        ("WAYBILL_SAMPLING_DECISION_WAIT", wait),
        ("WAYBILL_SAMPLING_PERCENT", "0"),
    ] {
        text = env(&text, name, value);
    }
    text
}

#[tokio::test]
async fn the_file_of_this_repository_thins_only_orders_of_which_the_customer_was_told() {
    let (backend, folder) = (Backend::start().await, tempfile::tempdir().unwrap());
    let text = ours(backend.address, &folder.path().display().to_string(), "1h");
    let config = Config::parse(&text, &|_| None).unwrap();
    assert_eq!(config.warnings(), [""; 0]);
    let rig = Rig::start(&text).await;
    let mut client = rig.traces().await;
    let told = |trace| of("notification", vec![span(trace, "process tracking.started", (20, 30))]);
    for request in [
        of("mobile-app", vec![span(1, "POST /orders", (0, 10))]),
        told(1),
        // Never told.
        of("mobile-app", vec![span(2, "POST /orders", (0, 10))]),
        of("restaurant-orders", vec![span(2, "process tracking.started", (20, 30))]),
        of("notification", vec![span(2, "accept notification", (20, 30))]),
        // Told, but something failed.
        of("mobile-app", vec![failed(span(3, "POST /orders", (0, 10)))]),
        told(3),
        // Told too late.
        of("mobile-app", vec![span(4, "POST /orders", (0, 45_010))]),
        told(4),
    ] {
        client.export(request).await.unwrap();
    }
    rig.stop().await;
    assert_eq!(arrived(&backend).into_keys().collect::<Vec<_>>(), [2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_that_wait_for_a_decision_survive_a_kill_9_where_the_exporters_queue_does() {
    let (backend, folder) = (Backend::start().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("config.yaml");
    let data = folder.path().display().to_string();
    std::fs::write(&file, ours(backend.address, &data, "1h")).unwrap();
    let process = Process::start(&file).await;
    let mut client = process.client().await;
    for trace in 1..=50 {
        client
            .export(of("shop", vec![span(trace, "a", (0, 1)), span(trace + 100, "b", (0, 1))]))
            .await
            .unwrap();
    }
    drop(process);
    assert!(arrived(&backend).is_empty(), "all of them were waiting");
    let rig = Rig::start(&ours(backend.address, &data, "50ms")).await;
    eventually("what was acknowledged", async || (arrived(&backend).len() == 100).then_some(())).await;
    rig.stop().await;
    let rig = Rig::start(&ours(backend.address, &data, "0s")).await;
    rig.stop().await;
    assert!(arrived(&backend).values().all(|names| names.len() == 1), "what was decided does not come again");
}

#[test]
fn faults_of_sampling_are_told_with_their_paths() {
    let text = config(
        "127.0.0.1:1".parse().unwrap(),
        "decision_weight: 1s, num_traces: 0, sampling_strategy: span-ingest, decision_cache: {size: 1}, policies: [\
         {type: always_sample}, {name: a, type: wish}, {name: a, type: latency, latency: {treshold_ms: 1}}, {name: a, type: numeric_attribute, numeric_attribute: {key: x}},\
         {name: b, type: string_attribute, string_attribute: {key: x, values: ['('], enabled_regex_matching: true}}, {name: c, type: status_code, status_code: {status_codes: [BAD]}},\
         {name: d, type: not, not: {not_sub_policy: {type: not}}}, {name: e, type: ottl_condition, ottl_condition: {span: ['Now() > 1']}}, {name: f, type: and, and: {and_sub_policy: [{type: drop}]}}]",
        "",
    );
    let Err(Error::Config(faults)) = Config::parse(&text, &|_| None) else { panic!("no faults") };
    let at = "processors::tail_sampling::";
    for expected in [
        "decision_weight: unknown key",
        "num_traces: must be greater than zero",
        "sampling_strategy: `span-ingest` is not supported",
        "decision_cache::size: unknown key",
        "policies::0::name: is required",
        "policies::1::type: `wish` is none of",
        "policies::2::latency::treshold_ms: unknown key",
        "policies::3::numeric_attribute::min_value: or max_value",
        "policies::4::string_attribute::values: regex",
        "policies::5::status_code::status_codes: `BAD`",
        "policies::6::not::not_sub_policy::type: `not`",
        "policies::7::ottl_condition::span: \"Now() > 1\": `Now`",
        "policies::8::and::and_sub_policy::0::type: `drop`",
    ] {
        assert!(
            faults.iter().any(|fault| fault.starts_with(&format!("{at}{expected}"))),
            "{expected}: {faults:#?}"
        );
    }
    let logs = config("127.0.0.1:1".parse().unwrap(), "policies: [{name: a, type: always_sample}]", "")
        .replace(
            "logs: {receivers: [otlp], exporters",
            "logs: {receivers: [otlp], processors: [tail_sampling], exporters",
        );
    let Err(Error::Config(faults)) = Config::parse(&logs, &|_| None) else { panic!("no faults") };
    assert_eq!(faults, ["service::pipelines::logs::processors: `tail_sampling` does not take logs"]);
}

//! Tail sampling: both keep the same traces by the same file.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Status;

use crate::both::Both;
use crate::listed::listed;
use crate::rig::{attribute, eventually, get, spans};

const OURS: &str = collector::SAMPLING_CONFIG;

/// Further policies, one of each kind that depends on nothing but the trace.
const POLICIES: &str = r#"
      - {name: exact, type: string_attribute, string_attribute: {key: zone, values: [north, ""]}}
      - {name: pattern, type: string_attribute, string_attribute: {key: zone, values: ["^so"], enabled_regex_matching: true, cache_max_size: 10}}
      - {name: number, type: numeric_attribute, numeric_attribute: {key: zone, min_value: -5, max_value: -1}}
      - {name: flag, type: boolean_attribute, boolean_attribute: {key: vip, value: true}}
      - {name: count, type: span_count, span_count: {min_spans: 3}}
      - {name: state, type: trace_state, trace_state: {key: a, values: [b]}}
      - {name: flags, type: trace_flags}
      - name: both
        type: and
        and:
          and_sub_policy:
            - {name: one, type: latency, latency: {threshold_ms: 1, upper_threshold_ms: 10}}
            - {name: two, type: probabilistic, probabilistic: {sampling_percentage: 33.3, hash_salt: pepper}}
      - name: shared
        type: composite
        composite:
          max_total_spans_per_second: 100000
          policy_order: [zone, rest]
          composite_sub_policy:
            - {name: zone, type: string_attribute, string_attribute: {key: zone, values: [east]}}
            - {name: rest, type: always_sample}
          rate_allocation: [{policy: zone, percent: 50}]
      - name: never
        type: drop
        drop:
          drop_sub_policy:
            - {name: west, type: string_attribute, string_attribute: {key: zone, values: [west]}}
"#;

/// One trace of each number, of which some fail, are late, are told to the customer, or have an attribute.
fn trace(number: u64) -> Vec<ExportTraceServiceRequest> {
    let mut requests = vec![spans([number])];
    let span = &mut requests[0].resource_spans[0].scope_spans[0].spans[0];
    let id = (u128::from(number) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835).to_be_bytes();
    span.trace_id = id.to_vec();
    if number.is_multiple_of(11) {
        span.status = Some(Status { code: 2, message: "failed".into() });
    }
    if number.is_multiple_of(13) {
        span.end_time_unix_nano =
            span.start_time_unix_nano + 45_000_000_000 - u64::from(number.is_multiple_of(2));
    }
    if let Some(zone) = ["north", "south", "west", "", "7", "east"].get(number as usize % 29) {
        span.attributes.push(attribute("zone", zone));
    }
    if number.is_multiple_of(17) {
        span.trace_state = "a=b".into();
    }
    if number % 5 < 4 {
        let mut told = spans([number + 10_000]);
        let resource = told.resource_spans[0].resource.as_mut().unwrap();
        resource.attributes =
            vec![attribute("service.name", if number % 5 < 3 { "notification" } else { "orders" })];
        let span = &mut told.resource_spans[0].scope_spans[0].spans[0];
        (span.trace_id, span.name) = (id.to_vec(), "process tracking.started".into());
        requests.push(told);
    }
    requests
}

async fn same_traces(text: &str) {
    let wait = [("WAYBILL_SAMPLING_DECISION_WAIT", "3s")];
    let Some(mut both) = Both::start_with(text, &wait).await else { return };
    for side in both.sides() {
        let mut client = side.traces().await;
        for number in 0..400 {
            for request in trace(number) {
                client.export(request).await.unwrap();
            }
        }
    }
    let name = "otelcol_processor_tail_sampling_global_count_traces_sampled";
    for side in both.sides() {
        eventually(&format!("400 decisions of {}", side.name), async || {
            let text = get(&side.url("metrics", "/metrics")).await;
            let counts = text.lines().filter(|line| line.starts_with(&format!("{name}{{")));
            let sum: f64 = counts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum();
            (sum >= 400.0).then_some(())
        })
        .await;
    }
    // What the official collector still has in its queue on disk when it ends stays there, so nobody ends before both
    // backends have the same number of spans.
    eventually("as many spans on both sides", async || {
        let [ours, real] = both.sides().map(|side| crate::flat::flat(&side.backend.trace_requests()).len());
        (ours == real && ours > 0).then_some(())
    })
    .await;
    both.stop().await;
    let [ours, real] = both.sides().map(|side| crate::flat::flat(&side.backend.trace_requests()));
    assert!(ours.len() > 50 && ours.len() < 700, "{} of 720 spans were kept", ours.len());
    let kept = |side: &[crate::flat::Flat]| side.iter().map(|span| span.label.clone()).collect::<Vec<_>>();
    assert_eq!(kept(&ours), kept(&real));
    for (ours, real) in ours.iter().zip(&real) {
        assert_eq!(ours, real);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rule_of_the_repository_keeps_the_same_traces() {
    same_traces(OURS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_of_every_kind_keep_the_same_traces() {
    let start = OURS.find("      - name: failed").unwrap();
    let end = OURS.find("\nexporters:").unwrap();
    same_traces(&format!("{}{}{}", &OURS[..start], &POLICIES[1..], &OURS[end..])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ours_keeps_the_schemas_of_sampled_spans_and_theirs_drops_them() {
    let wait = [("WAYBILL_SAMPLING_DECISION_WAIT", "1s")];
    let Some(both) = Both::start_with(OURS, &wait).await else { return };
    let mut request = spans([1]);
    request.resource_spans[0].schema_url = "urn:resource".into();
    request.resource_spans[0].scope_spans[0].schema_url = "urn:scope".into();
    for side in both.sides() {
        side.traces().await.export(request.clone()).await.unwrap();
    }
    let [ours, real] = both.spans(1).await;
    assert_eq!(ours[0].schemas, ("urn:resource".into(), "urn:scope".into()));
    assert_eq!(real[0].schemas, (String::new(), String::new()));
    listed("tailsamplingprocessor/processor.go:1164");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traces_that_make_room_are_decided_in_ours_and_lost_in_theirs() {
    let text = OURS.replace("num_traces: 100000", "num_traces: 3");
    let wait = [("WAYBILL_SAMPLING_DECISION_WAIT", "3s")];
    let Some(both) = Both::start_with(&text, &wait).await else { return };
    for side in both.sides() {
        let mut client = side.traces().await;
        for number in 0..10 {
            client.export(spans([number])).await.unwrap();
        }
    }
    let [ours, real] = both.spans(3).await;
    assert!(ours.len() >= 7, "{}", ours.len());
    assert_eq!(real.len(), 3);
    listed("tailsamplingprocessor/processor.go:648");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_9_loses_what_waits_in_theirs() {
    let wait = [("WAYBILL_SAMPLING_DECISION_WAIT", "2s")];
    let Some(mut both) = Both::start_with(OURS, &wait).await else { return };
    both.real.traces().await.export(spans([1])).await.unwrap();
    both.kill_official().await;
    both.real.traces().await.export(spans([2])).await.unwrap();
    eventually("the second span", async || (!both.real.backend.span_numbers().is_empty()).then_some(()))
        .await;
    // In ours: `spans_that_wait_for_a_decision_survive_a_kill_9_where_the_exporters_queue_does`.
    assert_eq!(both.real.backend.span_numbers(), [2]);
    listed("tailsamplingprocessor/internal/tailstorageextension/inmemory.go:14");
}

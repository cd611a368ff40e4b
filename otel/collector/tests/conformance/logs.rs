//! The same log records go in, the same log records come out, attribute by attribute.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs};
use proptest::prelude::*;
use prost::Message as _;

use crate::both::{Both, Side};
use crate::flat::flat_logs;
use crate::generated::attributes;
use crate::rig::{eventually, log};
use crate::traffic::{JSON, PROTOBUF, drawn, gzip, post};

/// Sends `request` in one of the ways that OTLP knows.
async fn send(side: &Side, way: usize, request: &ExportLogsServiceRequest) {
    let protobuf = request.encode_to_vec();
    match way % 4 {
        0 => {
            let mut client = LogsServiceClient::connect(side.url("grpc", "")).await.unwrap();
            drop(client.export(request.clone()).await.unwrap());
        }
        1 => post(side, "/v1/logs", PROTOBUF, "", protobuf).await,
        2 => post(side, "/v1/logs", PROTOBUF, "gzip", gzip(&protobuf)).await,
        _ => post(side, "/v1/logs", JSON, "", serde_json::to_vec(request).unwrap()).await,
    }
}

/// A record with whatever may be in one.
fn a_record() -> impl Strategy<Value = LogRecord> {
    let ids = (any::<u128>(), any::<u64>(), any::<u32>());
    let times = (any::<u64>(), any::<u64>());
    let rest = (0..25_i32, ".{0,9}", ".{0,9}", any::<u32>(), attributes(), attributes());
    (ids, times, rest).prop_map(|((trace, span, flags), (time, observed), rest)| {
        let (severity_number, severity_text, event_name, dropped, mut body, attributes) = rest;
        LogRecord {
            time_unix_nano: time,
            observed_time_unix_nano: observed,
            severity_number,
            severity_text,
            body: body.pop().and_then(|one| one.value),
            attributes,
            dropped_attributes_count: dropped,
            flags,
            trace_id: trace.to_be_bytes().to_vec(),
            span_id: span.to_be_bytes().to_vec(),
            event_name,
        }
    })
}

/// What no SDK sends and both have to pass on.
fn edge_cases() -> Vec<ExportLogsServiceRequest> {
    let change = |change: fn(&mut ResourceLogs)| {
        let mut request = log("odd");
        change(&mut request.resource_logs[0]);
        request
    };
    vec![
        change(|logs| logs.resource = Some(Default::default())),
        change(|logs| logs.schema_url = "https://opentelemetry.io/schemas/1.42.0".into()),
        change(|logs| logs.scope_logs[0].schema_url = "urn:x".into()),
        change(|logs| logs.scope_logs[0].log_records[0].body = None),
        change(|logs| {
            let record = &mut logs.scope_logs[0].log_records[0];
            (record.trace_id, record.span_id) = (vec![0; 16], vec![0; 8]);
            (record.severity_number, record.flags) = (99, u32::MAX);
        }),
        change(|logs| {
            let again = logs.scope_logs[0].log_records[0].clone();
            logs.scope_logs[0].log_records.push(again);
        }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_log_records_come_out() {
    let Some(mut both) = Both::start().await else { return };
    let mut all = edge_cases();
    all.extend(drawn(a_record(), 100).into_iter().map(|record| {
        let mut request = log("generated");
        request.resource_logs[0].scope_logs[0].log_records = vec![record];
        request
    }));
    for (way, request) in all.iter().enumerate() {
        for side in both.sides() {
            send(side, way, request).await;
        }
    }
    let expected = flat_logs(&all).len();
    for side in both.sides() {
        eventually(&format!("{expected} log records behind {}", side.name), async || {
            (flat_logs(&side.backend.logs()).len() >= expected).then_some(())
        })
        .await;
    }
    let [ours, real] = both.sides().map(|side| flat_logs(&side.backend.logs()));
    assert_eq!(ours.len(), expected, "each once");
    assert_eq!(real.len(), expected, "each once");
    for (ours, real) in ours.iter().zip(&real) {
        assert_eq!(ours, real);
    }
    both.stop().await;
}

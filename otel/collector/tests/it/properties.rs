//! Properties of the wire walk, the JSON reading and the splitting, against prost and opentelemetry-proto, which no one
//! here wrote.

use collector::otlp::split::{Limit, split};
use collector::otlp::{json, walk};
use collector::pipeline::{Batch, Signal};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    NumberDataPoint, exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;

use crate::generated::{attributes, traces};
use crate::rig::{log, metric, names, spans};

fn metrics() -> impl Strategy<Value = ExportMetricsServiceRequest> {
    let gauge = (attributes(), any::<i64>(), any::<u64>()).prop_map(|(attributes, value, time)| {
        let value = Some(number_data_point::Value::AsInt(value));
        Data::Gauge(Gauge {
            data_points: vec![NumberDataPoint {
                attributes,
                value,
                time_unix_nano: time,
                ..Default::default()
            }],
        })
    });
    let histogram =
        (vec(any::<u64>(), 0..5), vec(-1e9..1e9_f64, 0..5)).prop_map(|(bucket_counts, explicit_bounds)| {
            let point =
                HistogramDataPoint { bucket_counts, explicit_bounds, sum: Some(1.5), ..Default::default() };
            Data::Histogram(Histogram { data_points: vec![point.clone(), point], aggregation_temporality: 2 })
        });
    let exponential =
        (any::<i32>(), any::<i32>(), vec(any::<u64>(), 0..5)).prop_map(|(scale, offset, bucket_counts)| {
            let positive = Some(Buckets { offset, bucket_counts });
            let point =
                ExponentialHistogramDataPoint { scale, positive, zero_threshold: 0.5, ..Default::default() };
            Data::ExponentialHistogram(ExponentialHistogram {
                data_points: vec![point],
                aggregation_temporality: 1,
            })
        });
    prop_oneof![gauge, histogram, exponential].prop_map(|data| metric("m", "s", data))
}

fn span_count(request: &ExportTraceServiceRequest) -> u64 {
    names(request).len() as u64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn sound_requests_pass_the_walk_which_counts_them(request in traces()) {
        prop_assert_eq!(walk::check(Signal::Traces, &request.encode_to_vec()), Ok(span_count(&request)));
    }

    #[test]
    fn json_gives_the_same_request_as_the_reference_reading(request in traces(), points in metrics()) {
        let text = serde_json::to_vec(&request).unwrap();
        let bytes = json::to_protobuf(Signal::Traces, &text).unwrap();
        prop_assert_eq!(ExportTraceServiceRequest::decode(bytes).unwrap(), request);
        let text = serde_json::to_vec(&points).unwrap();
        let bytes = json::to_protobuf(Signal::Metrics, &text).unwrap();
        prop_assert_eq!(ExportMetricsServiceRequest::decode(bytes).unwrap(), points);
    }

    #[test]
    fn whatever_passes_the_walk_prost_can_decode(mut bytes in traces().prop_map(|r| r.encode_to_vec()), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        // One byte changed, then cut anywhere: mostly broken, sometimes still sound.
        if !bytes.is_empty() {
            let place = at.index(bytes.len());
            bytes[place] = byte;
            if byte % 2 == 0 { bytes.truncate(cut.index(bytes.len()) + 1); }
        }
        if walk::check(Signal::Traces, &bytes).is_ok() {
            prop_assert!(ExportTraceServiceRequest::decode(&bytes[..]).is_ok());
        }
    }

    #[test]
    fn no_bytes_at_all_make_the_walk_or_the_json_reading_panic(bytes in vec(any::<u8>(), 0..200)) {
        for signal in Signal::ALL {
            let passed = walk::check(signal, &bytes).is_ok();
            let decodes = match signal {
                Signal::Traces => ExportTraceServiceRequest::decode(&bytes[..]).is_ok(),
                Signal::Logs => ExportLogsServiceRequest::decode(&bytes[..]).is_ok(),
                Signal::Metrics => ExportMetricsServiceRequest::decode(&bytes[..]).is_ok(),
            };
            prop_assert!(decodes || !passed, "the walk is at least as strict as prost");
            let _ = json::to_protobuf(signal, &bytes);
        }
    }

    #[test]
    fn splitting_keeps_every_span_once_with_its_resource_within_the_limit(request in traces(), limit in 1..6_u64) {
        let batch = Batch { signal: Signal::Traces, items: span_count(&request), parts: vec![request.encode_to_vec().into()] };
        let pieces = split(batch, Limit::Items(limit));
        let mut found = Vec::new();
        for piece in &pieces {
            prop_assert!(piece.items <= limit);
            let decoded = ExportTraceServiceRequest::decode(piece.contiguous()).unwrap();
            prop_assert_eq!(span_count(&decoded), piece.items);
            for resource in decoded.resource_spans.iter().filter(|resource| !resource.scope_spans.is_empty()) {
                prop_assert_eq!(&resource.resource, &spans([]).resource_spans[0].resource);
            }
            found.extend(decoded.resource_spans.into_iter().flat_map(|r| r.scope_spans).flat_map(|s| s.spans));
        }
        let all: Vec<Span> = request.resource_spans.into_iter().flat_map(|r| r.scope_spans).flat_map(|s| s.spans).collect();
        prop_assert_eq!(found, all);
    }
}

#[test]
fn splitting_by_bytes_keeps_pieces_near_their_limit() {
    let request = spans(0..500);
    let batch = Batch { signal: Signal::Traces, items: 500, parts: vec![request.encode_to_vec().into()] };
    let pieces = split(batch, Limit::Bytes(2000));
    assert!(pieces.len() > 10);
    assert!(pieces.iter().all(|piece| piece.bytes() <= 2000));
    assert_eq!(pieces.iter().map(|piece| piece.items).sum::<u64>(), 500);
}

#[test]
fn logs_pass_the_walk_and_the_json_reading() {
    let request = log("hello");
    assert_eq!(walk::check(Signal::Logs, &request.encode_to_vec()), Ok(1));
    let bytes = json::to_protobuf(Signal::Logs, &serde_json::to_vec(&request).unwrap()).unwrap();
    assert_eq!(ExportLogsServiceRequest::decode(bytes).unwrap(), request);
}

//! The load of the benches: a request of 512 spans with nine attributes each.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

/// Spans of one request.
pub(crate) const SPANS: u64 = 512;

/// The request.
pub(crate) fn request() -> ExportTraceServiceRequest {
    let pair = |key: &str, value: String| {
        let value = Some(AnyValue { value: Some(Value::StringValue(value)) });
        KeyValue { key: key.into(), value, ..Default::default() }
    };
    let span = |number: u64| Span {
        trace_id: u128::from(number / 24 + 1).to_be_bytes().to_vec(),
        span_id: (number + 1).to_be_bytes().to_vec(),
        parent_span_id: (number + 2).to_be_bytes().to_vec(),
        name: "orders.v1.RestaurantOrders/Place".into(),
        kind: 2,
        start_time_unix_nano: 1_700_000_000_000_000_000 + number,
        end_time_unix_nano: 1_700_000_000_000_900_000 + number,
        attributes: (0..9)
            .map(|at| pair(&format!("order.attribute.{at}"), format!("value-{}", number * at)))
            .collect(),
        ..Default::default()
    };
    let attributes = (0..10).map(|at| pair(&format!("service.attribute.{at}"), "waybill".into())).collect();
    let scope_spans = vec![ScopeSpans { spans: (0..SPANS).map(span).collect(), ..Default::default() }];
    let resource = Some(Resource { attributes, ..Default::default() });
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource, scope_spans, ..Default::default() }],
    }
}

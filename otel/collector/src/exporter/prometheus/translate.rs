//! OTLP metrics, decoded, into the table of series.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint,
    SummaryDataPoint, exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::Settings;
use super::names;
use super::series::{Dropped, Kind, Labels, Point, Table, Value};

/// `DataPointFlags.NO_RECORDED_VALUE`: the series has ended.
const NO_RECORDED_VALUE: u32 = 1;

/// How many points a request brought, and how many were not kept, by reason.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) kept: u64,
    pub(super) dropped: u64,
    pub(super) conflict: Option<String>,
    pub(super) full: bool,
}

/// Puts every point of `request` into `table`.
pub(super) fn translate(
    request: ExportMetricsServiceRequest,
    settings: &Settings,
    table: &mut Table,
) -> Tally {
    let mut tally = Tally::default();
    for resource_metrics in request.resource_metrics {
        let resource = resource_metrics.resource.unwrap_or_default();
        let mut newest = 0;
        for scope_metrics in resource_metrics.scope_metrics {
            let common =
                common_labels(&resource, scope_metrics.scope.as_ref(), &scope_metrics.schema_url, settings);
            for metric in scope_metrics.metrics {
                newest = newest.max(one_metric(metric, &common, settings, table, &mut tally));
            }
        }
        target_info(&resource, newest, settings, table);
    }
    tally
}

fn one_metric(
    metric: Metric,
    common: &BTreeMap<String, String>,
    settings: &Settings,
    table: &mut Table,
    tally: &mut Tally,
) -> u64 {
    let Metric { name, description, unit, data: Some(data), .. } = metric else { return 0 };
    let (kind, delta, points) = points(data);
    let name = names::metric(&settings.namespace, &name, &unit, kind, settings.suffixes);
    let mut newest = 0;
    for (attributes, time, flags, value) in points {
        newest = newest.max(time);
        let labels = labels(common, &attributes);
        if flags & NO_RECORDED_VALUE != 0 {
            table.end(&name, &labels);
            tally.kept += 1;
            continue;
        }
        match table.put(&name, kind, &description, Point { labels, value, time, delta }) {
            Ok(()) => tally.kept += 1,
            Err(reason) => {
                tally.dropped += 1;
                tally.full |= reason == Dropped::TooMany;
                if reason == Dropped::TypeConflict {
                    tally.conflict = Some(name.clone());
                }
            }
        }
    }
    newest
}

type Raw = (Vec<KeyValue>, u64, u32, Value);

/// The points of a metric with its Prometheus type, and whether they are deltas.
fn points(data: Data) -> (Kind, bool, Vec<Raw>) {
    let is_delta = |temporality: i32| temporality == AggregationTemporality::Delta as i32;
    match data {
        Data::Gauge(gauge) => (Kind::Gauge, false, gauge.data_points.into_iter().map(number).collect()),
        Data::Sum(sum) => {
            let kind = if sum.is_monotonic { Kind::Counter } else { Kind::Gauge };
            (kind, is_delta(sum.aggregation_temporality), sum.data_points.into_iter().map(number).collect())
        }
        Data::Histogram(histogram) => {
            let delta = is_delta(histogram.aggregation_temporality);
            (Kind::Histogram, delta, histogram.data_points.into_iter().map(explicit).collect())
        }
        Data::ExponentialHistogram(histogram) => {
            let delta = is_delta(histogram.aggregation_temporality);
            (Kind::Histogram, delta, histogram.data_points.into_iter().map(exponential).collect())
        }
        Data::Summary(summary) => {
            (Kind::Summary, false, summary.data_points.into_iter().map(quantiles).collect())
        }
    }
}

fn number(point: NumberDataPoint) -> Raw {
    let value = match point.value {
        Some(number_data_point::Value::AsInt(value)) => value as f64,
        Some(number_data_point::Value::AsDouble(value)) => value,
        None => 0.0,
    };
    (point.attributes, point.time_unix_nano, point.flags, Value::Number(value))
}

fn explicit(point: HistogramDataPoint) -> Raw {
    let HistogramDataPoint { explicit_bounds: bounds, bucket_counts: counts, sum, count, .. } = point;
    (point.attributes, point.time_unix_nano, point.flags, Value::Histogram { bounds, counts, sum, count })
}

/// The text format knows no native histograms, so the exponential buckets become ordinary ones: everything at or below
/// zero in one, each positive bucket by its upper bound.
fn exponential(point: ExponentialHistogramDataPoint) -> Raw {
    let base = 2_f64.powf(2_f64.powi(-point.scale.clamp(-10, 20)));
    let negative: u64 = point.negative.iter().flat_map(|buckets| &buckets.bucket_counts).sum();
    let mut bounds = vec![point.zero_threshold];
    let mut counts = vec![negative.saturating_add(point.zero_count)];
    if let Some(Buckets { offset, bucket_counts }) = point.positive {
        for (index, inside) in bucket_counts.into_iter().enumerate() {
            let upper = i32::try_from(index).ok().and_then(|index| offset.checked_add(index)?.checked_add(1));
            bounds.push(base.powi(upper.unwrap_or(i32::MAX)));
            counts.push(inside);
        }
    }
    let value = Value::Histogram { bounds, counts, sum: point.sum, count: point.count };
    (point.attributes, point.time_unix_nano, point.flags, value)
}

fn quantiles(point: SummaryDataPoint) -> Raw {
    let quantiles = point.quantile_values.iter().map(|at| (at.quantile, at.value)).collect();
    let value = Value::Summary { quantiles, sum: point.sum, count: point.count };
    (point.attributes, point.time_unix_nano, point.flags, value)
}

/// Labels that every series of a scope has.
fn common_labels(
    resource: &Resource,
    scope: Option<&InstrumentationScope>,
    schema_url: &str,
    settings: &Settings,
) -> BTreeMap<String, String> {
    let mut common: BTreeMap<String, String> = settings.const_labels.iter().cloned().collect();
    if settings.resource_labels {
        add(&mut common, &resource.attributes);
    }
    common.extend(identity(resource));
    if let Some(scope) = scope.filter(|_| settings.scope_labels) {
        let labels = [
            ("otel_scope_name", &*scope.name),
            ("otel_scope_version", &*scope.version),
            ("otel_scope_schema_url", schema_url),
        ];
        common.extend(labels.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
    common
}

/// `job` and `instance`, from the resource's service.
fn identity(resource: &Resource) -> BTreeMap<String, String> {
    let find = |key: &str| {
        resource.attributes.iter().find(|attribute| attribute.key == key).map(|a| text(a.value.as_ref()))
    };
    let job = match (find("service.namespace"), find("service.name")) {
        (Some(namespace), Some(name)) => Some(format!("{namespace}/{name}")),
        (_, name) => name,
    };
    let pairs = [("job", job), ("instance", find("service.instance.id"))];
    pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

/// `target_info`: the resource's other attributes, one series per resource.
fn target_info(resource: &Resource, time: u64, settings: &Settings, table: &mut Table) {
    let own = ["service.name", "service.namespace", "service.instance.id"];
    let others: Vec<KeyValue> =
        resource.attributes.iter().filter(|attribute| !own.contains(&&*attribute.key)).cloned().collect();
    let identity = identity(resource);
    if identity.is_empty() || others.is_empty() {
        return;
    }
    let mut common: BTreeMap<String, String> = settings.const_labels.iter().cloned().collect();
    common.extend(identity);
    let point = Point { labels: labels(&common, &others), value: Value::Number(1.0), time, delta: false };
    // A late one changes nothing: its value is always 1.
    let _ = table.put("target_info", Kind::Gauge, "Target metadata", point);
}

fn labels(common: &BTreeMap<String, String>, attributes: &[KeyValue]) -> Labels {
    let mut own = BTreeMap::new();
    add(&mut own, attributes);
    let mut all = common.clone();
    all.extend(own);
    all.into_iter().collect()
}

/// Adds attributes as labels; keys that become the same name share one label, their values joined by `;`.
fn add(labels: &mut BTreeMap<String, String>, attributes: &[KeyValue]) {
    let mut sorted: Vec<&KeyValue> = attributes.iter().collect();
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
    for attribute in sorted {
        let value = text(attribute.value.as_ref());
        let label = labels.entry(names::label(&attribute.key));
        label.and_modify(|known| *known = format!("{known};{value}")).or_insert(value);
    }
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        None => String::new(),
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::BoolValue(flag)) => flag.to_string(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(any_value::Value::DoubleValue(number)) => number.to_string(),
        Some(other) => json(other).to_string(),
    }
}

fn json(value: &any_value::Value) -> serde_json::Value {
    let of = |value: &Option<AnyValue>| {
        value.as_ref().and_then(|value| value.value.as_ref()).map_or(serde_json::Value::Null, json)
    };
    match value {
        any_value::Value::StringValue(text) => text.as_str().into(),
        any_value::Value::BoolValue(flag) => (*flag).into(),
        any_value::Value::IntValue(number) => (*number).into(),
        any_value::Value::DoubleValue(number) => (*number).into(),
        any_value::Value::ArrayValue(array) => {
            array.values.iter().map(|value| of(&Some(value.clone()))).collect()
        }
        any_value::Value::KvlistValue(list) => list
            .values
            .iter()
            .map(|pair| (pair.key.clone(), of(&pair.value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        any_value::Value::BytesValue(bytes) => {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.encode(bytes).into()
        }
        any_value::Value::StringValueStrindex(_) => serde_json::Value::Null,
    }
}

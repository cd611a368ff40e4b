//! `prometheus`: offers the metrics that passed to a scraper, at `/metrics`.

mod names;
mod series;
mod translate;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message as _;

use super::{Built, ExporterConfig};
use crate::Error;
use crate::config::{Id, Section, endpoint};
use crate::pipeline::{Batch, Consumer, Refusal, Signal};
use crate::promtext;
use crate::receiver::bind;
use crate::serve::{self, Handler, Limits};
use crate::start::Context;
use crate::telemetry::Counter;
use series::Table;

/// How metrics are shown.
#[derive(Debug, Clone)]
struct Settings {
    namespace: String,
    const_labels: Vec<(String, String)>,
    timestamps: bool,
    expiration: Duration,
    resource_labels: bool,
    scope_labels: bool,
    suffixes: bool,
}

#[derive(Debug)]
struct Config {
    endpoint: SocketAddr,
    settings: Settings,
}

struct Exposition {
    id: String,
    settings: Settings,
    table: Arc<Mutex<Table>>,
    sent: Counter,
    failed: Counter,
}

pub(super) fn configure(mut section: Section) -> Option<Box<dyn ExporterConfig>> {
    let endpoint = endpoint(&mut section, None);
    let labels = section.text_map("const_labels");
    let mut conversion = section.section_or_empty("resource_to_telemetry_conversion");
    let resource_labels = conversion.flag("enabled", false);
    conversion.unsupported(&["exclude_service_attributes"]);
    conversion.finish();
    let mut suffixes = section.flag("add_metric_suffixes", true);
    match section.text("translation_strategy").as_deref() {
        None => {}
        Some("UnderscoreEscapingWithSuffixes") => suffixes = true,
        Some("UnderscoreEscapingWithoutSuffixes") => suffixes = false,
        Some(other) => section.fault("translation_strategy", format_args!("`{other}` is not supported")),
    }
    if section.flag("enable_open_metrics", false) {
        section.fault("enable_open_metrics", "is not supported, the text format 0.0.4 is served");
    }
    let settings = Settings {
        namespace: section.text("namespace").unwrap_or_default(),
        const_labels: labels.into_iter().map(|(key, value)| (names::label(&key), value)).collect(),
        timestamps: section.flag("send_timestamps", false),
        expiration: section.duration("metric_expiration", Duration::from_secs(300)),
        resource_labels,
        scope_labels: !section.flag("without_scope_info", false),
        suffixes,
    };
    section.unsupported(&["tls", "auth", "cors", "max_request_body_size", "response_headers", "middlewares"]);
    section.finish();
    Some(Box::new(Config { endpoint: endpoint?, settings }))
}

#[async_trait]
impl ExporterConfig for Config {
    fn signals(&self) -> &'static [Signal] {
        &[Signal::Metrics]
    }

    fn storage(&self) -> Option<&Id> {
        None
    }

    async fn build(&self, id: &Id, _: Signal, context: &Context) -> Result<Built, Error> {
        let listener = bind(&format!("exporters::{id}"), self.endpoint).await?;
        let table = Arc::new(Mutex::new(Table::default()));
        let server = serve::start(listener, scrape(table.clone(), self.settings.clone()), Limits::default());
        let exporter = id.to_string();
        let labels = [("exporter", exporter.as_str())];
        let counter =
            |word, help| context.registry.counter(&format!("exporter_{word}_metric_points"), help, &labels);
        let exposition = Exposition {
            settings: self.settings.clone(),
            table,
            sent: counter("sent", "Number of items successfully sent to destination"),
            failed: counter("send_failed", "Number of items in failed attempts to send to destination"),
            id: exporter,
        };
        Ok(Built { consumer: Arc::new(exposition), server: Some(server) })
    }
}

#[async_trait]
impl Consumer for Exposition {
    async fn consume(&self, batch: Batch) -> Result<(), Refusal> {
        let request = ExportMetricsServiceRequest::decode(batch.contiguous());
        let request = request.map_err(|error| Refusal::Invalid(error.to_string()))?;
        let tally = {
            let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
            translate::translate(request, &self.settings, &mut table)
        };
        self.sent.add(tally.kept);
        self.failed.add(tally.dropped);
        if tally.full {
            tracing::warn!(exporter = %self.id, limit = series::MAX_SERIES, "too many series, new ones are dropped");
        }
        if let Some(metric) = tally.conflict {
            tracing::warn!(exporter = %self.id, %metric, "a metric of this name has another type, its points are dropped");
        }
        Ok(())
    }

    fn last(&self) -> bool {
        true
    }
}

fn scrape(table: Arc<Mutex<Table>>, settings: Settings) -> impl Handler<Full<Bytes>> {
    let settings = Arc::new(settings);
    move |request: Request<Incoming>| {
        let (table, settings) = (table.clone(), settings.clone());
        async move {
            let found = request.uri().path() == "/metrics";
            let text = if found {
                let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
                table.render(settings.expiration, settings.timestamps)
            } else {
                String::new()
            };
            let mut response = Response::new(Full::new(Bytes::from(text)));
            if !found {
                *response.status_mut() = StatusCode::NOT_FOUND;
            }
            response.headers_mut().insert("content-type", HeaderValue::from_static(promtext::CONTENT_TYPE));
            Ok::<_, Infallible>(response)
        }
    }
}

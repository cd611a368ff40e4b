//! The OTLP exporters, built from our settings, and what their failures mean.

use super::console::Console;
use super::limits::Clip;
use super::processor::Record;
use super::runtime::Runtime;
use super::transport::Transport;
use super::worker::{Failure, Sink};
use crate::error::InitError;
use crate::settings::{Compression, Otlp, Protocol, Tls};
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, MetricExporter, RetryPolicy, SpanExporter, WithHttpConfig,
    WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::{LogBatch, LogExporter as _};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use std::time::Duration;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};

/// Spans on their way out.
#[derive(Debug)]
pub(crate) struct SpanSink {
    clip: Clip,
    console: Option<Console>,
    otlp: Option<(SpanExporter, Option<Transport>)>,
}

/// Log records on their way out.
#[derive(Debug)]
pub(crate) struct LogSink {
    clip: Clip,
    console: Option<Console>,
    otlp: Option<(LogExporter, Option<Transport>)>,
}

// === impl SpanSink ===

impl SpanSink {
    pub(crate) fn new(
        otlp: Option<&Otlp>,
        console: Option<Console>,
        clip: Clip,
        resource: &Resource,
        runtime: &Runtime,
    ) -> Result<Self, InitError> {
        let otlp = otlp.map(|otlp| {
            let builder = SpanExporter::builder();
            let (mut exporter, transport) = match otlp.protocol {
                Protocol::Grpc => (grpc(builder.with_tonic(), otlp, runtime)?.build().map_err(build)?, None),
                Protocol::HttpProtobuf => {
                    let transport = transport(otlp)?;
                    (http(builder.with_http(), otlp, &transport).build().map_err(build)?, Some(transport))
                }
            };
            exporter.set_resource(resource);
            Ok::<_, InitError>((exporter, transport))
        });
        Ok(Self { clip, console, otlp: otlp.transpose()? })
    }
}

impl Sink<SpanData> for SpanSink {
    fn admit(&self, spans: &mut [SpanData]) {
        spans.iter_mut().for_each(|span| self.clip.span(span));
        if let Some(console) = &self.console {
            console.spans(spans);
        }
    }

    async fn send(&self, spans: &[SpanData]) -> Result<(), Failure> {
        match &self.otlp {
            Some((exporter, transport)) => judge(exporter.export(spans.to_vec()).await, transport.as_ref()),
            None => Ok(()),
        }
    }
}

// === impl LogSink ===

impl LogSink {
    pub(crate) fn new(
        otlp: Option<&Otlp>,
        console: Option<Console>,
        clip: Clip,
        resource: &Resource,
        runtime: &Runtime,
    ) -> Result<Self, InitError> {
        let otlp = otlp.map(|otlp| {
            let builder = LogExporter::builder();
            let (mut exporter, transport) = match otlp.protocol {
                Protocol::Grpc => (grpc(builder.with_tonic(), otlp, runtime)?.build().map_err(build)?, None),
                Protocol::HttpProtobuf => {
                    let transport = transport(otlp)?;
                    (http(builder.with_http(), otlp, &transport).build().map_err(build)?, Some(transport))
                }
            };
            exporter.set_resource(resource);
            Ok::<_, InitError>((exporter, transport))
        });
        Ok(Self { clip, console, otlp: otlp.transpose()? })
    }
}

impl Sink<Record> for LogSink {
    fn admit(&self, records: &mut [Record]) {
        records.iter_mut().for_each(|(record, _)| self.clip.record(record));
        if let Some(console) = &self.console {
            console.logs(records);
        }
    }

    async fn send(&self, records: &[Record]) -> Result<(), Failure> {
        match &self.otlp {
            Some((exporter, transport)) => {
                let batch: Vec<_> = records.iter().map(|(record, scope)| (record, scope)).collect();
                judge(exporter.export(LogBatch::new(&batch)).await, transport.as_ref())
            }
            None => Ok(()),
        }
    }
}

/// Metrics are a state and not events: what one export loses the next one says again, so the exporter's own retries do.
pub(crate) fn metric_exporter(
    otlp: &Otlp,
    temporality: Temporality,
    runtime: &Runtime,
) -> Result<MetricExporter, InitError> {
    let builder = MetricExporter::builder().with_temporality(temporality);
    let again = RetryPolicy::recommended();
    match otlp.protocol {
        Protocol::Grpc => {
            grpc(builder.with_tonic(), otlp, runtime)?.with_retry_policy(again).build().map_err(build)
        }
        Protocol::HttpProtobuf => {
            http(builder.with_http(), otlp, &transport(otlp)?).with_retry_policy(again).build().map_err(build)
        }
    }
}

fn grpc<B>(builder: B, otlp: &Otlp, runtime: &Runtime) -> Result<B, InitError>
where
    B: WithTonicConfig + opentelemetry_otlp::WithExportConfig,
{
    let builder = builder
        .with_channel(channel(otlp, runtime)?)
        .with_timeout(otlp.timeout)
        .with_metadata(MetadataMap::from_headers(otlp.headers.clone()))
        .with_retry_policy(RetryPolicy::disabled());
    Ok(match otlp.compression {
        Some(compression) => WithTonicConfig::with_compression(builder, named(compression)),
        None => builder,
    })
}

fn http<B>(builder: B, otlp: &Otlp, transport: &Transport) -> B
where
    B: WithHttpConfig + opentelemetry_otlp::WithExportConfig,
{
    let text = |value: &http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let builder = builder
        .with_http_client(transport.clone())
        .with_endpoint(otlp.endpoint.as_str())
        .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
        .with_timeout(otlp.timeout)
        .with_headers(otlp.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect())
        .with_retry_policy(RetryPolicy::disabled());
    match otlp.compression {
        Some(compression) => WithHttpConfig::with_compression(builder, named(compression)),
        None => builder,
    }
}

fn named(compression: Compression) -> opentelemetry_otlp::Compression {
    match compression {
        Compression::Gzip => opentelemetry_otlp::Compression::Gzip,
        Compression::Zstd => opentelemetry_otlp::Compression::Zstd,
    }
}

/// Connects at the first export, and again after a break; a receiver that went silent is noticed by pings.
fn channel(otlp: &Otlp, runtime: &Runtime) -> Result<Channel, InitError> {
    let failed =
        |source: tonic::transport::Error| InitError::Setup { what: "gRPC channel", source: Box::new(source) };
    let endpoint = Endpoint::from_shared(otlp.endpoint.clone()).map_err(failed)?;
    let endpoint = endpoint
        .timeout(otlp.timeout)
        .connect_timeout(otlp.timeout.min(Duration::from_secs(5)))
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    let endpoint = secure_channel(endpoint, &otlp.tls).map_err(failed)?;
    let _runtime = runtime.enter();
    Ok(endpoint.connect_lazy())
}

#[cfg(feature = "tls")]
fn secure_channel(endpoint: Endpoint, tls: &Tls) -> Result<Endpoint, tonic::transport::Error> {
    use tonic::transport::{Certificate, ClientTlsConfig, Identity};
    if endpoint.uri().scheme_str() != Some("https") {
        return Ok(endpoint);
    }
    let mut config = match &tls.certificate {
        Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    if let Some((chain, key)) = &tls.client {
        config = config.identity(Identity::from_pem(chain, key));
    }
    endpoint.tls_config(config)
}

#[cfg(not(feature = "tls"))]
#[expect(clippy::unnecessary_wraps, reason = "same signature as with the feature `tls`")]
fn secure_channel(endpoint: Endpoint, _: &Tls) -> Result<Endpoint, tonic::transport::Error> {
    Ok(endpoint)
}

fn transport(otlp: &Otlp) -> Result<Transport, InitError> {
    Transport::new(otlp.timeout, &otlp.tls).map_err(|source| InitError::Setup { what: "HTTP client", source })
}

fn build(source: ExporterBuildError) -> InitError {
    InitError::Setup { what: "OTLP exporter", source: Box::new(source) }
}

/// Which failures may be tried again (OTLP specification, "Failures"). The exporter says gRPC's code in its text only.
fn judge(result: OTelSdkResult, transport: Option<&Transport>) -> Result<(), Failure> {
    let error = match result {
        Ok(()) => return Ok(()),
        Err(OTelSdkError::Timeout(_)) => {
            return Err(Failure { again: true, pause: None, cause: "no answer in time".to_owned() });
        }
        Err(error) => error.to_string(),
    };
    let Some(transport) = transport else {
        // Unknown is what a connection that was reset comes as; whoever means it gets the batch again for a minute.
        let again =
            ["Unavailable", "DeadlineExceeded", "Cancelled", "Aborted", "OutOfRange", "DataLoss", "Unknown"];
        let again = again.iter().any(|code| error.contains(&format!("gRPC code: {code}")));
        return Err(Failure { again, pause: None, cause: error });
    };
    let answer = transport.last();
    Err(match answer.status {
        Some(status) => Failure {
            again: matches!(status.as_u16(), 429 | 502 | 503 | 504),
            pause: answer.retry_after,
            cause: format!("HTTP status {}", status.as_u16()),
        },
        None => Failure { again: true, pause: None, cause: answer.cause },
    })
}

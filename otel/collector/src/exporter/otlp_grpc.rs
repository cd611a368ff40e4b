//! `otlp_grpc` (and its older name `otlp`): OTLP over gRPC, from raw bytes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Uri};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};

use super::sender::Sender;
use super::{Built, ExporterConfig, SendError, Transport};
use crate::Error;
use crate::config::{
    ClientConfig, ClientTls, Compression, Id, QueueConfig, RetryConfig, Section, grpc_target,
};
use crate::pipeline::{Batch, Signal};
use crate::receiver::{Fault, RawCodec};
use crate::start::Context;

/// The largest reply read: OTLP 1.11 recommends 4 MiB.
const MAX_REPLY: usize = 4 << 20;

#[derive(Debug)]
struct Config {
    target: Uri,
    client: ClientConfig,
    queue: Option<QueueConfig>,
    retry: RetryConfig,
}

struct GrpcTransport {
    id: String,
    channel: Channel,
    client: ClientConfig,
    metadata: MetadataMap,
}

pub(super) fn configure(mut section: Section) -> Option<Box<dyn ExporterConfig>> {
    let client = ClientConfig::read(&mut section, Duration::from_secs(5));
    let target = grpc_target(&mut section, client.tls.insecure);
    let queue = QueueConfig::read(&mut section);
    let retry = RetryConfig::read(&mut section);
    section.unsupported(&[
        "auth",
        "middlewares",
        "keepalive",
        "read_buffer_size",
        "write_buffer_size",
        "wait_for_ready",
        "balancer_name",
        "authority",
    ]);
    section.finish();
    Some(Box::new(Config { target: target?, client, queue, retry }))
}

#[async_trait]
impl ExporterConfig for Config {
    fn signals(&self) -> &'static [Signal] {
        &Signal::ALL
    }

    fn storage(&self) -> Option<&Id> {
        self.queue.as_ref()?.storage.as_ref()
    }

    async fn build(&self, id: &Id, signal: Signal, context: &Context) -> Result<Built, Error> {
        let endpoint = Endpoint::from(self.target.clone())
            .connect_timeout(Duration::from_secs(5))
            // A peer that hangs without closing is found out and left.
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20);
        let endpoint = secured(id, endpoint, &self.target, &self.client.tls)?;
        let headers: HeaderMap = self.client.headers.iter().cloned().collect();
        let transport = GrpcTransport {
            id: id.to_string(),
            channel: endpoint.connect_lazy(),
            client: self.client.clone(),
            metadata: MetadataMap::from_headers(headers),
        };
        let sender = Sender::build(
            id,
            signal,
            &self.target,
            Arc::new(transport),
            self.queue.as_ref(),
            &self.retry,
            context,
        )?;
        Ok(Built { consumer: sender, server: None })
    }
}

#[async_trait]
impl Transport for GrpcTransport {
    async fn send(&self, batch: &Batch) -> Result<(), SendError> {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(MAX_REPLY);
        grpc = match self.client.compression {
            Compression::None => grpc,
            Compression::Gzip => grpc.send_compressed(CompressionEncoding::Gzip),
            Compression::Zstd => grpc.send_compressed(CompressionEncoding::Zstd),
        };
        let mut request = tonic::Request::new(batch.parts.clone());
        *request.metadata_mut() = self.metadata.clone();
        let call = async {
            grpc.ready().await.map_err(|error| Status::unavailable(causes(&error)))?;
            grpc.unary(request, PathAndQuery::from_static(batch.signal.grpc_path()), RawCodec).await
        };
        let reply = if self.client.timeout.is_zero() {
            call.await
        } else {
            let late = |_| Status::deadline_exceeded(format!("no reply within {:?}", self.client.timeout));
            tokio::time::timeout(self.client.timeout, call).await.map_err(late).flatten()
        };
        match reply {
            Ok(reply) => {
                note_partial(&self.id, reply.into_inner());
                Ok(())
            }
            Err(status) => Err(classify(&status)),
        }
    }
}

/// Retryable codes are those of the OTLP specification; RESOURCE_EXHAUSTED only with the backend's `RetryInfo`.
fn classify(status: &Status) -> SendError {
    let after = Fault::retry_delay(status);
    let mut message = format!("{:?}: {}", status.code(), status.message());
    if let Some(source) = std::error::Error::source(status) {
        // Only a status that was made on this side has a cause: the connection broke, whatever code that was given (a reset
        // is UNKNOWN), and the backend has said nothing.
        message = format!("{message}: {}", causes(source));
        return SendError::Retryable { after, message };
    }
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => SendError::Retryable { after, message },
        Code::ResourceExhausted if after.is_some() => SendError::Retryable { after, message },
        _ => SendError::Permanent(message),
    }
}

/// Puts TLS in front of a backend whose URL asks for it.
fn secured(id: &Id, endpoint: Endpoint, target: &Uri, tls: &ClientTls) -> Result<Endpoint, Error> {
    if target.scheme_str() != Some("https") {
        return Ok(endpoint);
    }
    let mut config = ClientTlsConfig::new();
    if let Some(pem) = &tls.authorities {
        config = config.ca_certificate(Certificate::from_pem(pem));
    }
    if tls.authorities.is_none() || tls.system {
        config = config.with_native_roots();
    }
    if let Some((chain, key)) = &tls.identity {
        config = config.identity(Identity::from_pem(chain, key));
    }
    if let Some(name) = &tls.server_name {
        config = config.domain_name(name);
    }
    let wrong = |error| Error::Config(vec![format!("exporters::{id}::tls: {}", causes(&error))]);
    endpoint.tls_config(config).map_err(wrong)
}

/// Says what the backend rejected of a request that it took. The three replies have one shape: `partial_success` with a
/// count and a message. It must not be sent again.
pub(super) fn note_partial(id: &str, reply: Bytes) {
    if reply.is_empty() {
        return;
    }
    let Ok(ExportTraceServiceResponse { partial_success: Some(partial) }) =
        ExportTraceServiceResponse::decode(reply)
    else {
        return;
    };
    if partial.rejected_spans != 0 || !partial.error_message.is_empty() {
        let (rejected, message) = (partial.rejected_spans, partial.error_message);
        tracing::warn!(exporter = %id, rejected, %message, "the backend took only part of a request");
    }
}

/// An error with its causes: a transport's own text says little.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_broken_connection_is_tried_again_whatever_its_code_and_a_refusal_is_not() {
        for kind in [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe, io::ErrorKind::UnexpectedEof]
        {
            let broken = Status::from_error(Box::new(io::Error::from(kind)));
            assert!(matches!(classify(&broken), SendError::Retryable { .. }), "{broken:?}");
        }
        for code in [Code::Unknown, Code::InvalidArgument, Code::Internal, Code::ResourceExhausted] {
            assert!(matches!(classify(&Status::new(code, "no")), SendError::Permanent(_)), "{code:?}");
        }
    }
}

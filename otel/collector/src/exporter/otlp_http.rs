//! `otlp_http` (and its older name `otlphttp`): OTLP over HTTP in protobuf.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::ServerName;

use super::otlp_grpc::{causes, note_partial};
use super::sender::Sender;
use super::{Built, ExporterConfig, SendError, Transport};
use crate::Error;
use crate::config::{
    ClientConfig, ClientTls, Compression, Id, QueueConfig, RetryConfig, Section, http_target, required,
};
use crate::pipeline::{Batch, Signal};
use crate::receiver::Fault;
use crate::start::Context;

/// The largest reply read: OTLP 1.11 recommends 4 MiB.
const MAX_REPLY: usize = 4 << 20;

#[derive(Debug)]
struct Config {
    /// By signal; `None` where its own endpoint is missing and there is no common one.
    targets: [Option<Uri>; 3],
    client: ClientConfig,
    queue: Option<QueueConfig>,
    retry: RetryConfig,
}

struct HttpTransport {
    id: String,
    target: Uri,
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    client: ClientConfig,
}

pub(super) fn configure(mut section: Section) -> Option<Box<dyn ExporterConfig>> {
    let client = ClientConfig::read(&mut section, Duration::from_secs(30));
    let own = Signal::ALL.map(|signal| {
        let key = format!("{}_endpoint", signal.word());
        section.text(&key).map(|text| (key, text))
    });
    let base = if own.iter().all(Option::is_some) {
        section.text("endpoint")
    } else {
        required_base(&mut section, &own)
    };
    let targets = Signal::ALL.map(|signal| match (&own[signal as usize], &base) {
        (Some((key, text)), _) => http_target(&mut section, key, text),
        (None, Some(base)) => http_target(
            &mut section,
            "endpoint",
            &format!("{}/v1/{}", base.trim_end_matches('/'), signal.word()),
        ),
        (None, None) => None,
    });
    if let Some(encoding) = section.text("encoding")
        && encoding != "proto"
    {
        section.fault("encoding", format_args!("`{encoding}` is not supported, only proto is"));
    }
    let queue = QueueConfig::read(&mut section);
    let retry = RetryConfig::read(&mut section);
    section.unsupported(&[
        "auth",
        "middlewares",
        "proxy_url",
        "read_buffer_size",
        "write_buffer_size",
        "compression_params",
        "cookies",
        "max_idle_conns",
        "max_idle_conns_per_host",
        "max_conns_per_host",
        "idle_conn_timeout",
        "disable_keep_alives",
        "http2_read_idle_timeout",
        "http2_ping_timeout",
        "force_attempt_http2",
        "profiles_endpoint",
    ]);
    section.finish();
    targets
        .iter()
        .any(Option::is_some)
        .then(|| Box::new(Config { targets, client, queue, retry }) as Box<dyn ExporterConfig>)
}

fn required_base(section: &mut Section, own: &[Option<(String, String)>; 3]) -> Option<String> {
    if own.iter().any(Option::is_some) { section.text("endpoint") } else { required(section, "endpoint") }
}

#[async_trait]
impl ExporterConfig for Config {
    fn signals(&self) -> &'static [Signal] {
        match self.targets.each_ref().map(Option::is_some) {
            [true, true, true] => &Signal::ALL,
            [true, true, false] => &[Signal::Traces, Signal::Logs],
            [true, false, true] => &[Signal::Traces, Signal::Metrics],
            [true, false, false] => &[Signal::Traces],
            [false, true, true] => &[Signal::Logs, Signal::Metrics],
            [false, true, false] => &[Signal::Logs],
            [false, false, true] => &[Signal::Metrics],
            [false, false, false] => &[],
        }
    }

    fn storage(&self) -> Option<&Id> {
        self.queue.as_ref()?.storage.as_ref()
    }

    async fn build(&self, id: &Id, signal: Signal, context: &Context) -> Result<Built, Error> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(secured(id, connector, &self.client.tls)?);
        // `signals` keeps pipelines away from signals without a target.
        let target = self.targets[signal as usize].clone().unwrap_or_default();
        let transport =
            HttpTransport { id: id.to_string(), target: target.clone(), http, client: self.client.clone() };
        let sender = Sender::build(
            id,
            signal,
            &target,
            Arc::new(transport),
            self.queue.as_ref(),
            &self.retry,
            context,
        )?;
        Ok(Built { consumer: sender, server: None })
    }
}

/// Speaks TLS where the URL asks for it.
fn secured(
    id: &Id,
    connector: HttpConnector,
    tls: &ClientTls,
) -> Result<HttpsConnector<HttpConnector>, Error> {
    let wrong = |reason: String| Error::Config(vec![format!("exporters::{id}::tls: {reason}")]);
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls.client().map_err(wrong)?).https_or_http();
    let builder = match &tls.server_name {
        Some(name) => {
            let name = ServerName::try_from(name.clone()).map_err(|error| wrong(error.to_string()))?;
            builder.with_server_name_resolver(FixedServerNameResolver::new(name))
        }
        None => builder,
    };
    Ok(builder.enable_http1().wrap_connector(connector))
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, batch: &Batch) -> Result<(), SendError> {
        let call = self.exchange(batch);
        if self.client.timeout.is_zero() {
            return call.await;
        }
        let late = |_| retryable(None, format!("no reply within {:?}", self.client.timeout));
        tokio::time::timeout(self.client.timeout, call).await.map_err(late).flatten()
    }
}

impl HttpTransport {
    async fn exchange(&self, batch: &Batch) -> Result<(), SendError> {
        let request = self.request(batch)?;
        let reply = self.http.request(request).await.map_err(|error| retryable(None, causes(&error)))?;
        let status = reply.status();
        let after = reply.headers().get(header::RETRY_AFTER).and_then(retry_after);
        let body = Limited::new(reply.into_body(), MAX_REPLY).collect().await;
        if status.is_success() {
            // The request was taken: a reply that breaks off now does not change that.
            note_partial(&self.id, body.map(|body| body.to_bytes()).unwrap_or_default());
            return Ok(());
        }
        let said = body.ok().and_then(|body| Fault::message_of(&body.to_bytes())).unwrap_or_default();
        let message = format!("{status} from {}: {said}", self.target);
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Err(retryable(after, message)),
            _ => Err(SendError::Permanent(message)),
        }
    }

    fn request(&self, batch: &Batch) -> Result<Request<Full<Bytes>>, SendError> {
        let wrong = |error: &dyn std::error::Error| SendError::Permanent(causes(error));
        let body = batch.contiguous();
        let (body, encoding) = match self.client.compression {
            Compression::None => (body, None),
            Compression::Gzip => (gzip(&body).map_err(|error| wrong(&error))?, Some("gzip")),
            Compression::Zstd => {
                (zstd::bulk::compress(&body, 0).map_err(|error| wrong(&error))?.into(), Some("zstd"))
            }
        };
        let mut request = Request::post(&self.target).body(Full::new(body)).map_err(|error| wrong(&error))?;
        let headers: &mut HeaderMap = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if let Some(encoding) = encoding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        headers.extend(self.client.headers.iter().cloned());
        Ok(request)
    }
}

/// gzip at level 1: on spans it is within a tenth of level 6 in size, at a third of its time.
fn gzip(body: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder =
        flate2::write::GzEncoder::new(Vec::with_capacity(body.len() / 4), flate2::Compression::fast());
    encoder.write_all(body)?;
    encoder.finish().map(Bytes::from)
}

fn retryable(after: Option<Duration>, message: String) -> SendError {
    SendError::Retryable { after, message }
}

/// `Retry-After`: seconds or a date (RFC 9110, section 10.2.3).
fn retry_after(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        assert_eq!(retry_after(&HeaderValue::from_static("7")), Some(Duration::from_secs(7)));
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        let wait = retry_after(&date.parse().unwrap()).unwrap();
        assert!((90..=100).contains(&wait.as_secs()), "{wait:?}");
        assert_eq!(retry_after(&HeaderValue::from_static("soon")), None);
    }
}

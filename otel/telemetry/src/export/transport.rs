//! The HTTP client under the OTLP exporter. It remembers what the receiver last said, which the exporter does not tell.

use crate::settings::Tls;
use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{HttpClient, HttpError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

#[cfg(feature = "tls")]
type Connector = hyper_rustls::HttpsConnector<HttpConnector>;
#[cfg(not(feature = "tls"))]
type Connector = HttpConnector;

/// A reply of a receiver is a few hundred bytes; whoever sends more is not one.
const MAX_REPLY: usize = 4 << 20;

/// The client of one signal.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    client: Client<Connector, Full<Bytes>>,
    timeout: Duration,
    last: Arc<Mutex<Answer>>,
}

/// How the last request went.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    pub(super) status: Option<StatusCode>,
    pub(super) retry_after: Option<Duration>,
    /// Why there is no status.
    pub(super) cause: String,
}

// === impl Transport ===

impl Transport {
    pub(super) fn new(timeout: Duration, tls: &Tls) -> Result<Self, HttpError> {
        let client = Client::builder(TokioExecutor::new()).build(connector(tls)?);
        Ok(Self { client, timeout, last: Arc::default() })
    }

    pub(super) fn last(&self) -> Answer {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, answer: Answer) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let exchange = async {
            let (head, body) = self.client.request(request.map(Full::new)).await?.into_parts();
            let body = Limited::new(body, MAX_REPLY).collect().await?.to_bytes();
            Ok(Response::from_parts(head, body))
        };
        tokio::time::timeout(self.timeout, exchange).await.unwrap_or_else(|_| Err("no answer in time".into()))
    }
}

#[async_trait]
impl HttpClient for Transport {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        match self.exchange(request).await {
            Ok(response) => {
                let seconds =
                    response.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
                self.remember(Answer {
                    status: Some(response.status()),
                    retry_after: seconds.map(Duration::from_secs),
                    cause: String::new(),
                });
                Ok(response)
            }
            Err(error) => {
                self.remember(Answer { cause: innermost(&*error), ..Answer::default() });
                Err(error)
            }
        }
    }
}

#[cfg(not(feature = "tls"))]
#[expect(clippy::unnecessary_wraps, reason = "same signature as with the feature `tls`")]
fn connector(_: &Tls) -> Result<Connector, HttpError> {
    Ok(HttpConnector::new())
}

#[cfg(feature = "tls")]
fn connector(tls: &Tls) -> Result<Connector, HttpError> {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let mut roots = rustls::RootCertStore::empty();
    match &tls.certificate {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                roots.add(certificate?)?;
            }
        }
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = match &tls.client {
        Some((chain, key)) => {
            let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>()?;
            config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key)?)?
        }
        None => config.with_no_client_auth(),
    };
    Ok(hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .build())
}

/// What happened at the bottom, such as "Connection refused (os error 111)".
pub(super) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

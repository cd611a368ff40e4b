//! One GET: authorised, retried, bounded in time and size. Questions about traces are no part of them, so this client makes
//! no spans. It is not reqwest's: TLS there would be TLS for every client in the tree.

use std::{error::Error, sync::Arc, time::Duration};

use ::http::{Request, StatusCode, Uri, header};
use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use super::{AskError, options::Options};

/// A host that does not take a connection within this time is not there.
const CONNECT: Duration = Duration::from_secs(3);
/// How often a question is put again when the answer may only be missing for a moment.
const RETRIES: usize = 3;
/// Most that is shown of a refusal.
const WORDS: usize = 300;

/// A client of one server.
#[derive(Debug, Clone)]
pub(super) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    options: Options,
}

/// An answer with a status that is no failure of the server.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

// === impl Http ===

impl Http {
    pub(super) fn new(options: Options) -> Result<Self, AskError> {
        let client = Client::builder(TokioExecutor::new()).build(connector(&options)?);
        Ok(Self { client, options })
    }

    /// Base URL of the server, without a trailing slash.
    pub(super) fn url(&self) -> &str {
        &self.options.url
    }

    /// Asks for `path`, which begins with a slash; 200 and 404 are answers, all else is a failure.
    pub(super) async fn get(&self, path: &str) -> Result<Answer, AskError> {
        let policy = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(1))
            .with_max_times(RETRIES)
            .with_jitter();
        (|| self.once(path)).retry(policy).when(AskError::passing).await
    }

    async fn once(&self, path: &str) -> Result<Answer, AskError> {
        let limit = self.options.timeout;
        let exchange = tokio::time::timeout(limit, self.exchange(path)).await;
        exchange.unwrap_or_else(|_| Err(AskError::Slow { url: self.named(path), limit }))
    }

    async fn exchange(&self, path: &str) -> Result<Answer, AskError> {
        let reply = self.client.request(self.request(path)?).await;
        let (head, body) = reply.map_err(|e| self.unreachable(&e))?.into_parts();
        let limit = usize::try_from(self.options.max_answer_mib << 20).unwrap_or(usize::MAX);
        let body = Limited::new(body, limit).collect().await.map_err(|error| {
            if error.downcast_ref::<LengthLimitError>().is_some() {
                AskError::TooLarge { url: self.named(path), limit: self.options.max_answer_mib }
            } else {
                self.unreachable(&*error)
            }
        })?;
        let (status, body) = (head.status, body.to_bytes());
        match status.as_u16() {
            200 | 404 => Ok(Answer { status, body }),
            401 | 403 => Err(AskError::Forbidden { url: self.named(path), status: status.as_u16() }),
            300..=399 => {
                let to =
                    head.headers.get(header::LOCATION).and_then(|v| v.to_str().ok()).unwrap_or("nowhere");
                let cause = format!("it redirects to {to}");
                Err(AskError::NotJaeger { url: self.options.url.clone(), cause })
            }
            code => Err(AskError::Refused { url: self.named(path), status: code, words: words(&body) }),
        }
    }

    fn request(&self, path: &str) -> Result<Request<Empty<Bytes>>, AskError> {
        let uri = Uri::try_from(format!("{}{path}", self.options.url))
            .map_err(|e| AskError::Settings(format!("{}{path}: {e}", self.options.url)))?;
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, header::HeaderValue::from_static("application/json"));
        if let Some(value) = &self.options.authorization {
            headers.insert(header::AUTHORIZATION, value.clone());
        }
        Ok(request)
    }

    fn unreachable(&self, error: &(dyn Error + 'static)) -> AskError {
        if let Some(cause) = distrust(error) {
            return AskError::Untrusted { url: self.options.url.clone(), cause };
        }
        AskError::Unreachable { url: self.options.url.clone(), cause: innermost(error) }
    }

    /// The question without its parameters, for messages.
    pub(super) fn named(&self, path: &str) -> String {
        format!("{}{}", self.options.url, path.split('?').next().unwrap_or_default())
    }
}

fn connector(options: &Options) -> Result<HttpsConnector<HttpConnector>, AskError> {
    let mut roots = rustls::RootCertStore::empty();
    match &options.authorities {
        Some(authorities) => {
            for authority in authorities {
                roots.add(authority.clone()).map_err(|e| AskError::Settings(format!("--ca-file: {e}")))?;
            }
        }
        // Reading the system's certificates takes some milliseconds: only where they are needed. SSL_CERT_FILE and
        // SSL_CERT_DIR name others.
        None if options.tls => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        None => {}
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| AskError::Settings(format!("TLS: {e}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut plain = HttpConnector::new();
    plain.enforce_http(false);
    plain.set_connect_timeout(Some(CONNECT));
    plain.set_nodelay(true);
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .wrap_connector(plain))
}

/// What is wrong with the server's certificate, if that is what is wrong.
fn distrust(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(rustls::Error::InvalidCertificate(why)) = error.downcast_ref() {
        return Some(why.to_string());
    }
    // What an I/O error is made of is not its source.
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(within) => distrust(within),
        None => distrust(error.source()?),
    }
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// The server's own words, on one line: the message of either API's error body, or the body's beginning.
fn words(body: &[u8]) -> String {
    let json = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    let message = json.pointer("/errors/0/msg").or_else(|| json.pointer("/error/message"));
    let text = message.and_then(|m| m.as_str()).map(str::to_owned);
    let text = text.unwrap_or_else(|| String::from_utf8_lossy(&body[..body.len().min(WORDS)]).into_owned());
    let line: String = text.chars().take(WORDS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.trim().is_empty() { "nothing more".to_owned() } else { line.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_words_of_the_server() {
        assert_eq!(words(br#"{"data":null,"errors":[{"code":500,"msg":"no shards"}]}"#), "no shards");
        assert_eq!(words(br#"{"error":{"httpCode":400,"message":"bad"}}"#), "bad");
        assert_eq!(words(b"<html>\n\x1b[31mgateway</html>"), "<html>  [31mgateway</html>");
        assert_eq!(words(b""), "nothing more");
    }
}

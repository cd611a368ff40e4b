//! The HTTP client under the OTLP exporter. It remembers what the receiver last said, which the exporter does not tell.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use opentelemetry_http::{HttpClient, HttpError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A reply of a receiver is a few hundred bytes; whoever sends more is not one.
const MAX_REPLY: usize = 4 << 20;

/// The client of one signal.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    client: reqwest::Client,
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
    pub(super) fn new(client: reqwest::Client) -> Self {
        Self { client, last: Arc::default() }
    }

    pub(super) fn last(&self) -> Answer {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, answer: Answer) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, reqwest::Error> {
        let mut response = self.client.execute(request.try_into()?).await?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() <= MAX_REPLY {
                body.extend_from_slice(&chunk);
            }
        }
        let mut reply = Response::new(body.into());
        *reply.status_mut() = response.status();
        *reply.headers_mut() = std::mem::take(response.headers_mut());
        Ok(reply)
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
                self.remember(Answer { cause: innermost(&error), ..Answer::default() });
                Err(error.into())
            }
        }
    }
}

/// What happened at the bottom, such as "Connection refused (os error 111)".
pub(super) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

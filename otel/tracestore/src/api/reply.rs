//! JSON replies: small ones whole, large ones streamed while they are written, so that a huge trace never lies in
//! memory as text.

use std::io::{self, Write};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use super::engine::QueryError;

/// A reply up to this size is sent whole, with its length.
const WHOLE_BYTES: usize = 256 * 1024;
/// Pieces of a streamed reply.
const CHUNK_BYTES: usize = 64 * 1024;
/// A client that takes no piece for this long is given up.
const STALLED_AFTER: Duration = Duration::from_secs(60);
/// Replies written at once, each on a thread of its own; further ones wait.
static WRITERS: Semaphore = Semaphore::const_new(128);

/// `{"data":…,"total":…,"limit":0,"offset":0,"errors":…}`, around every legacy answer.
#[derive(Serialize)]
pub(crate) struct Envelope<T> {
    data: T,
    total: usize,
    limit: usize,
    offset: usize,
    errors: Option<Vec<Problem>>,
}

/// One entry of `errors`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Problem {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<u16>,
    pub(crate) msg: String,
    #[serde(rename = "traceID", skip_serializing_if = "Option::is_none")]
    pub(crate) trace_id: Option<String>,
}

/// An error of the legacy API: status and text.
#[derive(Debug)]
pub(crate) struct LegacyError {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
}

impl<T> Envelope<T> {
    pub(crate) fn of(data: T) -> Self {
        Self { data, total: 0, limit: 0, offset: 0, errors: None }
    }

    pub(crate) fn total(mut self, total: usize) -> Self {
        self.total = total;
        self
    }

    pub(crate) fn errors(mut self, errors: Vec<Problem>) -> Self {
        self.errors = (!errors.is_empty()).then_some(errors);
        self
    }
}

// === impl LegacyError ===

impl LegacyError {
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into() }
    }

    pub(crate) fn trace_not_found() -> Self {
        Self { status: StatusCode::NOT_FOUND, message: "trace not found".to_owned() }
    }
}

impl From<QueryError> for LegacyError {
    fn from(error: QueryError) -> Self {
        Self { status: query_status(&error), message: error.to_string() }
    }
}

impl IntoResponse for LegacyError {
    fn into_response(self) -> Response {
        let code = Some(self.status.as_u16());
        let problem = Problem { code, msg: self.message, trace_id: None };
        error_text(self.status, &Envelope::of(()).errors(vec![problem]))
    }
}

/// The status of a query that has no answer.
pub(crate) fn query_status(error: &QueryError) -> StatusCode {
    match error {
        QueryError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        QueryError::Slow(_) => StatusCode::GATEWAY_TIMEOUT,
        QueryError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A JSON error body under `text/plain`, as Go's `http.Error` sends it and Jaeger's clients expect.
pub(crate) fn error_text(status: StatusCode, body: &impl Serialize) -> Response {
    let mut text = serde_json::to_string(body).unwrap_or_default();
    text.push('\n');
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (status, headers, text).into_response()
}

/// `body` as `application/json`, written on a blocking thread; indented by four spaces when `pretty`.
pub(crate) async fn json(body: impl Serialize + Send + 'static, pretty: bool) -> Response {
    let Ok(place) = WRITERS.acquire().await else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let (first_in, first_out) = oneshot::channel();
    let (rest_in, rest_out) = mpsc::channel(2);
    let mut writer =
        Chunks { buffer: Vec::new(), first: Some(first_in), rest: rest_in, runtime: Handle::current() };
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let written = if pretty {
            let format = serde_json::ser::PrettyFormatter::with_indent(b"    ");
            body.serialize(&mut serde_json::Serializer::with_formatter(&mut writer, format))
        } else {
            serde_json::to_writer(&mut writer, &body)
        };
        match written {
            Ok(()) => writer.finish(),
            Err(error) => {
                tracing::debug!(error = %error, "reply not finished");
                writer.abort();
            }
        }
    });
    let body = match first_out.await {
        Ok(First::All(bytes)) => Body::from(bytes),
        Ok(First::Part(bytes)) => {
            use futures::StreamExt as _;
            let first = futures::stream::once(async move { Ok::<_, io::Error>(bytes) });
            Body::from_stream(first.chain(ReceiverStream::new(rest_out)))
        }
        Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    ([JSON, NOSNIFF], body).into_response()
}

/// The content type of every JSON reply.
pub(crate) const JSON: (HeaderName, HeaderValue) =
    (CONTENT_TYPE, HeaderValue::from_static("application/json"));
/// Keeps browsers from guessing another type.
pub(crate) const NOSNIFF: (HeaderName, HeaderValue) =
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));

enum First {
    All(Bytes),
    Part(Bytes),
}

/// Collects a reply; what outgrows [`WHOLE_BYTES`] goes out in pieces.
struct Chunks {
    buffer: Vec<u8>,
    first: Option<oneshot::Sender<First>>,
    rest: mpsc::Sender<io::Result<Bytes>>,
    runtime: Handle,
}

impl Chunks {
    fn flush_chunk(&mut self) -> io::Result<()> {
        let bytes = Bytes::from(std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK_BYTES)));
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        match self.first.take() {
            Some(first) => first.send(First::Part(bytes)).map_err(|_| gone()),
            None => {
                self.runtime.block_on(self.rest.send_timeout(Ok(bytes), STALLED_AFTER)).map_err(|_| gone())
            }
        }
    }

    fn finish(mut self) {
        match self.first.take() {
            Some(first) => _ = first.send(First::All(Bytes::from(self.buffer))),
            None => _ = self.flush_chunk(),
        }
    }

    /// Cuts the connection rather than let half a reply pass for a whole one.
    fn abort(self) {
        if self.first.is_none() {
            let cut = io::Error::other("reply not finished");
            let _ = self.runtime.block_on(self.rest.send_timeout(Err(cut), STALLED_AFTER));
        }
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        let full = if self.first.is_some() { WHOLE_BYTES } else { CHUNK_BYTES };
        if self.buffer.len() >= full {
            self.flush_chunk()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

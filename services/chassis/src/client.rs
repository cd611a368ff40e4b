//! HTTP calls to others: deadlines on every call, the remaining time on the wire, retries for what may be repeated.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, StatusCode};
use reqwest_middleware::ClientWithMiddleware;
use serde::{Serialize, de::DeserializeOwned};
use telemetry::Peer;

use crate::{
    Settings, deadline,
    error::{Error, Kind, Result},
    names::Names,
};

/// A traced HTTP client for one peer. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Http {
    peer: &'static str,
    base: String,
    client: ClientWithMiddleware,
    limit: Duration,
    ours: bool,
}

/// A request on its way.
#[derive(Debug)]
#[must_use = "a call does nothing until it is sent"]
pub struct Call<'a> {
    http: &'a Http,
    method: Method,
    template: &'static str,
    path: Option<String>,
    key: Option<String>,
    body: Option<Result<Vec<u8>, serde_json::Error>>,
    headers: Vec<(&'static str, String)>,
    limit: Duration,
    resend: u32,
}

/// A whole reply of a peer, whatever its status.
#[derive(Debug)]
pub struct Reply {
    peer: &'static str,
    /// The status.
    pub status: StatusCode,
    /// The body, 1 MiB at most.
    pub body: Bytes,
}

/// No peer's reply is read beyond this.
const MAX_REPLY: usize = 1 << 20;

/// The parts of ours and their default ports.
const PORTS: [(&str, u16); 8] = [
    ("mobile-app", 8080),
    ("auth", 8081),
    ("restaurant-availability", 8082),
    ("payment-gateway", 8083),
    ("restaurant-orders", 8084),
    ("delivery-assignment", 8085),
    ("tracking", 8086),
    ("notification", 8087),
];

/// Variable and default port of a part of ours.
pub(crate) fn address_of(peer: &str) -> (String, u16) {
    let port = PORTS.iter().find(|(name, _)| *name == peer).map_or(0, |(_, port)| *port);
    (format!("{}_URL", peer.to_ascii_uppercase().replace('-', "_")), port)
}

/// Repeats `work`, which must be idempotent, while it fails in a way that may pass: growing pauses with jitter, as long as
/// the deadline around it allows, five times where there is none. It is given the number of the attempt, from 0.
///
/// # Errors
/// The last failure.
pub async fn retry<T, F, Fut>(mut work: F) -> Result<T>
where
    F: FnMut(u32) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    use backon::BackoffBuilder;
    let bounded = deadline::remaining().is_some();
    let builder = backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(2))
        .with_jitter();
    let mut pauses = if bounded { builder.without_max_times() } else { builder.with_max_times(4) }.build();
    let mut attempt = 0;
    loop {
        let error = match work(attempt).await {
            Err(e) if e.kind().is_transient() => e,
            done => return done,
        };
        let Some(pause) = pauses.next() else { return Err(error) };
        if deadline::remaining().is_some_and(|left| left <= pause) {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        attempt += 1;
    }
}

// === impl Http ===

impl Http {
    pub(crate) fn ours(peer: &'static str, base: String, settings: &Settings) -> Self {
        Self::ours_with(Names::system(), peer, base, settings)
    }

    /// As [`ours`](Self::ours), with another way to find addresses.
    pub(crate) fn ours_with(names: Names, peer: &'static str, base: String, settings: &Settings) -> Self {
        Self::new(names, peer, base, settings, Peer::ours(peer), true)
    }

    pub(crate) fn partner(peer: &'static str, base: String, settings: &Settings) -> Self {
        let known = Peer::third_party(peer);
        // The courier fleet reads no traceparent; its support asks for this one.
        let known = if peer == "courier-fleet" { known.with_trace_id_header() } else { known };
        Self::new(Names::system(), peer, base, settings, known, false)
    }

    fn new(
        names: Names,
        peer: &'static str,
        base: String,
        settings: &Settings,
        known: Peer,
        ours: bool,
    ) -> Self {
        let builder = reqwest::Client::builder()
            .dns_resolver(Arc::new(names))
            .connect_timeout(Duration::from_secs(3))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tcp_nodelay(true);
        let client = builder.build().unwrap_or_else(|e| {
            settings.reject(&address_of(peer).0, e);
            reqwest::Client::default()
        });
        let client = telemetry::http::client_with(client, known);
        Self { peer, base, client, limit: call_limit(settings), ours }
    }

    /// A call to a path without parameters, such as `/charges`.
    pub fn call(&self, method: Method, template: &'static str) -> Call<'_> {
        Call {
            http: self,
            method,
            template,
            path: None,
            key: None,
            body: None,
            headers: Vec::new(),
            limit: self.limit,
            resend: 0,
        }
    }

    /// `GET` of a path without parameters.
    pub fn get(&self, template: &'static str) -> Call<'_> {
        self.call(Method::GET, template)
    }

    /// `POST` to a path without parameters.
    pub fn post(&self, template: &'static str) -> Call<'_> {
        self.call(Method::POST, template)
    }
}

// === impl Call ===

impl Call<'_> {
    /// The path itself, where the template (`/payments/{id}/refunds`, which names the span) has parameters.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Header `Idempotency-Key`.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// A further header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// A JSON body.
    pub fn json(mut self, body: &impl Serialize) -> Self {
        self.body = Some(serde_json::to_vec(body));
        self
    }

    /// This call's own limit, in place of `WAYBILL_CALL_TIMEOUT`; the deadline around it still holds.
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The number of this attempt, from 0: on the span as `http.request.resend_count`.
    pub fn attempt(mut self, n: u32) -> Self {
        self.resend = n;
        self
    }

    /// Sends it and reads the whole reply.
    ///
    /// # Errors
    /// Timeout and Unavailable when there is no reply, or none in time. A reply with a bad status is a reply:
    /// see [`Reply::ok`].
    pub async fn send(self) -> Result<Reply> {
        let peer = self.http.peer;
        let left = deadline::remaining_or(self.limit);
        if left.is_zero() {
            return Err(Error::upstream_kind(peer, Kind::Timeout));
        }
        let path = self.path.as_deref().unwrap_or(self.template);
        let mut request = self
            .http
            .client
            .request(self.method, format!("{}{path}", self.http.base))
            .with_extension(telemetry::http::Template(self.template))
            .with_extension(telemetry::http::Resend(self.resend))
            .timeout(left);
        if self.http.ours {
            request = request.header(deadline::HEADER, deadline::http_value(left));
        }
        if let Some(key) = self.key {
            request = request.header("idempotency-key", key);
        }
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        if let Some(body) = self.body {
            let body = body.map_err(Error::internal)?;
            request = request.header(http::header::CONTENT_TYPE, "application/json").body(body);
        }
        let mut response = request.send().await.map_err(|e| failed(peer, e))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| failed(peer, e.into()))? {
            if body.len() + chunk.len() > MAX_REPLY {
                return Err(
                    Error::upstream_kind(peer, Kind::Internal).source("its reply is larger than 1 MiB")
                );
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { peer, status, body: body.into() })
    }
}

// === impl Reply ===

impl Reply {
    /// The reply itself where its status is below 400.
    ///
    /// # Errors
    /// The status as a failure of the peer: transient kinds stay, all others are a fault of ours.
    pub fn ok(self) -> Result<Self> {
        match Kind::from_status(self.status) {
            None => Ok(self),
            Some(kind) => Err(Error::upstream_kind(self.peer, kind).source(format!(
                "{} answered {}: {}",
                self.peer,
                self.status.as_u16(),
                self.excerpt()
            ))),
        }
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// Internal: the peer broke its contract.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|e| {
            Error::upstream_kind(self.peer, Kind::Internal).typed("bad-reply").source(format!(
                "{} answered {} with a body that cannot be read: {e}",
                self.peer, self.status
            ))
        })
    }

    fn excerpt(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(200).collect()
    }
}

pub(crate) fn call_limit(settings: &Settings) -> Duration {
    settings.duration("WAYBILL_CALL_TIMEOUT", "10s")
}

fn failed(peer: &str, e: reqwest_middleware::Error) -> Error {
    let late = matches!(&e, reqwest_middleware::Error::Reqwest(e) if e.is_timeout() && !e.is_connect());
    Error::upstream_kind(peer, if late { Kind::Timeout } else { Kind::Unavailable }).source(e)
}

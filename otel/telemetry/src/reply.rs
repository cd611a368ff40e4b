//! What every reply carries: the trace it belongs to, for whoever asks.
//!
//! `Server-Timing: trace;desc=<traceparent>` is what browsers and W3C Trace Context level 3 (draft) understand;
//! `X-Trace-Id` is for people and scripts. Never `traceparent` or `baggage` themselves: those are not the caller's.

use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use opentelemetry::Context;

pub(crate) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
pub(crate) const X_TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");

/// Adds both headers and exposes them to CORS. Nothing outside a trace.
pub(crate) fn mark(cx: &Context, headers: &mut HeaderMap) {
    let Some((traceparent, _)) = crate::propagation::outgoing(cx) else { return };
    let trace_id = HeaderValue::from_str(&traceparent[3..35]);
    if let (Ok(timing), Ok(id)) = (HeaderValue::try_from(format!("trace;desc={traceparent}")), trace_id) {
        headers.append(SERVER_TIMING, timing);
        headers.insert(X_TRACE_ID, id);
        headers.append(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("server-timing, x-trace-id"),
        );
    }
}

/// Host and port that the request was sent to: `:authority`, or the `Host` header.
pub(crate) fn authority<B>(request: &Request<B>) -> Option<(String, Option<u16>)> {
    let from_host = || request.headers().get(header::HOST)?.to_str().ok()?.parse().ok();
    let authority: http::uri::Authority = request.uri().authority().cloned().or_else(from_host)?;
    let default = if request.uri().scheme_str() == Some("https") { 443 } else { 80 };
    Some((authority.host().to_owned(), authority.port_u16().or(Some(default))))
}

/// Query parameters whose values are secrets: those of the HTTP conventions, and the usual names of tokens and keys.
const SECRET: [&str; 14] = [
    "AWSAccessKeyId",
    "Signature",
    "sig",
    "X-Goog-Signature",
    "X-Amz-Signature",
    "token",
    "access_token",
    "api_key",
    "apikey",
    "key",
    "password",
    "secret",
    "code",
    "card_token",
];

/// The query with secret values as `REDACTED`; `None` when there is nothing to hide.
pub(crate) fn redacted_query(query: &str) -> Option<String> {
    let secret = |pair: &str| {
        pair.split_once('=').is_some_and(|(key, _)| SECRET.iter().any(|s| s.eq_ignore_ascii_case(key)))
    };
    query.split('&').any(secret).then(|| {
        let hide = |pair: &str| match pair.split_once('=') {
            Some((key, _)) if secret(pair) => format!("{key}=REDACTED"),
            _ => pair.to_owned(),
        };
        query.split('&').map(hide).collect::<Vec<_>>().join("&")
    })
}

//! HTTP, both sides: a layer for axum, a client on reqwest.
//!
//! # Server
//!
//! The layer must be the outermost one, so that 404s, time-outs and panics caught further in carry the trace id, too:
//!
//! ```
//! use axum::{Router, routing::get};
//! let app: Router = Router::new()
//!     .route("/orders/{id}", get(|| async { "an order" }))
//!     .layer(telemetry::http::ServerLayer::new()); // last = outermost
//! ```
//!
//! gRPC requests (`content-type: application/grpc`) pass it untouched: they are [`grpc::ServerLayer`](crate::grpc::ServerLayer)'s.
//!
//! # Client
//!
//! ```
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! use telemetry::{Peer, http};
//! let payments = http::client(Peer::ours("payment-gateway"))?;
//! let bank = http::client(Peer::third_party("card-network").with_trace_id_header())?;
//! payments
//!     .get("http://127.0.0.1:8083/payments/p-1")
//!     .header("x-deadline-ms", "800") // any header of yours
//!     .with_extension(http::Template("/payments/{id}")) // span name `GET /payments/{id}`
//!     .with_extension(http::Resend(1)) // the first retry
//!     .send()
//!     .await?;
//! # Ok(()) }
//! ```

mod client;
mod deferred;
mod server;

pub use client::{Resend, Template, carrier, client, client_with};
pub(crate) use deferred::Pending;
pub use deferred::continue_trace;
pub use server::{Server, ServerLayer};

use opentelemetry::Value;

/// The methods of RFC 9110 and RFC 5789 by their names, all others `_OTHER` (HTTP conventions).
pub(crate) fn method(method: &http::Method) -> (&'static str, bool) {
    match method.as_str() {
        "GET" => ("GET", true),
        "POST" => ("POST", true),
        "PUT" => ("PUT", true),
        "PATCH" => ("PATCH", true),
        "DELETE" => ("DELETE", true),
        "HEAD" => ("HEAD", true),
        "OPTIONS" => ("OPTIONS", true),
        "CONNECT" => ("CONNECT", true),
        "TRACE" => ("TRACE", true),
        "QUERY" => ("QUERY", true),
        _ => ("_OTHER", false),
    }
}

/// `network.protocol.version`: `1.0`, `1.1`, `2` or `3`.
pub(crate) fn version(version: http::Version) -> Value {
    Value::from(match version {
        http::Version::HTTP_09 => "0.9",
        http::Version::HTTP_10 => "1.0",
        http::Version::HTTP_2 => "2",
        http::Version::HTTP_3 => "3",
        _ => "1.1",
    })
}

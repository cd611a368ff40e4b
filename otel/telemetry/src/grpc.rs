//! gRPC, both sides: tower layers for tonic.
//!
//! # Server
//!
//! ```no_run
//! # async fn demo(routes: tonic::service::Routes) -> Result<(), Box<dyn std::error::Error>> {
//! // in a tonic server
//! tonic::transport::Server::builder()
//!     .layer(telemetry::grpc::ServerLayer::new())
//!     .add_routes(routes.clone());
//! // or on routes that share a port with HTTP; `http::ServerLayer` lets gRPC pass
//! let grpc: axum::Router = routes.into_axum_router().layer(telemetry::grpc::ServerLayer::new());
//! let app = axum::Router::new().merge(grpc).layer(telemetry::http::ServerLayer::new());
//! # Ok(()) }
//! ```
//!
//! # Client
//!
//! ```no_run
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! use telemetry::{Peer, grpc};
//! // connects at the first call; pass it to a generated client: `AuthClient::new(channel)`
//! let channel: grpc::Channel = grpc::channel("http://127.0.0.1:8081", Peer::ours("auth"))?;
//! # Ok(()) }
//! ```
//!
//! Spans and metrics follow the RPC conventions 1.42 (release candidate).

pub(crate) mod call;
mod client;
mod server;

pub use client::{Channel, Client, ClientLayer, channel};
pub use server::{Server, ServerLayer};

use http::{HeaderMap, header};

/// gRPC by its content type (`application/grpc`, `application/grpc+proto`); gRPC-Web is HTTP to us.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| {
        let value = value.as_bytes();
        value.starts_with(b"application/grpc") && matches!(value.get(16), None | Some(b'+' | b';'))
    })
}

//! Asks the router in process.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{HeaderMap, Request, StatusCode};
use serde_json::Value;
use tower::ServiceExt as _;
use tracestore::api::{ApiOptions, Backend, router};

/// A reply, read to its end.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The first error's text of a legacy reply.
    pub(crate) fn message(&self) -> String {
        self.json()["errors"][0]["msg"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn app(backend: impl Backend) -> Router {
    with(backend, ApiOptions::default())
}

pub(crate) fn with(backend: impl Backend, options: ApiOptions) -> Router {
    router(Arc::new(backend), options).unwrap()
}

pub(crate) async fn get(app: &Router, target: &str) -> Reply {
    send(app, Request::get(target).body(Body::empty()).unwrap()).await
}

pub(crate) async fn send(app: &Router, request: Request<Body>) -> Reply {
    let response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
    Reply { status: parts.status, headers: parts.headers, body }
}

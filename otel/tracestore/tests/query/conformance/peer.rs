//! A real Jaeger and our store side by side: what is sent goes to both, what is asked is asked of both.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message as _;
use serde_json::Value;
use tracestore::api::{ApiOptions, router};
use tracestore::{Store, StoreOptions};

use super::compare::{Difference, compare};
use crate::client;

/// Both stores, empty at first.
pub(super) struct Both {
    query: String,
    otlp: String,
    client: Client<HttpConnector, Full<Bytes>>,
    store: Arc<Store>,
    ours: Router,
    _dir: tempfile::TempDir,
}

/// A status and a body, read as JSON where it is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

// === impl Both ===

impl Both {
    /// Where `JAEGER_QUERY` and `JAEGER_OTLP` name a Jaeger; says so otherwise.
    pub(super) async fn from_env() -> Option<Self> {
        let (Ok(query), Ok(otlp)) = (std::env::var("JAEGER_QUERY"), std::env::var("JAEGER_OTLP")) else {
            #[expect(clippy::print_stderr, reason = "a skipped test must say so")]
            {
                eprintln!("SKIPPED: the comparison needs JAEGER_QUERY and JAEGER_OTLP, a real Jaeger 2");
            }
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(StoreOptions::new(dir.path())).unwrap());
        let ours = router(store.clone(), ApiOptions::default()).unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let both = Self { query, otlp, client, store, ours, _dir: dir };
        let held = both.jaeger("/api/services").await.body;
        assert!(held["total"] == 0, "the Jaeger at {} is not empty: {held}", both.query);
        Some(both)
    }

    /// One request with these spans to each. Both have them when this returns: Jaeger runs without a batch processor.
    pub(super) async fn send(&self, resource_spans: Vec<ResourceSpans>) {
        let request = Bytes::from(ExportTraceServiceRequest { resource_spans }.encode_to_vec());
        self.store.append_spans(request.clone()).await.unwrap();
        let post = Request::post(format!("http://{}/v1/traces", self.otlp))
            .header("content-type", "application/x-protobuf");
        let response = self.client.request(post.body(Full::new(request)).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
    }

    pub(super) async fn jaeger(&self, target: &str) -> Answer {
        let get = Request::get(format!("http://{}{target}", self.query));
        let response = self.client.request(get.body(Full::default()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, body: json(&bytes) }
    }

    pub(super) async fn ours(&self, target: &str) -> Answer {
        let reply = client::send(&self.ours, Request::get(target).body(Body::empty()).unwrap()).await;
        Answer { status: reply.status.as_u16(), body: json(&reply.body) }
    }

    /// Where the two answers to one question differ, after what is free has been put in order.
    pub(super) async fn differences(&self, target: &str) -> Vec<Difference> {
        let (theirs, ours) = (self.jaeger(target).await, self.ours(target).await);
        compare(target, theirs, ours)
    }
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into()))
}

/// Half a minute ago, in Unix nanoseconds, to the millisecond.
pub(super) fn recently() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    (u64::try_from(now).unwrap() - 30_000) * 1_000_000
}

//! The trace store as one: both ports, settings, the way down.

use crate::requests::{one, span};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::oneshot;
use tracestore::{Bound, Options, RunError, SyncMode};

fn on_free_ports(dir: &std::path::Path) -> Options {
    let settings = |name: &str| match name {
        "WAYBILL_TRACESTORE_OTLP" | "WAYBILL_TRACESTORE_HTTP" => Some("127.0.0.1:0".to_owned()),
        "WAYBILL_DATA" => Some(dir.to_str().unwrap().to_owned()),
        _ => None,
    };
    Options::read(settings).unwrap()
}

async fn fetch(request: Request<Full<Bytes>>) -> (u16, String) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let (parts, body) = client.request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_in_over_otlp_is_answered_by_jaegers_api_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    for run in 0..2 {
        let bound = Bound::bind(on_free_ports(dir.path())).await.unwrap();
        let (otlp, http): (SocketAddr, SocketAddr) = (bound.otlp_address, bound.http_address);
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(bound.serve(async {
            stopped.await.ok();
        }));
        if run == 0 {
            let body = Full::new(one("auth", span(0xabc, 1, "Verify", 1_790_000_000_000_000_000)));
            let request = Request::post(format!("http://{otlp}/v1/traces"))
                .header("content-type", "application/x-protobuf");
            assert_eq!(fetch(request.body(body).unwrap()).await.0, 200);
        }
        let query = Request::get(format!("http://{http}/api/traces/abc")).body(Full::default()).unwrap();
        let (status, text) = fetch(query).await;
        assert_eq!(status, 200);
        assert!(text.contains("\"operationName\":\"Verify\""), "{text}");
        stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(10), serving).await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = on_free_ports(dir.path());
    options.http = taken.local_addr().unwrap();
    let error = Bound::bind(options).await.unwrap_err();
    assert!(error.to_string().contains(&taken.local_addr().unwrap().to_string()), "{error}");
}

#[test]
fn settings_are_read_and_all_bad_ones_named_at_once() {
    let good = |name: &str| match name {
        "WAYBILL_TRACESTORE_RETENTION" => Some("2h".to_owned()),
        "WAYBILL_TRACESTORE_SYNC" => Some("50ms".to_owned()),
        _ => None,
    };
    let options = Options::read(good).unwrap();
    assert_eq!(options.store.retention_age, Duration::from_secs(7200));
    assert_eq!(options.store.sync, SyncMode::Every(Duration::from_millis(50)));
    assert_eq!(options.otlp, SocketAddr::from(([127, 0, 0, 1], 14317)));
    let bad = |name: &str| (name != "WAYBILL_DATA").then(|| "soon".to_owned());
    let RunError::Settings(named) = Options::read(bad).unwrap_err() else { panic!("not about settings") };
    assert_eq!(named.len(), 8, "five of the store, three of the query API: {named:?}");
}

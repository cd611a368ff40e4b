//! Trace stores that are not what one hopes for, in front of a real one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use futures::stream;
use tokio::net::TcpListener;

use crate::harness::http;

/// A server on a free port that lives as long as the test.
pub(super) async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Asks the store at `upstream` what was asked here.
async fn forward(upstream: &str, target: &str) -> Response {
    let reply = http().get(format!("{upstream}{target}")).send().await.unwrap();
    let status = reply.status();
    let json = [(header::CONTENT_TYPE, "application/json")];
    (status, json, reply.bytes().await.unwrap()).into_response()
}

fn target(request: &Request) -> String {
    request.uri().path_and_query().unwrap().to_string()
}

/// Jaeger 2 of today: `/api/v3` alone, every other path is a page of the UI.
pub(super) async fn only_v3(upstream: String) -> String {
    serve(Router::new().fallback(move |request: Request| {
        let upstream = upstream.clone();
        async move {
            match target(&request) {
                t if t.starts_with("/api/v3/") => forward(&upstream, &t).await,
                _ => Html("<!doctype html><title>Jaeger UI</title>").into_response(),
            }
        }
    }))
    .await
}

/// `/api/v3` alone, and attributes of a search are not looked at.
pub(super) async fn only_v3_without_attributes(upstream: String) -> String {
    serve(Router::new().fallback(move |request: Request| {
        let upstream = upstream.clone();
        async move {
            let target = target(&request);
            let Some((path, query)) = target.split_once('?').filter(|(p, _)| p.starts_with("/api/v3/"))
            else {
                let v3 = target.starts_with("/api/v3/");
                return if v3 {
                    forward(&upstream, &target).await
                } else {
                    StatusCode::NOT_FOUND.into_response()
                };
            };
            let kept: Vec<_> = query.split('&').filter(|p| !p.starts_with("query.attributes=")).collect();
            forward(&upstream, &format!("{path}?{}", kept.join("&"))).await
        }
    }))
    .await
}

/// Answers only those who send `authorization`.
pub(super) async fn guarded(upstream: String, authorization: &'static str) -> String {
    serve(Router::new().fallback(move |headers: HeaderMap, request: Request| {
        let upstream = upstream.clone();
        async move {
            match headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()) {
                Some(sent) if sent == authorization => forward(&upstream, &target(&request)).await,
                _ => StatusCode::UNAUTHORIZED.into_response(),
            }
        }
    }))
    .await
}

/// Fails each question twice before it answers.
pub(super) async fn stumbling(upstream: String) -> String {
    let asked: Arc<Mutex<HashMap<String, u32>>> = Arc::default();
    serve(Router::new().fallback(move |request: Request| {
        let (upstream, target) = (upstream.clone(), target(&request));
        let times = {
            let mut asked = asked.lock().unwrap();
            let times = asked.entry(target.clone()).or_default();
            *times += 1;
            *times
        };
        async move {
            match times % 3 {
                0 => forward(&upstream, &target).await,
                _ => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            }
        }
    }))
    .await
}

/// Looks like a Jaeger until it is asked for traces; then it sends without end, as fast as it is read, or a byte a second.
pub(super) async fn endless(slow: bool) -> String {
    serve(Router::new().fallback(move |request: Request| async move {
        if request.uri().path() == "/api/services" {
            return r#"{"data":["mobile-app"],"total":1,"limit":0,"offset":0,"errors":null}"#.into_response();
        }
        let chunk = if slow { vec![b' '] } else { vec![b' '; 1 << 16] };
        let chunks = stream::unfold((), move |()| {
            let chunk = chunk.clone();
            async move {
                if slow {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Some((Ok::<_, std::io::Error>(chunk), ()))
            }
        });
        Body::from_stream(chunks).into_response()
    }))
    .await
}

/// Answers everything with the same text.
pub(super) async fn saying(status: StatusCode, text: &'static str) -> String {
    serve(Router::new().fallback(move || async move { (status, text) })).await
}

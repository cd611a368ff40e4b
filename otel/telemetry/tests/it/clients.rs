//! HTTP clients, by the spans that a receiver gets.

use crate::layers::{app, listen};
use crate::trace::{Trace, get_of, hex, status};
use axum::Router;
use axum::routing::get;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use std::time::Duration;
use telemetry::{Peer, context, http as traced};
#[tokio::test]
async fn a_client_span_follows_the_http_conventions_and_its_peer_gets_what_it_may() {
    let echo = |headers: http::HeaderMap| async move {
        let get = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("-").to_owned();
        [get("traceparent"), get("baggage"), get("x-trace-id"), get("x-deadline-ms")].join("|")
    };
    let address = listen(Router::new().route("/payments/{id}", get(echo))).await;
    let url = format!("http://user:secret@{address}/payments/7?sig=abc&page=2");
    let ours = traced::client(Peer::ours("payment-gateway")).unwrap();
    let theirs = traced::client(Peer::third_party("card-network").with_trace_id_header()).unwrap();
    for (client, peer, baggage) in [(ours, "payment-gateway", "order.id=o-1"), (theirs, "card-network", "-")]
    {
        let trace = Trace::new();
        let stored = trace.stored();
        let scope = context::root().with_parent(&stored).with_baggage("order.id", "o-1");
        let call = client
            .get(&url)
            .header("x-deadline-ms", "800")
            .with_extension(traced::Template("/payments/{id}"))
            .with_extension(traced::Resend(2));
        let seen = scope.run(async { call.send().await.unwrap().text().await.unwrap() }).await;
        let span = trace.only().await;
        let trace_id = if baggage == "-" { trace.id.as_str() } else { "-" };
        assert_eq!(seen, format!("00-{}-{}-01|{baggage}|{trace_id}|800", trace.id, hex(&span.span_id)));
        assert_eq!((span.name.as_str(), span.kind), ("GET /payments/{id}", SpanKind::Client as i32));
        for (key, value) in [
            ("http.request.method", "GET".to_owned()),
            ("http.response.status_code", "int:200".to_owned()),
            ("http.request.resend_count", "int:2".to_owned()),
            ("url.full", format!("http://{address}/payments/7?sig=REDACTED&page=2")),
            ("url.template", "/payments/{id}".to_owned()),
            ("server.address", "127.0.0.1".to_owned()),
            ("server.port", format!("int:{}", address.port())),
            ("network.protocol.version", "1.1".to_owned()),
            ("service.peer.name", peer.to_owned()),
            ("peer.service", peer.to_owned()),
            ("order.id", "o-1".to_owned()),
        ] {
            assert_eq!(get_of(&span, key), value, "{key}");
        }
        assert_eq!(status(&span), 0);
    }
}

#[tokio::test]
async fn a_client_takes_4xx_5xx_and_no_answer_at_all_as_errors() {
    let address = listen(app(traced::ServerLayer::new())).await;
    let client = traced::client(Peer::ours("x")).unwrap();
    let closed = "127.0.0.1:1";
    for (url, kind) in [
        (format!("http://{address}/missing"), "404"),
        (format!("http://{address}/broken"), "503"),
        (format!("http://{closed}/"), "connect"),
    ] {
        let trace = Trace::new();
        let stored = trace.stored();
        let call = context::root().with_parent(&stored).run(client.get(&url).send());
        drop(call.await);
        let spans = trace.spans(if kind == "connect" { 1 } else { 2 }).await;
        let span = spans.iter().find(|s| s.kind == SpanKind::Client as i32).unwrap();
        assert_eq!((get_of(span, "error.type").as_str(), status(span)), (kind, 2));
    }
}

#[tokio::test]
async fn a_cancelled_client_call_is_visible() {
    let address = listen(app(traced::ServerLayer::new())).await;
    let client = traced::client(Peer::third_party("slow")).unwrap();
    let trace = Trace::new();
    let stored = trace.stored();
    let call = context::root().with_parent(&stored).run(client.get(format!("http://{address}/hang")).send());
    assert!(tokio::time::timeout(Duration::from_millis(100), call).await.is_err());
    let spans = trace.spans(2).await;
    let kinds: Vec<_> = spans.iter().map(|span| get_of(span, "error.type")).collect();
    assert_eq!(kinds, ["cancelled", "cancelled"], "client and server alike");
}

//! gRPC, by the spans that a receiver gets: names, status from trailers, error rules, cancellation, propagation.

use crate::receiver::attribute;
use crate::trace::{Trace, find, get_of, has, hex, status};
use axum::body::{Body, Bytes};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use std::net::SocketAddr;
use std::time::Duration;
use telemetry::{Peer, context, grpc};
use tonic::{Code, Status};
use tower::{Layer as _, ServiceExt as _, service_fn};

const METHOD: &str = "opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Any service will do; this one is at hand. It answers with the code that it was made with.
#[derive(Clone, Copy)]
struct Answers(Option<Code>);

#[tonic::async_trait]
impl TraceService for Answers {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
        drop(tracing::info_span!("export.work").entered());
        if request.metadata().contains_key("hang") {
            std::future::pending::<()>().await;
        }
        match self.0 {
            None => Ok(tonic::Response::new(ExportTraceServiceResponse::default())),
            Some(code) => Err(Status::new(code, "so it is")),
        }
    }
}

/// The service on a port that it shares with HTTP, as a service of ours runs.
async fn listen(answers: Answers) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = tonic::service::Routes::new(TraceServiceServer::new(answers)).into_axum_router();
    let app = axum::Router::new()
        .merge(routes.layer(grpc::ServerLayer::new()))
        .layer(telemetry::http::ServerLayer::new())
        .into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

async fn call(trace: &Trace, answers: Answers) -> (Vec<Span>, SocketAddr, HeaderMap) {
    let address = listen(answers).await;
    let channel = grpc::channel(&format!("http://{address}"), Peer::ours("auth")).unwrap();
    let mut client = TraceServiceClient::new(channel);
    let scope = context::root().with_parent(&trace.stored()).with_baggage("order.id", "o-1");
    let reply = scope.run(client.export(ExportTraceServiceRequest::default())).await;
    let metadata = match reply {
        Ok(reply) => reply.metadata().clone(),
        Err(status) => status.metadata().clone(),
    };
    (trace.spans(3).await, address, metadata.into_headers())
}

fn side(spans: &[Span], kind: SpanKind) -> &Span {
    spans.iter().find(|span| span.kind == kind as i32).unwrap()
}

#[tokio::test]
async fn both_spans_follow_the_rpc_conventions_and_the_context_travels() {
    let trace = Trace::new();
    let (spans, address, metadata) = call(&trace, Answers(None)).await;
    let (client, server) = (side(&spans, SpanKind::Client), side(&spans, SpanKind::Server));
    assert_eq!(hex(&client.parent_span_id), "00000000000000aa");
    assert_eq!(server.parent_span_id, client.span_id);
    assert_eq!(find(&spans, "export.work").parent_span_id, server.span_id);
    assert_eq!(metadata["x-trace-id"], trace.id.as_str());
    for span in [client, server] {
        assert_eq!(span.name, METHOD);
        for (key, value) in [
            ("rpc.system.name", "grpc"),
            ("rpc.method", METHOD),
            ("rpc.response.status_code", "OK"),
            ("server.address", "127.0.0.1"),
            ("order.id", "o-1"),
        ] {
            assert_eq!(get_of(span, key), value, "{key}");
        }
        assert_eq!(get_of(span, "server.port"), format!("int:{}", address.port()));
        assert!(!has(span, "rpc.service") && !has(span, "rpc.system") && !has(span, "error.type"));
        assert_eq!(status(span), 0);
    }
    assert_eq!(get_of(client, "service.peer.name"), "auth");
    assert_eq!(get_of(server, "client.address"), "127.0.0.1");
}

#[tokio::test]
async fn each_side_takes_as_an_error_what_is_one_for_it() {
    for (code, name, server_error) in [
        (Code::NotFound, "NOT_FOUND", false),
        (Code::Internal, "INTERNAL", true),
        (Code::DeadlineExceeded, "DEADLINE_EXCEEDED", true),
        (Code::ResourceExhausted, "RESOURCE_EXHAUSTED", false),
    ] {
        let trace = Trace::new();
        let (spans, _, metadata) = call(&trace, Answers(Some(code))).await;
        assert_eq!(metadata["x-trace-id"], trace.id.as_str(), "failures carry it, too");
        let (client, server) = (side(&spans, SpanKind::Client), side(&spans, SpanKind::Server));
        assert_eq!((get_of(client, "error.type").as_str(), status(client)), (name, 2));
        assert_eq!(client.status.as_ref().unwrap().message, "so it is");
        assert_eq!(get_of(server, "rpc.response.status_code"), name);
        assert_eq!((has(server, "error.type"), status(server) == 2), (server_error, server_error), "{name}");
    }
}

#[tokio::test]
async fn a_method_that_nobody_knows_does_not_become_a_name_of_ours() {
    let trace = Trace::new();
    let address = listen(Answers(None)).await;
    let channel = grpc::channel(&format!("http://{address}"), Peer::ours("auth")).unwrap();
    drop(
        context::root()
            .with_parent(&trace.stored())
            .run(channel.oneshot(raw(&trace).map(tonic::body::Body::new)))
            .await,
    );
    let spans = trace.spans(2).await;
    let server = side(&spans, SpanKind::Server);
    assert_eq!(server.name, "grpc");
    assert_eq!(get_of(server, "rpc.method"), "_OTHER");
    assert_eq!(get_of(server, "rpc.method_original"), "orders.v1.Orders/Watch");
    assert_eq!(side(&spans, SpanKind::Client).name, "orders.v1.Orders/Watch");
}

/// A reply that fails after its first message: the status is in the trailers.
fn fails_mid_stream() -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("14"));
    trailers.insert("grpc-message", HeaderValue::from_static("gone"));
    let frames = [Frame::data(Bytes::from_static(b"\0\0\0\0\0")), Frame::trailers(trailers)];
    let body = StreamBody::new(futures::stream::iter(frames.map(Ok::<_, std::convert::Infallible>)));
    Response::builder().header("content-type", "application/grpc").body(Body::new(body)).unwrap()
}

fn raw(trace: &Trace) -> Request<Body> {
    trace
        .request(Method::POST, "http://orders.test:81/orders.v1.Orders/Watch")
        .header("content-type", "application/grpc")
        .body(Body::empty())
        .unwrap()
}

#[tokio::test]
async fn a_call_that_fails_mid_stream_has_the_status_of_its_trailers_on_both_sides() {
    let trace = Trace::new();
    let service =
        || service_fn(|_: Request<Body>| async { Ok::<_, std::convert::Infallible>(fails_mid_stream()) });
    let reply = grpc::ServerLayer::new().layer(service()).oneshot(raw(&trace)).await.unwrap();
    reply.into_body().collect().await.unwrap();
    let calling = grpc::ClientLayer::new().peer(Peer::third_party("orders")).layer(service());
    let reply = context::root().with_parent(&trace.stored()).run(calling.oneshot(raw(&trace))).await.unwrap();
    reply.into_body().collect().await.unwrap();
    let spans = trace.spans(2).await;
    for kind in [SpanKind::Client, SpanKind::Server] {
        let span = side(&spans, kind);
        assert_eq!(span.name, "orders.v1.Orders/Watch");
        assert_eq!(get_of(span, "rpc.response.status_code"), "UNAVAILABLE");
        assert_eq!((get_of(span, "error.type").as_str(), status(span)), ("UNAVAILABLE", 2));
        assert_eq!(span.status.as_ref().unwrap().message, "gone");
    }
    let server = side(&spans, SpanKind::Server);
    assert_eq!(get_of(server, "server.address"), "orders.test");
    assert_eq!(get_of(server, "server.port"), "int:81");
}

#[tokio::test]
async fn a_cancelled_call_is_visible_on_both_sides() {
    let trace = Trace::new();
    let address = listen(Answers(None)).await;
    let mut client =
        TraceServiceClient::new(grpc::channel(&format!("http://{address}"), Peer::ours("auth")).unwrap());
    let mut request = tonic::Request::new(ExportTraceServiceRequest::default());
    request.metadata_mut().insert("hang", "yes".parse().unwrap());
    let call = context::root().with_parent(&trace.stored()).run(client.export(request));
    assert!(tokio::time::timeout(Duration::from_millis(300), call).await.is_err());
    let spans = trace.spans(3).await;
    for kind in [SpanKind::Client, SpanKind::Server] {
        assert_eq!(get_of(side(&spans, kind), "rpc.response.status_code"), "CANCELLED");
        assert_eq!(get_of(side(&spans, kind), "error.type"), "CANCELLED");
    }
    assert_eq!(status(side(&spans, SpanKind::Client)), 2);
    assert_eq!(status(side(&spans, SpanKind::Server)), 0, "the caller hung up");
}

#[tokio::test]
async fn no_connection_at_all_is_unavailable_and_third_parties_get_no_baggage() {
    let closed = "127.0.0.1:1";
    let trace = Trace::new();
    let mut client =
        TraceServiceClient::new(grpc::channel(&format!("http://{closed}"), Peer::ours("auth")).unwrap());
    let call = client.export(ExportTraceServiceRequest::default());
    assert!(context::root().with_parent(&trace.stored()).run(call).await.is_err());
    assert_eq!(get_of(&trace.only().await, "error.type"), "UNAVAILABLE");

    let trace = Trace::new();
    let seen = service_fn(|request: Request<Body>| async move {
        let headers = request.headers();
        assert!(headers.contains_key("traceparent") && headers.contains_key("x-trace-id"));
        assert!(!headers.contains_key("baggage"));
        Ok::<_, std::convert::Infallible>(fails_mid_stream())
    });
    let peer = Peer::third_party("fleet").with_trace_id_header();
    let scope = context::root().with_parent(&trace.stored()).with_baggage("order.id", "o-1");
    drop(scope.run(grpc::ClientLayer::new().peer(peer).layer(seen).oneshot(raw(&trace))).await);
    assert_eq!(attribute(&trace.only().await.attributes, "peer.service").as_deref(), Some("fleet"));
}

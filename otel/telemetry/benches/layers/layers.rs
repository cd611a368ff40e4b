//! What one span costs its host, through each layer: the same work in all three benches, which differ in what init says.

use axum::body::{Body, Bytes};
use criterion::Criterion;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use std::convert::Infallible;
use std::hint::black_box;
use telemetry::messaging::{self, Message};
use telemetry::{Env, Peer, Service, context, grpc, http as traced};
use tokio::runtime::Runtime;
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Runs all of them under these settings.
pub(crate) fn run(name: &str, env: &[(&str, &str)]) {
    let fixed =
        [("OTEL_METRIC_EXPORT_INTERVAL", "3600000"), ("OTEL_METRICS_EXPORTER", "none"), ("RUST_LOG", "off")];
    let env: Env =
        fixed.into_iter().chain([("OTEL_BSP_MAX_QUEUE_SIZE", "65536")]).chain(env.iter().copied()).collect();
    let service = Service::new("bench", "1").baggage(&[("order.id", "order.id")]);
    let guard = telemetry::init_discarding(service, &env).expect("telemetry starts");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut criterion = Criterion::default().configure_from_args();
    inner(&mut criterion, name);
    http_server(&mut criterion, name, &runtime);
    http_client(&mut criterion, name, &runtime);
    grpc_server(&mut criterion, name, &runtime);
    grpc_client(&mut criterion, name, &runtime);
    message(&mut criterion, name);
    criterion.final_summary();
    drop(guard);
}

fn scope() -> context::Scope {
    let stored = context::StoredContext { traceparent: PARENT.to_owned(), tracestate: String::new() };
    context::root().with_parent(&stored).with_baggage("order.id", "o-1")
}

/// `tracing` span with two fields, entered and closed.
fn inner(criterion: &mut Criterion, name: &str) {
    let _entered = scope().enter();
    criterion.bench_function(&format!("inner_span/{name}"), |bench| {
        bench.iter(|| drop(tracing::info_span!("order.place", items = 2_i64, zone = "north").entered()));
    });
}

/// One request through the layer, its body read; the handler does nothing. Baseline: the same without the layer.
fn http_server(criterion: &mut Criterion, name: &str, runtime: &Runtime) {
    let handler = || {
        service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(Response::new(Body::from("an order"))) })
    };
    let request = || {
        let request = Request::get("http://mobile-app:8080/orders/7").header("traceparent", PARENT);
        request
            .header("baggage", "order.id=o-1")
            .header("user-agent", "bench")
            .body(Body::empty())
            .expect("a request")
    };
    let mut bare = handler();
    criterion.bench_function(&format!("http_server_without_layer/{name}"), |bench| {
        bench.iter(|| {
            runtime
                .block_on(async { bare.call(request()).await.expect("a reply").into_body().collect().await })
        });
    });
    let mut service = traced::ServerLayer::new().layer(handler());
    criterion.bench_function(&format!("http_server/{name}"), |bench| {
        bench.iter(|| {
            runtime.block_on(async {
                service.call(request()).await.expect("a reply").into_body().collect().await
            })
        });
    });
}

/// The client's middleware over a transport that answers at once.
fn http_client(criterion: &mut Criterion, name: &str, runtime: &Runtime) {
    struct Answers;
    #[async_trait::async_trait]
    impl reqwest_middleware::Middleware for Answers {
        async fn handle(
            &self,
            _: reqwest::Request,
            _: &mut http::Extensions,
            _: reqwest_middleware::Next<'_>,
        ) -> reqwest_middleware::Result<reqwest::Response> {
            Ok(Response::new("").into())
        }
    }
    let client = reqwest::Client::builder().build().expect("a client");
    let client = traced::client_with(client, Peer::ours("payment-gateway"));
    // `from_client` keeps the middleware; ours comes last, in the place of the network.
    let client = reqwest_middleware::ClientBuilder::from_client(client).with(Answers).build();
    criterion.bench_function(&format!("http_client/{name}"), |bench| {
        bench.iter(|| {
            let call = client
                .get("http://127.0.0.1:8083/payments/7")
                .with_extension(traced::Template("/payments/{id}"));
            runtime.block_on(scope().run(call.send())).expect("a reply")
        });
    });
}

fn reply() -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = [Frame::data(Bytes::from_static(b"\0\0\0\0\0")), Frame::trailers(trailers)];
    Response::new(Body::new(StreamBody::new(futures::stream::iter(frames.map(Ok::<_, Infallible>)))))
}

fn call() -> Request<Body> {
    let request =
        Request::post("http://auth:8081/auth.v1.Auth/Verify").header("content-type", "application/grpc");
    request
        .header("traceparent", PARENT)
        .header("baggage", "order.id=o-1")
        .body(Body::empty())
        .expect("a request")
}

fn grpc_server(criterion: &mut Criterion, name: &str, runtime: &Runtime) {
    let mut service =
        grpc::ServerLayer::new().layer(service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(reply()) }));
    criterion.bench_function(&format!("grpc_server/{name}"), |bench| {
        bench.iter(|| {
            runtime
                .block_on(async { service.call(call()).await.expect("a reply").into_body().collect().await })
        });
    });
}

fn grpc_client(criterion: &mut Criterion, name: &str, runtime: &Runtime) {
    let service = service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(reply()) });
    let client = grpc::ClientLayer::new().peer(Peer::ours("auth")).layer(service);
    criterion.bench_function(&format!("grpc_client/{name}"), |bench| {
        bench.iter(|| {
            let client = client.clone();
            let call = async { client.oneshot(call()).await.expect("a reply").into_body().collect().await };
            runtime.block_on(scope().run(call))
        });
    });
}

/// The birth of a message: its span and the context to be stored.
fn message(criterion: &mut Criterion, name: &str) {
    let _entered = scope().enter();
    let message = Message::new("order.accepted", "0b9c1d9e-8d61-4b0c-a3ab-6fe2a8a1f3aa").conversation("o-1");
    criterion.bench_function(&format!("message_create/{name}"), |bench| {
        bench.iter(|| black_box(messaging::create(&message)));
    });
}

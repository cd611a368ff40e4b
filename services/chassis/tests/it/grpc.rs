//! gRPC on the same port: failures as statuses, deadlines, health, reflection, the trace id on every reply.

use std::{sync::Mutex, time::Duration};

use chassis::{App, Error, Kind, Start, deadline};
use contracts::tracking_v1::{
    StartReply, StartRequest,
    tracking_client::TrackingClient,
    tracking_server::{Tracking, TrackingServer},
};
use tonic::{Code, Request, Response, Status, async_trait};

use crate::support::{eventually, nobody, service, settings, start};

/// Does what the order's id says.
struct Obedient;

/// Milliseconds that were left when asked.
static LEFT: Mutex<Vec<u128>> = Mutex::new(Vec::new());

#[async_trait]
impl Tracking for Obedient {
    async fn start(&self, request: Request<StartRequest>) -> Result<Response<StartReply>, Status> {
        match request.into_inner().order_id.as_str() {
            "hang" => std::future::pending().await,
            "panic" => panic!("hush-hush"),
            "internal" => Err(Error::internal("hush-hush").into()),
            "unknown" => Err(Error::not_found("no such order").into()),
            "left" => {
                LEFT.lock().unwrap().push(deadline::remaining().unwrap_or_default().as_millis());
                Ok(Response::new(StartReply::default()))
            }
            _ => Ok(Response::new(StartReply { ride_id: "r-1".into() })),
        }
    }
}

fn app(_: &Start) -> App {
    App::new().grpc(TrackingServer::new(Obedient)).descriptors(contracts::DESCRIPTORS)
}

fn ask(order_id: &str) -> StartRequest {
    StartRequest { order_id: order_id.into(), ..Default::default() }
}

#[tokio::test]
async fn failures_are_statuses_without_internal_text_and_replies_have_the_trace_id() {
    let dir = tempfile::tempdir().unwrap();
    let running =
        start(service("tracking", app), settings(dir.path(), "t", &[("WAYBILL_REQUEST_TIMEOUT", "300ms")]))
            .await;
    let mut client = TrackingClient::connect(running.url.clone()).await.unwrap();
    let trace = "0af7651916cd43dd8448eb211c80319c";
    for (order, code) in [
        ("unknown", Code::NotFound),
        ("internal", Code::Internal),
        ("panic", Code::Internal),
        ("hang", Code::DeadlineExceeded),
        ("fine", Code::Ok),
    ] {
        let mut request = Request::new(ask(order));
        let parent = format!("00-{trace}-b7ad6b7169203331-01");
        request.metadata_mut().insert("traceparent", parent.parse().unwrap());
        let (got, metadata, message) = match client.start(request).await {
            Ok(reply) => (Code::Ok, reply.metadata().clone(), String::new()),
            Err(status) => (status.code(), status.metadata().clone(), status.message().to_owned()),
        };
        assert_eq!(got, code, "{order}");
        assert!(!message.contains("hush"), "{message}");
        assert_eq!(metadata.get("x-trace-id").map(|v| v.to_str().unwrap()), Some(trace), "{order}");
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn the_callers_remaining_time_is_kept_and_travels_through_a_channel() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(service("tracking", app), settings(dir.path(), "t", &[])).await;
    let mut client = TrackingClient::connect(running.url.clone()).await.unwrap();
    let mut request = Request::new(ask("hang"));
    request.set_timeout(Duration::from_millis(200));
    let status = client.start(request).await.unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status}");

    // Through the chassis' own channel, from a service that has less time than it would like.
    fn caller(start: &Start) -> App {
        let tracking = TrackingClient::new(start.grpc("tracking"));
        let go = move || {
            let mut tracking = tracking.clone();
            async move {
                let asked = deadline::within(Duration::from_millis(1500), tracking.start(ask("left")));
                let reply = asked.await.map_err(|_| Error::new(Kind::Timeout, "late"))?;
                reply.map_err(|e| Error::upstream("tracking", e))?;
                let hung = deadline::within(Duration::from_millis(200), tracking.start(ask("hang"))).await;
                match hung {
                    Ok(Err(status)) => Ok::<_, Error>(format!("{:?}", status.code())),
                    other => Ok(format!("{other:?}")),
                }
            }
        };
        App::new().http(axum::Router::new().route("/go", axum::routing::get(go)))
    }
    let calling =
        start(service("caller", caller), settings(dir.path(), "c", &[("TRACKING_URL", &running.url)])).await;
    let reply = reqwest::get(format!("{}/go", calling.url)).await.unwrap();
    assert!(reply.status().is_success());
    let text = reply.text().await.unwrap();
    // Which of the two clocks rings first is a matter of luck.
    assert!(text == "DeadlineExceeded" || text.contains("Elapsed"), "{text}");
    let left = LEFT.lock().unwrap().clone();
    assert!(left.len() == 1 && left[0] <= 1500, "{left:?}");
}

#[tokio::test]
async fn a_channel_connects_when_first_used_and_again_after_the_peer_was_restarted() {
    let dir = tempfile::tempdir().unwrap();
    let address = nobody().to_string();
    fn caller(start: &Start) -> App {
        let tracking = TrackingClient::new(start.grpc("tracking"));
        let go = move || {
            let mut tracking = tracking.clone();
            async move {
                tracking.start(ask("fine")).await.map(|_| ()).map_err(|e| Error::upstream("tracking", e))
            }
        };
        App::new().http(axum::Router::new().route("/go", axum::routing::get(go)))
    }
    let url = format!("http://{address}");
    let calling =
        start(service("caller", caller), settings(dir.path(), "c", &[("TRACKING_URL", &url)])).await;
    let go = async || reqwest::get(format!("{}/go", calling.url)).await.unwrap().status();
    assert_eq!(go().await, 503);
    for _ in 0..2 {
        let there = settings(dir.path(), "t", &[("WAYBILL_LISTEN", &address)]);
        let running = start(service("tracking", app), there).await;
        eventually("the call works", async || (go().await == 200).then_some(())).await;
        running.kill().await;
    }
}

#[tokio::test]
async fn health_and_reflection_answer_and_an_unknown_method_is_unimplemented() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(service("tracking", app), settings(dir.path(), "t", &[])).await;
    let channel =
        tonic::transport::Channel::from_shared(running.url.clone()).unwrap().connect().await.unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    let asked = tonic_health::pb::HealthCheckRequest { service: "tracking.v1.Tracking".into() };
    assert_eq!(health.check(asked).await.unwrap().into_inner().status, 1);

    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest,
    };
    let mut reflection = ServerReflectionClient::new(channel.clone());
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol("tracking.v1.Tracking".into())),
    };
    let mut replies =
        reflection.server_reflection_info(futures::stream::iter([request])).await.unwrap().into_inner();
    let reply = format!("{:?}", replies.message().await.unwrap());
    assert!(reply.contains("FileDescriptorResponse"), "{reply}");

    let mut auth = contracts::auth_v1::auth_client::AuthClient::new(channel);
    let status = auth.login(contracts::auth_v1::LoginRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    running.stop().await.unwrap();
}

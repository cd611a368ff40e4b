//! What each says when it cannot take more.

use std::time::Duration;

use tonic::Code;
use tonic_types::StatusExt as _;

use crate::both::{Both, CONFIG, Side};
use crate::listed::listed;
use crate::rig::{Act, spans};

/// The repository's file with a queue that one request fills.
fn narrow() -> String {
    let (sizer, size) = ("sizer: bytes\n", "queue_size: 1073741824");
    assert!(CONFIG.contains(sizer) && CONFIG.contains(size));
    let text = CONFIG.replacen(sizer, "sizer: requests\n", 1).replace(size, "queue_size: 2");
    let batch = text.find("      batch:\n").unwrap();
    let end = batch + text[batch..].find("  prometheus:").unwrap();
    format!("{}{}", &text[..batch], &text[end..])
}

/// Fills the side's queue; the status and the wait that it then asks for.
async fn refused(side: &Side) -> (Code, Option<Duration>) {
    let mut client = side.traces().await;
    for number in 0..200 {
        if let Err(status) = client.export(spans([number])).await {
            let wait = status.get_details_retry_info().and_then(|info| info.retry_delay);
            return (status.code(), wait);
        }
    }
    panic!("{} took 200 requests into a queue of 2", side.name)
}

async fn refused_over_http(side: &Side) -> (u16, Option<String>) {
    let body = prost::Message::encode_to_vec(&spans([1]));
    let request = reqwest::Client::new().post(side.url("http", "/v1/traces"));
    let answer = request.header("content-type", "application/x-protobuf").body(body).send().await.unwrap();
    let wait = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    (answer.status().as_u16(), wait)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_with_the_same_status_and_ours_says_when_to_come_again() {
    let Some(both) = Both::start_with(&narrow(), &[]).await else { return };
    for side in both.sides() {
        side.backend.always(Some(Act::Hang));
    }
    let (ours, real) = (refused(&both.ours).await, refused(&both.real).await);
    assert_eq!(ours, (Code::Unavailable, Some(Duration::from_secs(1))));
    assert_eq!(real, (Code::Unavailable, None));
    let (ours, real) = (refused_over_http(&both.ours).await, refused_over_http(&both.real).await);
    assert_eq!(ours, (503, Some("1".into())));
    assert_eq!(real, (503, None));
    listed("receiver/otlpreceiver/internal/errors/errors.go:20");
}

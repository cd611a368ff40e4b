//! `OTEL_*`, one variable a test, by what a receiver gets.

use crate::probe::run;
use crate::receiver::{Receiver, attribute};

async fn order(env: &[(&str, &str)]) -> (Receiver, crate::probe::Ended) {
    let receiver = Receiver::start().await;
    let ended = run(&receiver, "grpc", &["order"], env).await;
    (receiver, ended)
}

#[tokio::test]
async fn with_nothing_set_all_three_signals_arrive_with_the_services_own_resource() {
    for protocol in ["grpc", "http/protobuf"] {
        let receiver = Receiver::start().await;
        let ended = run(&receiver, protocol, &["order"], &[]).await;
        let span = receiver.span("order.place");
        assert_eq!(attribute(&span.attributes, "items").as_deref(), Some("int:2"), "{}", ended.stderr);
        assert_eq!(attribute(&span.attributes, "order.id").as_deref(), Some("o-1"));
        assert_eq!(attribute(&span.attributes, "user_agent.synthetic.type").as_deref(), Some("test"));
        assert_eq!(attribute(&span.attributes, "note").as_deref(), Some("last"));
        assert!(span.events.is_empty(), "events are logs");
        let created = receiver.span("create order.accepted");
        assert_eq!(created.parent_span_id, span.span_id);
        assert_eq!(attribute(&created.attributes, "order.id").as_deref(), Some("o-1"));
        let log =
            receiver.logs().into_iter().find(|l| attribute(&l.attributes, "position").is_some()).unwrap();
        assert_eq!((log.trace_id, log.span_id), (span.trace_id, span.span_id));
        let resource = receiver.resource();
        let get = |key| attribute(&resource, key).unwrap();
        assert_eq!([get("service.name"), get("service.version")], ["probe", "1.2.3"]);
        assert_eq!([get("service.namespace"), get("service.criticality")], ["tests", "low"]);
        assert_eq!([get("deployment.environment.name"), get("telemetry.sdk.language")], ["ci", "rust"]);
        assert_eq!(get("service.instance.id").len(), 36);
        let metrics = receiver.got.lock().unwrap().metrics.len();
        assert!(metrics >= 1, "no metrics");
    }
}

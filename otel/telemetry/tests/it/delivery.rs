//! Nothing that was recorded is lost on any way out, and what must be dropped is counted.

use crate::probe::{self, run};
use crate::receiver::{Mood, Receiver};
use std::time::Duration;

const BOTH: [&str; 2] = ["grpc", "http/protobuf"];

#[tokio::test]
async fn every_way_to_end_flushes() {
    for protocol in BOTH {
        for scenario in ["return", "panic", "one-worker", "dropped-inside"] {
            let receiver = Receiver::start().await;
            run(&receiver, protocol, &[scenario], &[]).await;
            assert_eq!(receiver.spans().len(), 1, "{scenario} over {protocol}");
        }
    }
}

#[tokio::test]
async fn a_burst_of_twenty_thousand_spans_loses_nothing_with_our_settings() {
    for protocol in BOTH {
        let receiver = Receiver::start().await;
        let env = [("OTEL_BSP_MAX_QUEUE_SIZE", "65536"), ("OTEL_BSP_SCHEDULE_DELAY", "500")];
        let ended = run(&receiver, protocol, &["burst", "20000"], &env).await;
        assert_eq!(receiver.spans().len(), 20_000, "{protocol}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn what_finds_the_queue_full_is_dropped_and_counted() {
    let receiver = Receiver::start().await;
    receiver.set(Mood::Refuses);
    let env = [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
        ("OTEL_LOGS_EXPORTER", "none"),
        ("OTEL_METRICS_EXPORTER", "none"),
    ];
    let ended = run(&receiver, "grpc", &["burst", "1000"], &env).await;
    assert!(ended.stderr.contains("dropped_queue_full: 900"), "{}", ended.stderr);
    assert!(ended.stderr.contains("dropped_shutdown: 100"), "{}", ended.stderr);
    assert!(ended.stdout.contains("telemetry was dropped"), "{}", ended.stdout);
}

#[tokio::test]
async fn an_outage_of_the_receiver_loses_nothing() {
    for protocol in BOTH {
        let receiver = Receiver::start().await;
        receiver.set(Mood::Refuses);
        let healed = receiver.clone();
        tokio::spawn(async move {
            while healed.paths().is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            tokio::time::sleep(Duration::from_millis(1500)).await;
            healed.set(Mood::Takes);
        });
        let env = [("OTEL_BSP_SCHEDULE_DELAY", "50"), ("OTEL_METRICS_EXPORTER", "none")];
        let ended = run(&receiver, protocol, &["trickle", "100"], &env).await;
        assert_eq!(receiver.spans().len(), 100, "{protocol}: {} {}", ended.stdout, ended.stderr);
        assert!(ended.stdout.contains("telemetry cannot be delivered"), "{}", ended.stdout);
    }
}

#[tokio::test]
async fn a_rejected_batch_is_not_sent_again_and_is_counted() {
    for protocol in BOTH {
        let receiver = Receiver::start().await;
        receiver.set(Mood::Rejects);
        let env = [("OTEL_METRICS_EXPORTER", "none"), ("OTEL_LOGS_EXPORTER", "none")];
        let ended = run(&receiver, protocol, &["burst", "3"], &env).await;
        assert!(ended.stderr.contains("dropped_rejected: 3"), "{protocol}: {}", ended.stderr);
        assert_eq!(receiver.got.lock().unwrap().headers.len(), 1);
    }
}

#[tokio::test]
async fn what_a_partial_success_rejects_is_counted() {
    let receiver = Receiver::start().await;
    receiver.set(Mood::Partial);
    let env = [("OTEL_METRICS_EXPORTER", "none"), ("OTEL_LOGS_EXPORTER", "none")];
    let ended = run(&receiver, "grpc", &["burst", "3"], &env).await;
    assert!(
        ended.stderr.contains("exported: 2") && ended.stderr.contains("dropped_rejected: 1"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn a_receiver_that_hangs_costs_one_deadline_for_three_signals() {
    for protocol in BOTH {
        let receiver = Receiver::start().await;
        receiver.set(Mood::Hangs);
        let started = std::time::Instant::now();
        let ended = run(&receiver, protocol, &["order"], &[]).await;
        assert!(started.elapsed() < Duration::from_secs(14), "three deadlines in a row");
        assert!(ended.stderr.contains("dropped_shutdown: 3"), "{protocol}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_reader_of_standard_output_that_went_away_is_no_reason_to_die() {
    let receiver = Receiver::start().await;
    let endpoint = format!("http://{}", receiver.address);
    let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let mut command = probe::command(&["logs", "5000"], &env);
    let mut child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = probe::ended(child.wait_with_output().await.unwrap());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains("panic"), "{}", ended.stderr);
}

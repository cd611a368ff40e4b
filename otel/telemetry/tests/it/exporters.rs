//! `OTEL_EXPORTER_OTLP_*`, one row of the specification's tables a test, by what a receiver gets.

use crate::matrix::{kinds, order, refusal};
use crate::probe::run;
use crate::receiver::Receiver;
#[tokio::test]
async fn endpoints_are_per_signal_and_over_http_only_the_general_one_gets_a_path() {
    let (own, general) = (Receiver::start().await, Receiver::start().await);
    let (own_url, base) =
        (format!("http://{}/own", own.address), format!("http://{}/base/", general.address));
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", base.as_str()),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", own_url.as_str()),
    ];
    run(&general, "http/protobuf", &["order"], &env).await;
    assert_eq!(own.paths(), ["/own"]);
    assert_eq!(general.paths(), ["/base/v1/logs", "/base/v1/metrics"]);
    for (bad, protocol) in [("not a url", "grpc"), ("ftp://x", "grpc"), ("localhost:4318", "http/protobuf")] {
        let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", bad), ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)];
        assert!(refusal(&env).await.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{bad}");
    }
}

#[tokio::test]
async fn protocols_are_per_signal() {
    let (receiver, _) = order(&[("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/protobuf")]).await;
    assert_eq!(receiver.paths(), ["/v1/logs", "grpc/metrics", "grpc/traces"]);
    for bad in ["http/json", "tcp"] {
        assert!(
            refusal(&[("OTEL_EXPORTER_OTLP_PROTOCOL", bad)]).await.contains("OTEL_EXPORTER_OTLP_PROTOCOL")
        );
    }
}

#[tokio::test]
async fn headers_are_decoded_and_the_signals_own_win() {
    let env = [
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b,x-both=general"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-both=own"),
    ];
    for protocol in ["grpc", "http/protobuf"] {
        let receiver = Receiver::start().await;
        run(&receiver, protocol, &["order"], &env).await;
        assert_eq!(receiver.header("traces", "x-key").as_deref(), Some("a b"), "{protocol}");
        assert_eq!(receiver.header("traces", "x-both").as_deref(), Some("own"), "{protocol}");
        assert_eq!(receiver.header("logs", "x-both").as_deref(), Some("general"), "{protocol}");
    }
    let text = refusal(&[("OTEL_EXPORTER_OTLP_HEADERS", "bad key=secret")]).await;
    assert!(text.contains("OTEL_EXPORTER_OTLP_HEADERS") && !text.contains("secret"), "{text}");
}

#[tokio::test]
async fn compression_is_per_signal() {
    for (protocol, header) in [("grpc", "grpc-encoding"), ("http/protobuf", "content-encoding")] {
        let receiver = Receiver::start().await;
        let env =
            [("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"), ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "zstd")];
        run(&receiver, protocol, &["order"], &env).await;
        assert_eq!(kinds(&receiver), [true; 3], "{protocol}");
        // The HTTP receiver decompresses before it looks, so only gRPC still shows the header there.
        if protocol == "grpc" {
            assert_eq!(receiver.header("traces", header).as_deref(), Some("gzip"));
            assert_eq!(receiver.header("logs", header).as_deref(), Some("zstd"));
        }
    }
    assert!(
        refusal(&[("OTEL_EXPORTER_OTLP_COMPRESSION", "br")]).await.contains("OTEL_EXPORTER_OTLP_COMPRESSION")
    );
}

#[tokio::test]
async fn timeouts_end_an_attempt() {
    for name in ["OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_BSP_EXPORT_TIMEOUT"]
    {
        let receiver = Receiver::start().await;
        receiver.set(crate::receiver::Mood::Hangs);
        let env = [(name, "200"), ("OTEL_METRICS_EXPORTER", "none"), ("OTEL_LOGS_EXPORTER", "none")];
        let ended = run(&receiver, "grpc", &["return"], &env).await;
        assert!(
            receiver.got.lock().unwrap().headers.len() > 3,
            "{name}: was not tried again: {}",
            ended.stderr
        );
        assert!(refusal(&[(name, "0")]).await.contains(name));
        assert!(refusal(&[(name, "5s")]).await.contains(name));
    }
}

#[tokio::test]
async fn an_endpoint_without_scheme_is_https_unless_insecure() {
    let receiver = Receiver::start().await;
    let address = receiver.address.to_string();
    let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", address.as_str()), ("OTEL_EXPORTER_OTLP_INSECURE", "true")];
    run(&receiver, "grpc", &["order"], &env).await;
    assert_eq!(kinds(&receiver), [true; 3]);
    assert!(
        refusal(&[("OTEL_EXPORTER_OTLP_INSECURE", "1"), env[0]])
            .await
            .contains("OTEL_EXPORTER_OTLP_INSECURE")
    );
}

#[tokio::test]
async fn a_certificate_that_cannot_be_read_is_refused() {
    for name in ["CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE", "TRACES_CERTIFICATE"] {
        let name = format!("OTEL_EXPORTER_OTLP_{name}");
        assert!(refusal(&[(&name, "/does/not/exist.pem")]).await.contains(&name));
    }
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn certificates_are_used_for_the_server_and_for_the_client() {
    let pem = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pem");
    let file = |name: &str| pem.join(name).to_string_lossy().into_owned();
    let (ca, chain, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let all = [
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", ca.as_str()),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", chain.as_str()),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", key.as_str()),
    ];
    for protocol in ["grpc", "http/protobuf"] {
        let receiver = Receiver::start_tls(&pem).await;
        let endpoint = format!("https://localhost:{}", receiver.address.port());
        let mut env =
            vec![("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_METRICS_EXPORTER", "none")];
        env.extend(all);
        let ended = run(&receiver, protocol, &["order"], &env).await;
        assert_eq!(kinds(&receiver), [true, false, true], "{protocol}: {} {}", ended.stdout, ended.stderr);

        let stranger = Receiver::start_tls(&pem).await;
        let endpoint = format!("https://localhost:{}", stranger.address.port());
        env[0].1 = &endpoint;
        run(&stranger, protocol, &["order"], &env[..3]).await;
        assert_eq!(kinds(&stranger), [false; 3], "{protocol} without a client certificate");
        run(&stranger, protocol, &["order"], &env[..2]).await;
        assert_eq!(kinds(&stranger), [false; 3], "{protocol} with an unknown authority");
    }
    assert!(refusal(&[all[0], all[1]]).await.contains("CLIENT_KEY"));
    let no_pem = format!("{}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
    assert!(refusal(&[("OTEL_EXPORTER_OTLP_CERTIFICATE", &no_pem)]).await.contains("nothing in PEM"));
}

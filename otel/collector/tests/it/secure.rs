//! TLS on the way in and on the way out.

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;

use crate::papers::{Papers, shown};
use crate::rig::{Backend, Rig, eventually, spans, to_backend};

/// A collector that listens with TLS; with `client_ca` it wants a certificate of its clients as well.
async fn listening(papers: &Papers, backend: &Backend, client_ca: bool) -> Rig {
    let (own, key, ca) = (papers.file("own.pem"), papers.file("own.key"), papers.file("ca.pem"));
    let ca = if client_ca { format!(", client_ca_file: {}", shown(&ca)) } else { String::new() };
    let tls = format!("tls: {{cert_file: {}, key_file: {}{ca}}}", shown(&own), shown(&key));
    let config =
        to_backend(backend.address, "", "").replace("\"127.0.0.1:0\"}", &format!("\"127.0.0.1:0\", {tls}}}"));
    assert!(config.contains("cert_file"), "{config}");
    Rig::start(&config.replacen(&format!("address: \"127.0.0.1:0\", {tls}"), "address: \"127.0.0.1:0\"", 1))
        .await
}

/// A collector whose exporter has these settings.
async fn sending(exporter: &str) -> Rig {
    let retry = "retry_on_failure: {initial_interval: 10ms, max_interval: 20ms}";
    let config = to_backend("127.0.0.1:1".parse().unwrap(), "", "")
        .replace(
            "  otlp:\n    endpoint: 127.0.0.1:1\n    tls: {insecure: true}",
            &format!("  {exporter}\n    {retry}"),
        )
        .replace(
            "exporters: [otlp]",
            if exporter.starts_with("otlphttp") { "exporters: [otlphttp]" } else { "exporters: [otlp]" },
        );
    Rig::start(&config).await
}

#[tokio::test]
async fn both_exporters_reach_both_receivers_behind_tls() {
    let (papers, backend) = (Papers::new(), Backend::start().await);
    let front = listening(&papers, &backend, false).await;
    let ca = shown(&papers.file("ca.pem"));
    let (grpc, http) = (front.address("otlp/grpc").port(), front.address("otlp/http").port());
    let exporters = [
        format!("otlp:\n    endpoint: localhost:{grpc}\n    tls: {{ca_file: {ca}}}"),
        format!("otlphttp:\n    endpoint: https://localhost:{http}\n    tls: {{ca_file: {ca}}}"),
        format!(
            "otlp:\n    endpoint: 127.0.0.1:{grpc}\n    tls: {{ca_file: {ca}, server_name_override: localhost}}"
        ),
        format!(
            "otlphttp:\n    endpoint: https://127.0.0.1:{http}\n    tls: {{ca_file: {ca}, server_name_override: localhost}}"
        ),
    ];
    for (number, exporter) in (0..).zip(&exporters) {
        let rig = sending(exporter).await;
        rig.traces().await.export(spans([number])).await.unwrap();
        eventually(exporter, async || backend.span_numbers().contains(&number).then_some(())).await;
        rig.stop().await;
    }
    front.stop().await;
}

#[tokio::test]
async fn who_is_not_trusted_gets_nothing_and_harms_nobody() {
    let (papers, others, backend) = (Papers::new(), Papers::new(), Backend::start().await);
    let front = listening(&papers, &backend, true).await;
    let port = front.address("otlp/grpc").port();
    let with = |ca: &Papers, own: Option<&Papers>| {
        let own = own.map_or(String::new(), |own| {
            format!(", cert_file: {}, key_file: {}", shown(&own.file("own.pem")), shown(&own.file("own.key")))
        });
        format!(
            "otlp:\n    endpoint: localhost:{port}\n    tls: {{ca_file: {}{own}}}",
            shown(&ca.file("ca.pem"))
        )
    };
    // The server is of another authority; the client has no certificate; its certificate is of another authority.
    for (number, exporter) in
        (0..).zip([with(&others, Some(&papers)), with(&papers, None), with(&papers, Some(&others))])
    {
        let rig = sending(&exporter.replace("tls:", "timeout: 300ms\n    tls:")).await;
        rig.traces().await.export(spans([number])).await.unwrap();
        eventually("an attempt", async || {
            (rig.own("otelcol_exporter_in_flight_requests", "traces").await? > 0.0).then_some(())
        })
        .await;
        rig.stop_within(std::time::Duration::from_millis(300)).await;
    }
    let plain = TraceServiceClient::connect(format!("http://localhost:{port}")).await;
    if let Ok(mut plain) = plain {
        assert!(plain.export(spans([3])).await.is_err());
    }
    let rig = sending(&with(&papers, Some(&papers))).await;
    rig.traces().await.export(spans([4])).await.unwrap();
    eventually("the one who is trusted", async || (!backend.span_numbers().is_empty()).then_some(())).await;
    assert_eq!(backend.span_numbers(), [4]);
    rig.stop().await;
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_no_one_here_wrote_speaks_tls_with_the_receiver() {
    let (papers, backend) = (Papers::new(), Backend::start().await);
    let front = listening(&papers, &backend, false).await;
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&papers.authority));
    let endpoint = format!("https://localhost:{}", front.address("otlp/grpc").port());
    let channel = Endpoint::new(endpoint).unwrap().tls_config(tls).unwrap().connect().await.unwrap();
    TraceServiceClient::new(channel).export(spans([7])).await.unwrap();
    let url = format!("https://localhost:{}/v1/traces", front.address("otlp/http").port());
    let curl = std::process::Command::new("curl")
        .args([
            "-sS",
            "-m",
            "10",
            "--cacert",
            &shown(&papers.file("ca.pem")),
            "-H",
            "content-type: application/json",
        ])
        .args(["-d", r#"{"resourceSpans":[]}"#, &url])
        .output();
    if let Ok(answer) = curl {
        assert_eq!(String::from_utf8_lossy(&answer.stdout), "{}", "{answer:?}");
    }
    eventually("the span", async || (backend.span_numbers() == [7]).then_some(())).await;
    front.stop().await;
}

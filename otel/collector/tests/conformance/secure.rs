//! TLS with the same certificates and the same keys of the configuration: whom the receivers admit, whom the exporters trust,
//! and what becomes of the data where they do not.

use std::io::Write;
use std::net::TcpListener;
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tracing_subscriber::fmt::MakeWriter;

use crate::both::{Both, Side};
use crate::papers::{Papers, shown};
use crate::rig::{Backend, Rig, eventually, spans};

/// Both read this: `RECEIVER` stands for `tls` of both protocols, `EXPORTERS` for all exporters.
const TEXT: &str = r#"
receivers:
  otlp:
    protocols:
      grpc: {endpoint: "${env:WAYBILL_COLLECTOR_GRPC}"RECEIVER}
      http: {endpoint: "${env:WAYBILL_COLLECTOR_HTTP}"RECEIVER}
exporters:
  EXPORTERS
extensions:
  health_check: {endpoint: "${env:WAYBILL_COLLECTOR_HEALTH}"}
service:
  extensions: [health_check]
  telemetry:
    metrics:
      readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: "${env:WAYBILL_COLLECTOR_METRICS_PORT}"}}}}]
  pipelines:
    traces: {receivers: [otlp], exporters: [NAMES]}
"#;

/// One that sends, with what it has to show and whom it trusts.
#[derive(Debug, Clone, Copy)]
struct Caller<'a> {
    trusts: Option<&'a Papers>,
    shows: Option<&'a Papers>,
}

fn text(receiver: &str, exporters: &str, names: &str) -> String {
    TEXT.replace("RECEIVER", receiver).replace("EXPORTERS", exporters).replace("NAMES", names)
}

fn own(papers: &Papers) -> String {
    format!("cert_file: {}, key_file: {}", shown(&papers.file("own.pem")), shown(&papers.file("own.key")))
}

// === impl Caller ===

impl Caller<'_> {
    /// Whether the side takes a span of it.
    async fn over_grpc(self, side: &Side) -> bool {
        let port = side.port("grpc");
        let endpoint = match self.trusts {
            None => Endpoint::new(format!("http://localhost:{port}")).unwrap(),
            Some(papers) => {
                let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&papers.authority));
                if let Some(papers) = self.shows {
                    let file = |name: &str| std::fs::read(papers.file(name)).unwrap();
                    tls = tls.identity(Identity::from_pem(file("own.pem"), file("own.key")));
                }
                let endpoint = Endpoint::new(format!("https://localhost:{port}")).unwrap();
                endpoint.tls_config(tls).unwrap()
            }
        };
        match endpoint.connect().await {
            Ok(channel) => TraceServiceClient::new(channel).export(spans([1])).await.is_ok(),
            Err(_) => false,
        }
    }

    /// The status of the answer to a request; 0 where there is none.
    fn over_http(self, side: &Side) -> u16 {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}"]);
        curl.args(["-H", "content-type: application/json", "-d", "{\"resourceSpans\":[]}"]);
        if let Some(papers) = self.trusts {
            curl.arg("--cacert").arg(papers.file("ca.pem"));
        }
        if let Some(papers) = self.shows {
            curl.arg("--cert").arg(papers.file("own.pem")).arg("--key").arg(papers.file("own.key"));
        }
        let scheme = if self.trusts.is_some() { "https" } else { "http" };
        curl.arg(format!("{scheme}://localhost:{}/v1/traces", side.port("http")));
        let output = curl.output().expect("curl is installed");
        String::from_utf8_lossy(&output.stdout).parse().unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receivers_admit_and_refuse_the_same_callers() {
    let (papers, others) = (Papers::new(), Papers::new());
    let (us, them) = (Some(&papers), Some(&others));
    let client_ca = format!(", client_ca_file: {}", shown(&papers.file("ca.pem")));
    for (client_ca, callers) in [
        // Whom the caller trusts, what it shows, whether it is admitted.
        ("", [(us, None, true), (them, None, false), (None, None, false), (us, them, true)]),
        (client_ca.as_str(), [(us, us, true), (us, None, false), (us, them, false), (them, us, false)]),
    ] {
        let receiver = format!(", tls: {{{}{client_ca}}}", own(&papers));
        let exporter = "otlp_grpc: {endpoint: \"${env:WAYBILL_TRACESTORE_OTLP}\", tls: {insecure: true}}";
        let Some(both) = Both::start_with(&text(&receiver, exporter, "otlp_grpc"), &[]).await else { return };
        for (trusts, shows, admitted) in callers {
            let caller = Caller { trusts, shows };
            let told = (trusts.map(|p| p.file("ca.pem")), shows.map(|p| p.file("own.pem")), client_ca);
            for side in both.sides() {
                let name = side.name;
                assert_eq!(caller.over_grpc(side).await, admitted, "{name}: {told:?}");
                assert_eq!(caller.over_http(side) == 200, admitted, "{name}: {told:?}");
            }
            // Who speaks plain HTTP is told so.
            if trusts.is_none() {
                assert_eq!(both.sides().map(|side| caller.over_http(side)), [400, 400]);
            }
        }
        for side in both.sides() {
            let taken = async || (!side.backend.span_numbers().is_empty()).then_some(());
            eventually(&format!("spans behind {}", side.name), taken).await;
        }
    }
}

/// What listens with TLS at the end: a collector with a backend, on ports that outlive it.
struct Front {
    backend: Backend,
    ports: [u16; 2],
}

impl Front {
    async fn new() -> Self {
        let held = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        Self { backend: Backend::start().await, ports: held.map(|one| one.local_addr().unwrap().port()) }
    }

    /// With the certificate of `papers`, for clients with one of theirs.
    async fn start(&self, papers: &Papers) -> Rig {
        let tls = format!("{}, client_ca_file: {}", own(papers), shown(&papers.file("ca.pem")));
        let [grpc, http] =
            self.ports.map(|port| format!("{{endpoint: \"127.0.0.1:{port}\", tls: {{{tls}}}}}"));
        Rig::start(&format!(
            "receivers: {{otlp: {{protocols: {{grpc: {grpc}, http: {http}}}}}}}\n\
             exporters: {{otlp: {{endpoint: \"{}\", tls: {{insecure: true}}}}}}\n\
             service: {{telemetry: {{metrics: {{address: \"127.0.0.1:0\"}}}}, \
             pipelines: {{traces: {{receivers: [otlp], exporters: [otlp]}}}}}}",
            self.backend.address
        ))
        .await
    }

    /// Both exporters, which trust the authority of `trusts` and show the certificate of `shows`: one by the name of the
    /// certificate, one by an address and `server_name_override`.
    fn exporters(&self, trusts: &Papers, shows: &Papers) -> String {
        let tls = format!("ca_file: {}, {}", shown(&trusts.file("ca.pem")), own(shows));
        let retry = "retry_on_failure: {initial_interval: 50ms, max_interval: 200ms, max_elapsed_time: 0s}";
        let [grpc, http] = self.ports;
        format!(
            "otlp_grpc: {{endpoint: \"localhost:{grpc}\", tls: {{{tls}}}, {retry}}}\n  \
             otlp_http: {{endpoint: \"https://127.0.0.1:{http}\", \
             tls: {{{tls}, server_name_override: localhost}}, {retry}}}"
        )
    }

    /// Waits until every number was taken from both exporters.
    async fn has_twice(&self, numbers: &[u64]) {
        let want: Vec<u64> = numbers.iter().flat_map(|n| [*n, *n]).collect();
        eventually("all spans, from both exporters", async || {
            (self.backend.span_numbers() == want).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exporters_reach_who_is_trusted_with_the_same_keys() {
    let (papers, front) = (Papers::new(), Front::new().await);
    let exporters = front.exporters(&papers, &papers);
    let Some(both) = Both::start_with(&text("", &exporters, "otlp_grpc, otlp_http"), &[]).await else {
        return;
    };
    let listening = front.start(&papers).await;
    for (number, side) in (1..).zip(both.sides()) {
        side.traces().await.export(spans([number])).await.unwrap();
    }
    front.has_twice(&[1, 2]).await;
    listening.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_sent_to_one_who_is_not_trusted_is_kept_told_and_sent_later() {
    let said = said();
    let (papers, others, front) = (Papers::new(), Papers::new(), Front::new().await);
    let exporters = front.exporters(&others, &others);
    let Some(both) = Both::start_with(&text("", &exporters, "otlp_grpc, otlp_http"), &[]).await else {
        return;
    };
    let listening = front.start(&papers).await;
    for (number, side) in (1..).zip(both.sides()) {
        side.traces().await.export(spans([number])).await.unwrap();
    }
    for exporter in ["otlp_grpc", "otlp_http"] {
        let told = |log: &str, why: &str| {
            let about = |line: &&str| line.contains(exporter) && line.contains(why);
            (log.lines().filter(about).count() > 1).then_some(())
        };
        eventually(&format!("official: {exporter} says twice why"), async || {
            told(&both.official_log(), "certificate signed by unknown authority")
        })
        .await;
        eventually(&format!("ours: {exporter} says twice why"), async || {
            told(&String::from_utf8_lossy(&said.lock().unwrap()), "invalid peer certificate")
        })
        .await;
    }
    assert_eq!(front.backend.span_numbers(), Vec::<u64>::new());
    listening.stop().await;
    let trusted = front.start(&others).await;
    front.has_twice(&[1, 2]).await;
    trusted.stop().await;
}

/// What this process logs.
fn said() -> Arc<Mutex<Vec<u8>>> {
    static SAID: LazyLock<Arc<Mutex<Vec<u8>>>> = LazyLock::new(|| {
        let said = Said::default();
        // Another test may have set one: then nothing is said here, and the test fails.
        drop(tracing_subscriber::fmt().with_ansi(false).with_writer(said.clone()).try_init());
        said.0
    });
    SAID.clone()
}

#[derive(Debug, Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Said {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

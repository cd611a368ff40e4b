//! The duration metrics of the HTTP and RPC conventions, recorded by the layers.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter};
use opentelemetry_semantic_conventions::metric;

/// Advised bucket boundaries in seconds (HTTP and RPC metric conventions).
const BUCKETS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// One histogram for each side of each protocol, all in seconds.
#[derive(Debug)]
pub(crate) struct Instruments {
    pub(crate) http_server: Histogram<f64>,
    pub(crate) http_client: Histogram<f64>,
    pub(crate) rpc_server: Histogram<f64>,
    pub(crate) rpc_client: Histogram<f64>,
}

/// Which of the instruments an operation belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    HttpServer,
    HttpClient,
    RpcServer,
    RpcClient,
}

// === impl Instruments ===

impl Instruments {
    pub(crate) fn new(meter: &Meter) -> Self {
        let histogram = |name: &'static str, what: &'static str| {
            meter
                .f64_histogram(name)
                .with_unit("s")
                .with_description(what)
                .with_boundaries(BUCKETS.to_vec())
                .build()
        };
        Self {
            http_server: histogram(metric::HTTP_SERVER_REQUEST_DURATION, "Duration of HTTP server requests."),
            http_client: histogram(metric::HTTP_CLIENT_REQUEST_DURATION, "Duration of HTTP client requests."),
            rpc_server: histogram(
                metric::RPC_SERVER_CALL_DURATION,
                "Measures the duration of inbound remote procedure calls.",
            ),
            rpc_client: histogram(
                metric::RPC_CLIENT_CALL_DURATION,
                "Measures the duration of outbound remote procedure calls.",
            ),
        }
    }

    pub(crate) fn record(&self, side: Side, seconds: f64, attributes: &[KeyValue]) {
        match side {
            Side::HttpServer => self.http_server.record(seconds, attributes),
            Side::HttpClient => self.http_client.record(seconds, attributes),
            Side::RpcServer => self.rpc_server.record(seconds, attributes),
            Side::RpcClient => self.rpc_client.record(seconds, attributes),
        }
    }
}

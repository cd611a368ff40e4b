//! Settings of what listens: OTLP over gRPC (`configgrpc` upstream) and over HTTP (`confighttp` upstream).

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use super::section::Section;

/// The largest message taken, before and after decompression (OTLP 1.11 recommends 64 MiB).
const DEFAULT_LIMIT: usize = 64 << 20;

/// `receivers::otlp::protocols::grpc`.
#[derive(Debug, Clone)]
pub(crate) struct GrpcServer {
    /// Where to listen; port 0 lets the kernel choose.
    pub(crate) endpoint: SocketAddr,
    /// Certificates; `None` is plain text.
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    /// Largest message in bytes, also after decompression.
    pub(crate) max_message: usize,
    /// Streams that one connection may have open.
    pub(crate) max_streams: u32,
    /// How long a request's body may take to arrive.
    pub(crate) read_timeout: Duration,
    /// Pings a silent connection after this long.
    pub(crate) keepalive: Duration,
    /// Closes it when the ping stays unanswered for this long.
    pub(crate) keepalive_timeout: Duration,
}

/// `receivers::otlp::protocols::http`.
#[derive(Debug, Clone)]
pub(crate) struct HttpServer {
    /// Where to listen; port 0 lets the kernel choose.
    pub(crate) endpoint: SocketAddr,
    /// Certificates; `None` is plain text.
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    /// Largest body in bytes, also after decompression.
    pub(crate) max_body: usize,
    /// How long a request's head may take to arrive.
    pub(crate) header_timeout: Duration,
    /// How long a request's body may take to arrive.
    pub(crate) read_timeout: Duration,
    /// Paths for traces, logs and metrics.
    pub(crate) paths: [String; 3],
}

// === impl GrpcServer ===

impl GrpcServer {
    pub(crate) fn read(mut section: Section) -> Option<Self> {
        let endpoint = endpoint(&mut section, Some("localhost:4317"));
        let limit = section.number("max_recv_msg_size_mib").filter(|mib| *mib > 0);
        let max_message =
            limit.map_or(DEFAULT_LIMIT, |mib| bounded_mib(&section, "max_recv_msg_size_mib", mib));
        let max_streams = section.number("max_concurrent_streams").unwrap_or(256);
        let mut keep = section.section_or_empty("keepalive");
        let mut parameters = keep.section_or_empty("server_parameters");
        let keepalive = parameters.duration("time", Duration::from_secs(60));
        let keepalive_timeout = parameters.duration("timeout", Duration::from_secs(20));
        parameters.unsupported(&["max_connection_idle", "max_connection_age", "max_connection_age_grace"]);
        parameters.finish();
        keep.unsupported(&["enforcement_policy"]);
        keep.finish();
        transport(&mut section);
        let tls = super::tls::server(&mut section);
        section.unsupported(&["auth", "middlewares", "read_buffer_size", "write_buffer_size"]);
        section.flag("include_metadata", false);
        section.finish();
        Some(Self {
            endpoint: endpoint?,
            tls,
            max_message,
            max_streams: u32::try_from(max_streams).unwrap_or(u32::MAX),
            read_timeout: Duration::from_secs(30),
            keepalive,
            keepalive_timeout,
        })
    }
}

// === impl HttpServer ===

impl HttpServer {
    pub(crate) fn read(mut section: Section) -> Option<Self> {
        let endpoint = endpoint(&mut section, Some("localhost:4318"));
        let limit = section.number("max_request_body_size").filter(|bytes| *bytes > 0);
        let header_timeout = section.duration("read_header_timeout", Duration::from_secs(60));
        let read_timeout = section.duration("read_timeout", Duration::from_secs(30));
        let paths = ["traces", "logs", "metrics"].map(|signal| {
            let key = format!("{signal}_url_path");
            let path = section.text(&key).unwrap_or_else(|| format!("/v1/{signal}"));
            if path.starts_with('/') { path } else { format!("/{path}") }
        });
        transport(&mut section);
        let tls = super::tls::server(&mut section);
        section.unsupported(&[
            "auth",
            "middlewares",
            "cors",
            "response_headers",
            "compression_algorithms",
            "write_timeout",
            "idle_timeout",
            "keep_alives_enabled",
        ]);
        section.flag("include_metadata", false);
        section.finish();
        Some(Self {
            endpoint: endpoint?,
            tls,
            max_body: limit.map_or(DEFAULT_LIMIT, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
            header_timeout,
            read_timeout,
            paths,
        })
    }
}

/// Reads `endpoint` as an address to listen on.
pub(crate) fn endpoint(section: &mut Section, default: Option<&str>) -> Option<SocketAddr> {
    let Some(text) = section.text("endpoint").or_else(|| default.map(str::to_owned)) else {
        section.fault("endpoint", "is required");
        return None;
    };
    match listen_address(&text) {
        Ok(address) => Some(address),
        Err(reason) => {
            section.fault("endpoint", reason);
            None
        }
    }
}

/// `host:port`, where an empty host means all interfaces as it does in Go.
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let full = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
    let mut found = full
        .to_socket_addrs()
        .map_err(|error| format!("`{text}` is not an address to listen on: {error}"))?;
    found.next().ok_or_else(|| format!("`{text}` names no address"))
}

fn transport(section: &mut Section) {
    if let Some(transport) = section.text("transport")
        && transport != "tcp"
    {
        section.fault("transport", format_args!("`{transport}` is not supported, only tcp is"));
    }
}

fn bounded_mib(section: &Section, key: &str, mib: u64) -> usize {
    // gRPC's length prefix has 32 bits: a larger limit could never be met.
    if mib > 4095 {
        section.fault(key, format_args!("{mib} is more than 4095, the most that gRPC can carry"));
    }
    usize::try_from(mib.saturating_mul(1 << 20)).unwrap_or(usize::MAX)
}

//! Settings of what sends: address, headers, compression, time-out, TLS (`configgrpc` and `confighttp` clients upstream).

use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};

use super::section::Section;
use super::tls::ClientTls;

/// How messages are compressed on their way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// Not at all.
    None,
    /// gzip, the default upstream.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// What the `otlp` and `otlphttp` exporters share.
#[derive(Debug, Clone)]
pub(crate) struct ClientConfig {
    /// Compression of each request.
    pub(crate) compression: Compression,
    /// Headers (metadata) sent with each request.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// How long one attempt may take.
    pub(crate) timeout: Duration,
    /// How the backend is trusted, where it is not spoken to in plain text.
    pub(crate) tls: ClientTls,
}

// === impl ClientConfig ===

impl ClientConfig {
    pub(crate) fn read(section: &mut Section, timeout: Duration) -> Self {
        Self {
            compression: compression(section),
            headers: headers(section),
            timeout: section.duration("timeout", timeout),
            tls: ClientTls::read(section),
        }
    }
}

/// Reads `endpoint` as the gRPC exporter's target: `host:port`, or a URL whose scheme decides about TLS.
pub(crate) fn grpc_target(section: &mut Section, insecure: bool) -> Option<Uri> {
    let text = required(section, "endpoint")?;
    let scheme = if insecure { "http" } else { "https" };
    let with_scheme = if text.contains("://") { text.clone() } else { format!("{scheme}://{text}") };
    let uri = with_scheme.parse::<Uri>().ok().filter(|uri| uri.port_u16().is_some() || text.contains("://"));
    let known = uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    if known.is_none() {
        section.fault("endpoint", format_args!("`{text}` is not host:port"));
    }
    known
}

/// Reads `key` as the URL of an HTTP backend.
pub(crate) fn http_target(section: &mut Section, key: &str, text: &str) -> Option<Uri> {
    match text.parse::<Uri>() {
        Ok(uri) if matches!(uri.scheme_str(), Some("http" | "https")) => Some(uri),
        _ => {
            section.fault(key, format_args!("`{text}` is not a URL such as http://127.0.0.1:4318"));
            None
        }
    }
}

/// Takes a text that has to be there.
pub(crate) fn required(section: &mut Section, key: &str) -> Option<String> {
    let text = section.text(key).filter(|text| !text.is_empty());
    if text.is_none() {
        section.fault(key, "is required");
    }
    text
}

fn compression(section: &mut Section) -> Compression {
    match section.text("compression").as_deref() {
        None | Some("gzip") => Compression::Gzip,
        Some("none" | "") => Compression::None,
        Some("zstd") => Compression::Zstd,
        Some(other) => {
            section.fault("compression", format_args!("`{other}` is none of gzip, zstd, none"));
            Compression::None
        }
    }
}

fn headers(section: &mut Section) -> Vec<(HeaderName, HeaderValue)> {
    let path = section.at("headers");
    let report = section.report().clone();
    let pairs = section.text_map("headers").into_iter();
    pairs
        .filter_map(|(name, value)| {
            let parsed =
                name.to_ascii_lowercase().parse::<HeaderName>().ok().zip(value.parse::<HeaderValue>().ok());
            if parsed.is_none() {
                // The value may be a secret: only the name is shown.
                report.fault(&format!("{path}::{name}"), "is not a header that can be sent");
            }
            parsed
        })
        .collect()
}

//! Settings of what sends: address, headers, compression, time-out, TLS (`configgrpc` and `confighttp` clients upstream).

use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};

use super::section::Section;

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
    /// Whether plain text was asked for.
    pub(crate) insecure: bool,
}

// === impl ClientConfig ===

impl ClientConfig {
    pub(crate) fn read(section: &mut Section, timeout: Duration) -> Self {
        Self {
            compression: compression(section),
            headers: headers(section),
            timeout: section.duration("timeout", timeout),
            insecure: insecure(section),
        }
    }
}

/// Reads `endpoint` as the gRPC exporter's target: `host:port`, or a URL whose scheme decides about TLS.
pub(crate) fn grpc_target(section: &mut Section, insecure: bool) -> Option<Uri> {
    let text = required(section, "endpoint")?;
    let with_scheme = if text.contains("://") { text.clone() } else { format!("http://{text}") };
    let uri = with_scheme.parse::<Uri>().ok().filter(|uri| uri.port_u16().is_some() || text.contains("://"));
    let Some(uri) = uri else {
        section.fault("endpoint", format_args!("`{text}` is not host:port"));
        return None;
    };
    let plain = text.starts_with("http://") || (insecure && !text.starts_with("https://"));
    plain_only(section, &uri, plain)
}

/// Reads `key` as the URL of an HTTP backend.
pub(crate) fn http_target(section: &mut Section, key: &str, text: &str) -> Option<Uri> {
    match text.parse::<Uri>() {
        Ok(uri) if uri.scheme_str() == Some("http") => Some(uri),
        Ok(uri) if uri.scheme_str() == Some("https") => plain_only(section, &uri, false),
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

fn plain_only(section: &Section, uri: &Uri, plain: bool) -> Option<Uri> {
    if plain {
        return Some(uri.clone());
    }
    let remedy = "this collector speaks plain text only: set `tls: {insecure: true}` for a backend on this host, \
                  or put a TLS proxy in between";
    section.fault("tls", format_args!("{uri} needs TLS, and {remedy}"));
    None
}

fn insecure(section: &mut Section) -> bool {
    let mut tls = section.section_or_empty("tls");
    let insecure = tls.flag("insecure", false);
    tls.flag("insecure_skip_verify", false);
    tls.unsupported(&[
        "ca_file",
        "ca_pem",
        "cert_file",
        "cert_pem",
        "key_file",
        "key_pem",
        "min_version",
        "max_version",
        "cipher_suites",
        "curve_preferences",
        "include_system_ca_certs_pool",
        "reload_interval",
        "server_name_override",
        "tpm",
    ]);
    tls.finish();
    insecure
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

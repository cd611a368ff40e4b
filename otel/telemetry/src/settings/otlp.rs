//! `OTEL_EXPORTER_OTLP_*`, general and per signal: the signal's own wins.

use super::reader::Reader;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// The three signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Traces,
    Metrics,
    Logs,
}

/// How a signal is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Grpc,
    HttpProtobuf,
}

/// How requests are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Zstd,
}

/// One signal's OTLP exporter.
#[derive(Debug, Clone)]
pub(crate) struct Otlp {
    pub(crate) protocol: Protocol,
    /// Complete: with scheme, and over HTTP with the signal's path.
    pub(crate) endpoint: String,
    pub(crate) headers: HeaderMap,
    pub(crate) timeout: Duration,
    pub(crate) compression: Option<Compression>,
    pub(crate) tls: Tls,
}

/// Files in PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    pub(crate) certificate: Option<Vec<u8>>,
    pub(crate) client: Option<(Vec<u8>, Vec<u8>)>,
}

// === impl Signal ===

impl Signal {
    pub(crate) fn upper(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Metrics => "METRICS",
            Self::Logs => "LOGS",
        }
    }

    pub(crate) fn lower(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    pub(super) fn variable(self, prefix: &str, suffix: &str) -> String {
        format!("{prefix}{}{suffix}", self.upper())
    }

    /// The signal's own variable, then the general one.
    fn names(self, what: &str) -> [String; 2] {
        [format!("OTEL_EXPORTER_OTLP_{}_{what}", self.upper()), format!("OTEL_EXPORTER_OTLP_{what}")]
    }
}

// === impl Otlp ===

impl Otlp {
    /// `None` when there was something to complain about.
    pub(super) fn read(r: &mut Reader<'_>, signal: Signal) -> Option<Self> {
        let protocols = [("grpc", Protocol::Grpc), ("http/protobuf", Protocol::HttpProtobuf)];
        let protocol = each(r, &signal.names("PROTOCOL"), |r, name| r.choice(name, &protocols))
            .unwrap_or(Protocol::HttpProtobuf);
        let compressions =
            [("none", None), ("gzip", Some(Compression::Gzip)), ("zstd", Some(Compression::Zstd))];
        let compression = each(r, &signal.names("COMPRESSION"), |r, name| r.choice(name, &compressions));
        let timeout = each(r, &signal.names("TIMEOUT"), |r, name| r.millis(name, 1));
        let tls = Tls::read(r, signal);
        let headers = headers(r, signal);
        let endpoint = endpoint(r, signal, protocol)?;
        Some(Self {
            protocol,
            endpoint,
            headers,
            timeout: timeout.unwrap_or(Duration::from_secs(10)),
            compression: compression.flatten(),
            tls,
        })
    }
}

// === impl Tls ===

impl Tls {
    fn read(r: &mut Reader<'_>, signal: Signal) -> Self {
        let certificate = file(r, &signal.names("CERTIFICATE"));
        let (key, chain) =
            (file(r, &signal.names("CLIENT_KEY")), file(r, &signal.names("CLIENT_CERTIFICATE")));
        let client = match (chain, key) {
            (Some(chain), Some(key)) => Some((chain, key)),
            (None, None) => None,
            _ => {
                let [name, _] = signal.names("CLIENT_KEY");
                r.complain(&name, "the client's key and certificate are only of use together");
                None
            }
        };
        let tls = Self { certificate, client };
        if !cfg!(feature = "tls") && tls != Self::default() {
            let [_, name] = signal.names("CERTIFICATE");
            r.complain(&name, "this program was built without the feature `tls`");
        }
        tls
    }
}

/// Reads both names, so that a bad general value is found even where the signal has its own.
fn each<T>(
    r: &mut Reader<'_>,
    names: &[String; 2],
    read: impl Fn(&mut Reader<'_>, &str) -> Option<T>,
) -> Option<T> {
    let [own, general] = names;
    let (own, general) = (read(r, own), read(r, general));
    own.or(general)
}

fn file(r: &mut Reader<'_>, names: &[String; 2]) -> Option<Vec<u8>> {
    let (name, path) = r.first(names).map(|(name, path)| (name.to_owned(), PathBuf::from(path)))?;
    match std::fs::read(&path) {
        Ok(pem) if pem.windows(11).any(|text| text == b"-----BEGIN ") => Some(pem),
        Ok(_) => {
            r.complain(&name, format!("`{}` holds nothing in PEM", path.display()));
            None
        }
        Err(error) => {
            r.complain(&name, format!("cannot read `{}`: {error}", path.display()));
            None
        }
    }
}

/// `key=value,key=value`, values percent-decoded (W3C Baggage format without properties).
fn headers(r: &mut Reader<'_>, signal: Signal) -> HeaderMap {
    let names = signal.names("HEADERS");
    let mut headers = HeaderMap::new();
    for name in names.iter().rev() {
        let value = r.env.get(name).unwrap_or_default();
        for pair in value.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            match pair.split_once('=').and_then(|(key, value)| header(key, value)) {
                Some((key, value)) => {
                    headers.insert(key, value);
                }
                // The value may be a secret: only the key is shown.
                None => {
                    let key = pair.split('=').next().unwrap_or_default();
                    r.complain(name, format!("`{key}…` is not a header as key=value, percent-encoded"));
                }
            }
        }
    }
    headers
}

fn header(key: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let key = HeaderName::try_from(key.trim().to_ascii_lowercase()).ok()?;
    let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
    let mut value = HeaderValue::try_from(value.into_owned()).ok()?;
    value.set_sensitive(true);
    Some((key, value))
}

/// Over HTTP the general endpoint is a base to which the signal's path is added; the signal's own is taken as it is.
fn endpoint(r: &mut Reader<'_>, signal: Signal, protocol: Protocol) -> Option<String> {
    let names = signal.names("ENDPOINT");
    let insecure = each(r, &signal.names("INSECURE"), |r, name| {
        r.env.get(name).is_some().then(|| r.boolean(name, false))
    });
    let found = r.first(&names).map(|(name, value)| (name.to_owned(), value.to_owned()));
    let Some((name, value)) = found else {
        return Some(match protocol {
            Protocol::Grpc => "http://localhost:4317".to_owned(),
            Protocol::HttpProtobuf => format!("http://localhost:4318/v1/{}", signal.lower()),
        });
    };
    let url = match (value.contains("://"), protocol) {
        (true, _) => value.clone(),
        (false, Protocol::Grpc) if insecure == Some(true) => format!("http://{value}"),
        (false, Protocol::Grpc) => format!("https://{value}"),
        (false, Protocol::HttpProtobuf) => {
            r.complain(&name, format!("`{value}` has no scheme; write http:// or https:// before it"));
            return None;
        }
    };
    match Url::parse(&url) {
        Ok(parsed) if parsed.scheme() == "https" && !cfg!(feature = "tls") => {
            let hint = if value.contains("://") {
                ""
            } else {
                "; without a scheme it is https unless …_INSECURE=true"
            };
            r.complain(
                &name,
                format!("`{value}` is https but this program was built without the feature `tls`{hint}"),
            );
            None
        }
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") && parsed.has_host() => {
            let general = name == names[1] && protocol == Protocol::HttpProtobuf;
            let base = url.trim_end_matches('/');
            Some(if general { format!("{base}/v1/{}", signal.lower()) } else { url })
        }
        _ => {
            r.complain(&name, format!("`{value}` is not an http:// or https:// URL"));
            None
        }
    }
}

//! Which trace store is asked, and how: the flags that `where`, `lost` and `doctor` have in common.

use std::{fs, path::PathBuf, time::Duration};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use url::Url;

use super::{AskError, Places};

/// Where a trace store usually is.
const USUAL: &str = "http://127.0.0.1:16686";

/// Where the trace store is.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct BackendArgs {
    /// Base URL of any Jaeger: the embedded store, Jaeger 2, or an older one; with its base path
    /// [default: what --endpoints says, else http://127.0.0.1:16686]
    #[arg(long, value_name = "URL", env = "WAYBILL_JAEGER_URL")]
    jaeger: Option<String>,
    /// `endpoints.json` of a running `waybill up`: where its trace store and its services are
    /// [default: data/endpoints.json, when it is there and --jaeger is not given]
    #[arg(long, value_name = "FILE")]
    endpoints: Option<PathBuf>,
    /// PEM file with the authorities that its certificate may be of [default: the system's, or those of SSL_CERT_FILE]
    #[arg(long, value_name = "FILE", env = "WAYBILL_JAEGER_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// File with a bearer token for it
    #[arg(long, value_name = "FILE", env = "WAYBILL_JAEGER_TOKEN_FILE", conflicts_with = "user")]
    token_file: Option<PathBuf>,
    /// Name and password for it; better by environment than on the command line
    #[arg(long, value_name = "NAME:PASSWORD", env = "WAYBILL_JAEGER_USER", hide_env_values = true)]
    user: Option<String>,
    /// Longest time that one answer may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Most that is read of one answer, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=4096))]
    max_answer: u64,
}

/// The flags, checked.
#[derive(Debug, Clone)]
pub(super) struct Options {
    /// Without credentials, query and trailing slash.
    pub(super) url: String,
    pub(super) tls: bool,
    /// The only authorities that are trusted; none: those of the system.
    pub(super) authorities: Option<Vec<CertificateDer<'static>>>,
    /// Value of the `authorization` header.
    pub(super) authorization: Option<http::HeaderValue>,
    pub(super) timeout: Duration,
    pub(super) max_answer_mib: u64,
}

// === impl BackendArgs ===

impl BackendArgs {
    /// The store at `url`, asked with the default limits and no credentials.
    pub(crate) fn at(url: &str) -> Self {
        let timeout = Duration::from_secs(10);
        Self {
            jaeger: Some(url.to_owned()),
            endpoints: None,
            ca_file: None,
            token_file: None,
            user: None,
            timeout,
            max_answer: 64,
        }
    }

    /// Where the other parts are. The usual file is not read for a store that was named: they need not belong together.
    ///
    /// # Errors
    /// When the file is there and cannot be used.
    pub(crate) fn places(&self) -> Result<Places, AskError> {
        Places::read(self.endpoints.as_ref(), self.jaeger.is_none())
    }

    pub(super) fn checked(&self) -> Result<Options, AskError> {
        let text = match &self.jaeger {
            Some(url) => url.clone(),
            None => self.places()?.port("tracestore", "http").unwrap_or_else(|| USUAL.to_owned()),
        };
        let bad = |why: &str| AskError::Settings(format!("--jaeger {text:?}: {why}"));
        let mut url = Url::parse(&text).map_err(|e| bad(&format!("{e}; a URL such as {USUAL}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(bad("only http:// and https:// URLs are asked"));
        }
        let authorization = self.authorization(&url)?;
        let authorities = self.authorities()?;
        let _ = (url.set_username(""), url.set_password(None));
        url.set_query(None);
        url.set_fragment(None);
        Ok(Options {
            tls: url.scheme() == "https",
            url: base(url.as_str()).to_owned(),
            authorization,
            authorities,
            timeout: self.timeout,
            max_answer_mib: self.max_answer,
        })
    }

    fn authorities(&self) -> Result<Option<Vec<CertificateDer<'static>>>, AskError> {
        let Some(file) = &self.ca_file else { return Ok(None) };
        let bad =
            |why: &dyn std::fmt::Display| AskError::Settings(format!("--ca-file {}: {why}", file.display()));
        let pem = fs::read(file).map_err(|e| bad(&e))?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        match found {
            Ok(found) if found.is_empty() => Err(bad(&"there is no certificate in it; a PEM file is wanted")),
            Ok(found) => Ok(Some(found)),
            Err(e) => Err(bad(&e)),
        }
    }

    fn authorization(&self, url: &Url) -> Result<Option<http::HeaderValue>, AskError> {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let in_url = || {
            let decoded = |s: &str| percent_encoding::percent_decode_str(s).decode_utf8_lossy().into_owned();
            let name = Some(url.username()).filter(|n| !n.is_empty())?;
            Some(format!("{}:{}", decoded(name), decoded(url.password().unwrap_or_default())))
        };
        let value = match (&self.token_file, self.user.clone().or_else(in_url)) {
            (Some(file), _) => {
                let token = fs::read_to_string(file)
                    .map_err(|e| AskError::Settings(format!("--token-file {}: {e}", file.display())))?;
                format!("Bearer {}", token.trim())
            }
            (None, Some(user)) if user.contains(':') => format!("Basic {}", STANDARD.encode(user)),
            (None, Some(_)) => return Err(AskError::Settings("--user: NAME:PASSWORD is wanted".into())),
            (None, None) => return Ok(None),
        };
        let mut value = http::HeaderValue::try_from(value)
            .map_err(|_| AskError::Settings("the token holds characters that no header may".into()))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// People paste what the browser shows: `/search` and `/trace/…` are pages of the UI, not part of its base path.
fn base(url: &str) -> &str {
    let pages = ["/search", "/trace/", "/api/traces", "/api/v3", "/dependencies", "/monitor"];
    let end = pages.iter().filter_map(|page| url.find(page)).min().unwrap_or(url.len());
    url[..end].trim_end_matches('/')
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_the_browser_shows_is_cut_down_to_the_base_url() {
        let url = |text: &str| BackendArgs::at(text).checked().unwrap().url;
        assert_eq!(url("http://j:16686"), "http://j:16686");
        assert_eq!(url("https://j/jaeger/search?service=auth"), "https://j/jaeger");
        assert_eq!(url("http://j:16686/trace/abc#x"), "http://j:16686");
    }

    #[test]
    fn credentials_in_the_url_become_a_header_and_leave_the_url() {
        let options = BackendArgs::at("http://ada:s%20x@j:1/").checked().unwrap();
        assert_eq!(options.url, "http://j:1");
        assert_eq!(options.authorization.unwrap(), "Basic YWRhOnMgeA==");
    }

    #[test]
    fn what_is_no_url_is_refused_with_an_example() {
        for text in ["localhost:16686", "ftp://j", "", "http://"] {
            assert!(matches!(BackendArgs::at(text).checked(), Err(AskError::Settings(_))), "{text}");
        }
    }
}

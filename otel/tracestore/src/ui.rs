//! The real Jaeger UI, embedded at build time (see `build.rs`) and set up by rewriting its page, as the Jaeger query
//! service does.

mod assets;
mod options;
mod page;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    HeaderName, HeaderValue, IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, StatusCode, Uri};

use assets::Asset;
pub use options::{LinkPattern, LinkPlace, MenuItem, UiOptions};
pub use page::UiError;

/// What the UI may load: itself, and the workers and WebAssembly with which it lays out graphs.
const POLICY: &str = "default-src 'self'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; \
    worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
    connect-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'";

/// The UI as it is served.
pub(crate) struct Ui {
    base_path: String,
    page: String,
    tag: HeaderValue,
}

impl Ui {
    pub(crate) fn new(options: &UiOptions) -> Result<Self, UiError> {
        let base_path = options.normal_base_path()?;
        let page = page::page(assets::INDEX, &base_path, options)?;
        // Weak, because the page may be compressed on the way.
        let tag = format!("W/\"{:016x}\"", twox_hash::XxHash3_64::oneshot(page.as_bytes()));
        let tag = HeaderValue::try_from(tag).unwrap_or_else(|_| HeaderValue::from_static("W/\"0\""));
        Ok(Self { base_path, page, tag })
    }

    /// Starts and ends with a slash.
    pub(crate) fn base_path(&self) -> &str {
        &self.base_path
    }

    fn page(&self, headers: &HeaderMap) -> Response {
        let validators = [(ETAG, self.tag.clone()), (CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
        let known = headers.get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()).unwrap_or_default();
        let own = self.tag.to_str().unwrap_or_default();
        if known.split(',').any(|tag| tag.trim() == own || tag.trim() == "*") {
            return (StatusCode::NOT_MODIFIED, validators).into_response();
        }
        let kind = [(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))];
        (kind, validators, security(), self.page.clone()).into_response()
    }
}

/// `GET` and `HEAD` of any path that is not the API's: an asset below `static/`, else the page, which reads the path
/// itself. Unlike a redirect or an error status, 200 is what links, probes and scripts expect of it.
pub(crate) async fn serve(State(ui): State<Arc<Ui>>, uri: Uri, headers: HeaderMap) -> Response {
    match uri.path().strip_prefix("/static/") {
        Some(name) => match Asset::find(name) {
            Some(asset) => asset_reply(asset, &headers),
            None => {
                (StatusCode::NOT_FOUND, security(), format!("the UI has no file {name:?}\n")).into_response()
            }
        },
        None => ui.page(&headers),
    }
}

fn asset_reply(asset: &'static Asset, headers: &HeaderMap) -> Response {
    // The names hold a hash of the content, so they never mean anything else. The licence's does not.
    let caching = if asset.is_hashed() { "public, max-age=31536000, immutable" } else { "no-cache" };
    let about = [(CONTENT_TYPE, asset.content_type()), (CACHE_CONTROL, caching), (VARY, "accept-encoding")];
    if takes_gzip(headers) {
        return (about, [(CONTENT_ENCODING, "gzip")], security(), asset.gzip).into_response();
    }
    match asset.plain() {
        Ok(plain) => (about, security(), plain).into_response(),
        Err(error) => {
            tracing::error!(asset = asset.name, error = %error, "embedded asset cannot be unpacked");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn security() -> [(HeaderName, &'static str); 4] {
    [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "SAMEORIGIN"),
        (REFERRER_POLICY, "same-origin"),
    ]
}

/// RFC 9110 section 12.5.3, for gzip alone.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    let codings: Vec<(String, f32)> = accepted
        .flat_map(|value| value.split(','))
        .map(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            let weight = weight.trim().strip_prefix("q=").and_then(|q| q.parse().ok()).unwrap_or(1.0);
            (name.trim().to_ascii_lowercase(), weight)
        })
        .collect();
    let weight = |name: &str| codings.iter().find(|(coding, _)| coding == name).map(|(_, weight)| *weight);
    weight("gzip").or_else(|| weight("x-gzip")).or_else(|| weight("*")).is_some_and(|weight| weight > 0.0)
}

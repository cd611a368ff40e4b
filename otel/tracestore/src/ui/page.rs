//! Rewrites the UI's `index.html`, at the places that its builders left for that.

use serde_json::{Value, json};

use super::{LinkPattern, LinkPlace, MenuItem, UiOptions};

/// Why the UI cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum UiError {
    /// The embedded page lacks a place that must be rewritten: it is of another version.
    #[error(
        "the embedded Jaeger UI cannot be set up: its page does not hold {0:?} exactly once; embed version 2.14"
    )]
    Placeholder(&'static str),
    /// Not a path.
    #[error("the base path {0:?} must consist of letters, digits and -._~/ such as /jaeger")]
    BasePath(String),
}

/// The UI of 2.14 shows an endless spinner on `/search?service=X` when the browser's last search was for another
/// service; so the last search becomes this one before the UI looks.
const LAST_SEARCH: &str = r#"try {
        const service = new URLSearchParams(location.search).get("service");
        const last = JSON.parse(localStorage.getItem("lastSearch") || "{}");
        if (service && last.service !== service) {
          localStorage.setItem("lastSearch", JSON.stringify({ service, operation: "all" }));
        }
      } catch {}"#;

/// `index` for this base path and these options.
pub(super) fn page(index: &str, base_path: &str, options: &UiOptions) -> Result<String, UiError> {
    let config = script(&config(base_path, options));
    let version = json!({"gitCommit": "", "gitVersion": options.version, "buildDate": ""});
    let version = script(&version);
    let rewrites: [(&'static str, String); 5] = [
        ("<base href=\"/\"", format!("<base href=\"{base_path}\"")),
        ("// JAEGER_CONFIG_JS", LAST_SEARCH.to_owned()),
        ("JAEGER_CONFIG = DEFAULT_CONFIG;", format!("JAEGER_CONFIG = {config};")),
        (
            "JAEGER_STORAGE_CAPABILITIES = DEFAULT_STORAGE_CAPABILITIES;",
            "JAEGER_STORAGE_CAPABILITIES = {\"archiveStorage\":false};".to_owned(),
        ),
        ("JAEGER_VERSION = DEFAULT_VERSION;", format!("JAEGER_VERSION = {version};")),
    ];
    // Checked on the original: nothing that is put in may be taken for a place.
    for (place, _) in &rewrites {
        if index.matches(place).count() != 1 {
            return Err(UiError::Placeholder(place));
        }
    }
    Ok(rewrites.iter().fold(index.to_owned(), |page, (place, text)| page.replacen(place, text, 1)))
}

/// JSON that can stand in a script element: it can neither end it nor begin a comment.
fn script(value: &Value) -> String {
    value
        .to_string()
        .replace("</", "<\\/")
        .replace("<!--", "\\u003c!--")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// What the UI calls its configuration. Most keys replace their default wholesale, so only whole ones are given: a
/// `monitor` without `emptyState` would turn the UI white.
fn config(base_path: &str, options: &UiOptions) -> Value {
    let mut config = json!({
        "archiveEnabled": false,
        "dependencies": {"menuEnabled": true},
        "deepDependencies": {"menuEnabled": true},
        // This store aggregates no metrics; who goes to /monitor all the same is told.
        "monitor": {
            "menuEnabled": false,
            "docsLink": "https://www.jaegertracing.io/docs/2.14/",
            "emptyState": {
                "mainTitle": "No metrics here",
                "subTitle": "This store keeps traces and logs.",
                "description": "Rates, errors and durations are metrics of the services; the collector exports them.",
                "button": {},
                "alert": {"message": "GET /api/metrics answers 501", "type": "info"},
            },
        },
        "search": {"maxLimit": options.max_limit},
        "linkPatterns": options.links.iter().map(|link| pattern(base_path, link)).collect::<Vec<_>>(),
    });
    if !options.menu.is_empty() {
        config["menu"] = options.menu.iter().map(|item| menu_item(base_path, item)).collect();
    }
    config
}

fn pattern(base_path: &str, link: &LinkPattern) -> Value {
    let mut pattern =
        json!({"type": link.place.name(), "url": below(base_path, &link.url), "text": link.text});
    if link.place != LinkPlace::Traces {
        pattern["key"] = json!(link.key);
    }
    pattern
}

fn menu_item(base_path: &str, item: &MenuItem) -> Value {
    match item {
        MenuItem::Link { label, url } => {
            json!({"label": label, "url": below(base_path, url), "anchorTarget": "_blank"})
        }
        MenuItem::Group { label, items } => {
            let links = items.iter().filter(|item| matches!(item, MenuItem::Link { .. }));
            json!({"label": label, "items": links.map(|item| menu_item(base_path, item)).collect::<Vec<_>>()})
        }
    }
}

/// The UI does not put its base path before these itself.
fn below(base_path: &str, url: &str) -> String {
    match url.strip_prefix('/') {
        Some(path) => format!("{base_path}{path}"),
        None => url.to_owned(),
    }
}

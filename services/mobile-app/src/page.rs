//! The page: order a meal and see its stamps appear. Three files, no other origin, nothing inline.

use axum::{
    extract::State,
    response::{Html, IntoResponse, Response},
};
use http::{HeaderName, header};

use crate::front::Front;

/// What the page may do: load its own two files and talk to its own origin.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-cache"),
];

/// `GET /`.
pub(crate) async fn html(State(front): State<Front>) -> Response {
    let page = include_str!("../assets/page.html").replace("{{jaeger}}", &escaped(&front.jaeger));
    (HEADERS, Html(page)).into_response()
}

/// `GET /app.js`.
pub(crate) async fn script() -> Response {
    let kind = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (HEADERS, kind, include_str!("../assets/app.js")).into_response()
}

/// `GET /app.css`.
pub(crate) async fn style() -> Response {
    let kind = [(header::CONTENT_TYPE, "text/css; charset=utf-8")];
    (HEADERS, kind, include_str!("../assets/app.css")).into_response()
}

/// Text that is safe in HTML, in attributes too.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_cannot_break_out_of_the_page() {
        assert_eq!(escaped("\"><script>'&"), "&quot;&gt;&lt;script&gt;&#39;&amp;");
    }

    #[test]
    fn the_page_needs_nothing_that_its_policy_forbids() {
        let page = include_str!("../assets/page.html");
        assert!(!page.contains("<style") && !page.contains("style=") && !page.contains("onclick"));
        assert!(page.matches("<script").count() == 1 && page.contains("<script src=\"/app.js\""));
        let script = include_str!("../assets/app.js");
        assert!(!script.contains("innerHTML") && !script.contains("eval("));
    }
}

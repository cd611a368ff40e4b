//! The Jaeger UI: its page, its files, its headers.

use axum::body::Body;
use http::Request;
use tracestore::api::ApiOptions;
use tracestore::ui::{MenuItem, UiOptions};

use crate::client::{app, get, send, with};
use crate::memory::Memory;

fn configured(ui: UiOptions) -> axum::Router {
    with(Memory::default(), ApiOptions { ui, ..ApiOptions::default() })
}

/// The file that the page loads with this ending.
fn asset(page: &str, ending: &str) -> String {
    let end = page.find(&format!("{ending}\"")).unwrap() + ending.len();
    let start = page[..end].rfind("./static/").unwrap();
    page[start + 1..end].to_owned()
}

#[tokio::test]
async fn every_path_of_the_ui_is_its_page() {
    let app = app(Memory::default());
    for path in ["/", "/search", "/search?service=a", "/trace/abc", "/dependencies", "/monitor", "/trace/a/b"]
    {
        let reply = get(&app, path).await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("content-type")),
            (200, "text/html; charset=utf-8"),
            "{path}"
        );
        assert_eq!(reply.header("cache-control"), "no-cache");
        assert!(reply.header("content-security-policy").starts_with("default-src 'self'; script-src 'self'"));
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert!(reply.text().contains("<div id=\"jaeger-ui-root\">"));
    }
}

#[tokio::test]
async fn the_page_is_only_sent_again_when_it_changed() {
    let app = app(Memory::default());
    let tag = get(&app, "/search").await.header("etag").to_owned();
    let again = Request::get("/trace/1").header("if-none-match", &tag).body(Body::empty()).unwrap();
    let reply = send(&app, again).await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (304, 0));
    let stale = Request::get("/").header("if-none-match", "W/\"other\"").body(Body::empty()).unwrap();
    assert_eq!(send(&app, stale).await.status, 200);
}

#[tokio::test]
async fn files_are_compressed_for_those_who_take_it_and_cached_for_good() {
    let app = app(Memory::default());
    let script = asset(get(&app, "/").await.text(), ".js");
    let plain = get(&app, &script).await;
    assert_eq!((plain.status.as_u16(), plain.header("content-encoding")), (200, ""));
    assert_eq!(plain.header("content-type"), "text/javascript; charset=utf-8");
    let packed =
        Request::get(&script).header("accept-encoding", "br, gzip;q=0.8").body(Body::empty()).unwrap();
    let packed = send(&app, packed).await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert_eq!(packed.header("cache-control"), "public, max-age=31536000, immutable");
    assert!(packed.header("vary").contains("accept-encoding"));
    assert!(packed.body.len() * 2 < plain.body.len(), "{} of {}", packed.body.len(), plain.body.len());
    let refused = Request::get(&script).header("accept-encoding", "gzip;q=0").body(Body::empty()).unwrap();
    assert_eq!(send(&app, refused).await.header("content-encoding"), "");
    let style = asset(get(&app, "/").await.text(), ".css");
    assert_eq!(get(&app, &style).await.header("content-type"), "text/css; charset=utf-8");
}

#[tokio::test]
async fn a_file_that_does_not_exist_is_not_the_page() {
    let app = app(Memory::default());
    for path in ["/static/none.js", "/static/", "/static/../Cargo.toml", "/static/index-legacy-Bz8uGIV_.js"] {
        let reply = get(&app, path).await;
        assert_eq!(reply.status, 404, "{path}");
        assert!(!reply.text().contains("<div"), "{path}");
    }
    assert!(get(&app, "/static/LICENSE").await.text().contains("Apache License"));
}

#[tokio::test]
async fn the_ui_is_only_read() {
    let app = app(Memory::default());
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let request = Request::builder().method(method).uri("/search").body(Body::empty()).unwrap();
        assert_eq!(send(&app, request).await.status, 405, "{method}");
    }
    let head = send(&app, Request::head("/search").body(Body::empty()).unwrap()).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
}

#[tokio::test]
async fn the_page_carries_menu_links_and_no_traps() {
    let page = get(&configured(UiOptions::for_orders("http://127.0.0.1:8080/")), "/").await;
    let page = page.text();
    assert!(page.contains("\"url\":\"http://127.0.0.1:8080/\""));
    assert!(page.contains("\"url\":\"/logs?trace_id=#{traceID}\""));
    assert!(page.contains("\"key\":\"order.id\""));
    assert!(page.contains("{\"archiveStorage\":false}"));
    assert!(page.contains("localStorage.setItem(\"lastSearch\""));
    assert!(page.contains("\"emptyState\":{"), "a monitor setting without it breaks the UI");
    assert!(!page.contains("JAEGER_CONFIG = DEFAULT_CONFIG;"));
}

#[tokio::test]
async fn a_setting_cannot_break_out_of_the_pages_script() {
    let label = "</script><script>alert(1)</script><!--<script>".to_owned();
    let menu = vec![MenuItem::Link { label, url: "javascript:alert(1)".into() }];
    let reply = get(&configured(UiOptions { menu, ..UiOptions::default() }), "/").await;
    assert!(!reply.text().contains("alert(1)</script>"));
    assert!(!reply.text().contains("<!--<script>"));
}

#[tokio::test]
async fn below_a_base_path_everything_is_below_it() {
    let app = configured(UiOptions { base_path: "jaeger/ui".into(), ..UiOptions::for_orders("http://door") });
    for path in ["/jaeger/ui", "/jaeger/ui/", "/jaeger/ui/search"] {
        let page = get(&app, path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(page.text().contains("<base href=\"/jaeger/ui/\""));
        assert!(page.text().contains("\"url\":\"/jaeger/ui/logs?trace_id=#{traceID}\""));
    }
    assert_eq!(get(&app, "/jaeger/ui/api/services").await.json()["total"], 0);
    assert_eq!(get(&app, "/jaeger/ui/api/services/a%2Fb/operations").await.status, 200);
    assert_eq!(get(&app, "/jaeger/ui/static/LICENSE").await.status, 200);
    assert_eq!(get(&app, "/").await.header("location"), "/jaeger/ui/");
    assert_eq!(get(&app, "/api/services").await.status, 404);
    assert_eq!(get(&app, "/health").await.status, 200);
}

#[test]
fn a_base_path_that_is_no_path_is_refused() {
    for base_path in ["/a\"b", "/a b", "/../x", "/<x>", "/a//../b"] {
        let ui = UiOptions { base_path: base_path.into(), ..UiOptions::default() };
        let options = ApiOptions { ui, ..ApiOptions::default() };
        let error = tracestore::api::router(std::sync::Arc::new(Memory::default()), options).unwrap_err();
        assert!(error.to_string().contains("must consist of letters"), "{error}");
    }
}

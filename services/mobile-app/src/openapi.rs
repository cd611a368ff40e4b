//! `GET /openapi.json`: the API's description (OpenAPI 3.1), made from the handlers and from the table of problems here.

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use http::header;
use utoipa::{
    OpenApi,
    openapi::{
        ComponentsBuilder, ContentBuilder, Ref, RefOr, ResponseBuilder,
        header::HeaderBuilder,
        path::Operation,
        schema::{ObjectBuilder, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use crate::{bodies, routes};

#[derive(OpenApi)]
#[openapi(
    info(title = "Waybill front door", description = "Order food, and see where the order is.", license(name = "Apache-2.0", identifier = "Apache-2.0")),
    paths(
        routes::create_account, routes::create_session, routes::list_restaurants, routes::create_cart,
        routes::create_order, routes::get_order, routes::get_events,
    ),
    components(schemas(bodies::Problem, bodies::OrderEvent, bodies::State)),
    tags((name = "accounts", description = "Sign up and in"), (name = "orders", description = "From the menu to the door")),
)]
struct Description;

/// Method, path, and the problems that it may answer with beside those that all share.
type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const READING: (&str, &str) = ("400", "`invalid`: the body or a header breaks a rule; the detail says which");
const SIGNED: (&str, &str) =
    ("401", "`unauthenticated`, `token-expired`, `token-forged`, `token-malformed`: sign in again");

const PROBLEMS: [Row; 7] = [
    ("post", "/accounts", &[READING, ("409", "`name-taken`")]),
    (
        "post",
        "/sessions",
        &[READING, ("401", "`wrong-credentials`"), ("429", "`too-many-failures`: this name has to wait")],
    ),
    ("get", "/restaurants", &[]),
    ("post", "/carts", &[READING, ("404", "`no-such-restaurant`, `no-such-dish`")]),
    (
        "post",
        "/orders",
        &[
            READING,
            SIGNED,
            ("402", "`declined`: nothing was charged; `decline_code` says why. Fill a new cart"),
            ("404", "`no-such-cart`"),
            (
                "409",
                "`restaurant-closed`, `kitchen-full`, `out-of-stock`: nothing was charged, the cart may be ordered again. \
                 `cart-ordered`: it has been. `idempotency-key-reused`: for another request",
            ),
        ],
    ),
    ("get", "/orders/{id}", &[SIGNED, ("403", "`forbidden`: not your order"), ("404", "`no-such-order`")]),
    (
        "get",
        "/orders/{id}/events",
        &[
            READING,
            SIGNED,
            ("403", "`forbidden`: not your order"),
            ("404", "`no-such-order`"),
            ("429", "`too-many-streams`"),
        ],
    ),
];

/// Problems that every path may answer with; those with a body only where there is one.
const SHARED: [(&str, &str, bool); 7] = [
    ("405", "`not-allowed`: the path is known, the method is not", false),
    ("408", "`timeout`: the request's body did not arrive in time", true),
    ("413", "`too-large`: the body is larger than 1 MiB", true),
    ("415", "`unsupported`: send application/json", true),
    ("500", "`internal`: our fault; the trace id says more", false),
    ("503", "`unavailable`, `overloaded`, `interrupted`: try again", false),
    ("504", "`timeout`: not done in time", false),
];

static DOCUMENT: LazyLock<String> =
    LazyLock::new(|| serde_json::to_string(&describe()).unwrap_or_else(|_| "{}".to_owned()));

/// The description.
pub(crate) async fn document() -> Response {
    let headers =
        [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "public, max-age=300")];
    (headers, DOCUMENT.as_str()).into_response()
}

fn describe() -> utoipa::openapi::OpenApi {
    let mut api = Description::openapi();
    let components = api.components.take().unwrap_or_else(|| ComponentsBuilder::new().build());
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    api.components = Some(
        ComponentsBuilder::from(components).security_scheme("bearer", SecurityScheme::Http(bearer)).build(),
    );
    for (path, item) in &mut api.paths.paths {
        for (method, operation) in [("get", &mut item.get), ("post", &mut item.post)] {
            let Some(operation) = operation else { continue };
            let row = PROBLEMS.iter().find(|row| row.0 == method && row.1 == path);
            complete(operation, row.map_or(&[], |row| row.2));
        }
    }
    api
}

fn complete(operation: &mut Operation, problems: &[(&str, &str)]) {
    let has_body = operation.request_body.is_some();
    let shared = SHARED.iter().filter(|row| has_body || !row.2).map(|row| (row.0, row.1));
    for (status, text) in problems.iter().copied().chain(shared) {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response =
            ResponseBuilder::new().description(text).content("application/problem+json", content).build();
        operation.responses.responses.insert(status.to_owned(), RefOr::T(response));
    }
    for response in operation.responses.responses.values_mut() {
        let RefOr::T(response) = response else { continue };
        for (name, text) in [
            ("X-Trace-Id", "the trace of this request, 32 hex digits"),
            ("Server-Timing", "`trace;desc=<traceparent>` (W3C Trace Context level 3, draft)"),
        ] {
            let text_schema = ObjectBuilder::new().schema_type(Type::String).build();
            let header = HeaderBuilder::new().schema(text_schema).description(Some(text)).build();
            response.headers.insert(name.to_owned(), header);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paths in this crate's router, read from its source: axum does not tell.
    fn routed() -> Vec<String> {
        let source = include_str!("routes.rs");
        let routes = source.lines().filter_map(|line| line.trim().strip_prefix(".route(\""));
        routes.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
    }

    #[test]
    fn every_route_is_described_and_every_description_is_a_route() {
        let pages = ["/", "/app.js", "/app.css", "/openapi.json"];
        let mut routed: Vec<_> =
            routed().into_iter().filter(|path| !pages.contains(&path.as_str())).collect();
        routed.sort();
        let described: Vec<_> = describe().paths.paths.keys().cloned().collect();
        assert_eq!(routed, described);
        assert_eq!(routed.len(), PROBLEMS.len());
    }

    #[test]
    fn it_is_openapi_3_1_with_problems_as_documents() {
        let json: serde_json::Value = serde_json::from_str(&DOCUMENT).unwrap();
        assert_eq!(json["openapi"], "3.1.0");
        let order = &json["paths"]["/orders"]["post"];
        for status in ["400", "401", "402", "404", "409", "413", "415", "503"] {
            let content = &order["responses"][status]["content"]["application/problem+json"];
            assert_eq!(content["schema"]["$ref"], "#/components/schemas/Problem", "{status}");
        }
        assert_eq!(order["security"][0]["bearer"], serde_json::json!([]));
        assert!(json["components"]["securitySchemes"]["bearer"].is_object());
    }

    #[test]
    fn every_reference_has_a_target() {
        let text = DOCUMENT.as_str();
        let json: serde_json::Value = serde_json::from_str(text).unwrap();
        for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(json["components"]["schemas"][name].is_object(), "{name}");
        }
    }
}

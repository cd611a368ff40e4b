//! Puts the routes together, with what they share.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{OriginalUri, Request};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get};
use http::{Method, StatusCode};
use tower_http::compression::CompressionLayer;

use super::backend::{Backend, BackendError};
use super::engine::{Engine, QueryError};
use super::options::ApiOptions;
use super::params::MAX_TARGET_BYTES;
use super::reply::{Envelope, LegacyError, Problem};
use super::{analytics, health, legacy, logs, v3};
use crate::jaeger::{self, adjust, convert};
use crate::model::{Operation, Query, Trace, TraceId};
use crate::ui::{self, Ui, UiError};

/// The query APIs, the log query and the Jaeger UI over one store. With a base path all of them lie below it; health and
/// metrics stay where they are.
///
/// # Errors
/// When the embedded UI is not of the kind that can be set up (see [`UiError`]).
pub fn router(backend: Arc<dyn Backend>, options: ApiOptions) -> Result<Router, UiError> {
    let ui = Arc::new(Ui::new(&options.ui)?);
    let base = ui.base_path().trim_end_matches('/').to_owned();
    let shared = Shared(Arc::new(Inner {
        engine: Engine::new(backend, options.concurrent_queries.max(1), options.query_deadline),
        max_traces: options.max_traces.max(1),
        max_clock_skew: options.max_clock_skew,
    }));
    let health = Router::new()
        .route("/health", get(health::live))
        .route("/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .with_state(shared.clone());
    let queries = queries(shared, ui);
    let all = if base.is_empty() {
        health.merge(queries)
    } else {
        let home = format!("{base}/");
        let to_home = get(move || async move { Redirect::temporary(&home) });
        health.route("/", to_home).nest_service(&base, queries)
    };
    Ok(all.layer(CompressionLayer::new()).layer(from_fn(limit_target)))
}

fn queries(shared: Shared, ui: Arc<Ui>) -> Router {
    let api = legacy::routes()
        .nest("/v3", v3::routes())
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method);
    Router::new()
        .nest("/api", api)
        .route("/api/", any(unknown))
        .nest("/analytics", analytics::routes().fallback(unknown))
        .route("/logs", get(logs::list))
        .with_state(shared)
        .fallback_service(get(ui::serve).with_state(ui))
}

/// What every handler works with.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Inner>);

struct Inner {
    engine: Engine,
    max_traces: usize,
    max_clock_skew: Duration,
}

// === impl Shared ===

impl Shared {
    pub(crate) fn max_traces(&self) -> usize {
        self.0.max_traces
    }

    pub(crate) fn max_clock_skew(&self) -> Duration {
        self.0.max_clock_skew
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        self.0.engine.backend()
    }

    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Backend) -> Result<T, BackendError> + Send + 'static,
    ) -> Result<T, QueryError> {
        self.0.engine.run(work).await
    }

    /// Sorted names. The UI waits for ever on a service without operations, so none is listed.
    pub(crate) async fn services(&self) -> Result<Vec<String>, QueryError> {
        self.run(|store| {
            let mut services = Vec::new();
            for service in store.services()? {
                if !store.operations(&service)?.is_empty() {
                    services.push(service);
                }
            }
            services.sort();
            services.dedup();
            Ok(services)
        })
        .await
    }

    /// Sorted by name and kind.
    pub(crate) async fn operations(&self, service: String) -> Result<Vec<Operation>, QueryError> {
        self.run(move |store| {
            let mut operations = store.operations(&service)?;
            operations.sort();
            operations.dedup();
            Ok(operations)
        })
        .await
    }

    /// A trace in Jaeger's form, adjusted unless `raw`.
    pub(crate) async fn trace(&self, id: TraceId, raw: bool) -> Result<Option<jaeger::Trace>, QueryError> {
        let convert = self.converter(raw);
        self.run(move |store| Ok(store.trace(id)?.map(convert))).await
    }

    /// Matching traces in Jaeger's form, adjusted unless `raw`.
    pub(crate) async fn find(&self, query: Query, raw: bool) -> Result<Vec<jaeger::Trace>, QueryError> {
        let convert = self.converter(raw);
        self.run(move |store| Ok(store.find(&query)?.into_iter().map(convert).collect())).await
    }

    fn converter(&self, raw: bool) -> impl Fn(Trace) -> jaeger::Trace + Send + 'static {
        let max_skew = self.0.max_clock_skew;
        move |trace| {
            let mut converted = convert::trace(&trace.resource_spans);
            if !raw {
                adjust::standard(&mut converted, max_skew);
            }
            converted
        }
    }
}

/// A path below `/api` that does not exist must not be answered with the UI's page.
async fn unknown(OriginalUri(uri): OriginalUri) -> Response {
    let message = format!("there is no {} here", uri.path());
    let problem = Problem { code: Some(404), msg: message, trace_id: None };
    (StatusCode::NOT_FOUND, axum::Json(Envelope::of(()).errors(vec![problem]))).into_response()
}

async fn wrong_method(method: Method) -> Response {
    let message = format!("{method} is not allowed here");
    let problem = Problem { code: Some(405), msg: message, trace_id: None };
    (StatusCode::METHOD_NOT_ALLOWED, axum::Json(Envelope::of(()).errors(vec![problem]))).into_response()
}

async fn limit_target(request: Request, next: Next) -> Response {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > MAX_TARGET_BYTES {
        let message =
            format!("the request's address has {target} bytes; at most {MAX_TARGET_BYTES} are read");
        return LegacyError { status: StatusCode::URI_TOO_LONG, message }.into_response();
    }
    next.run(request).await
}

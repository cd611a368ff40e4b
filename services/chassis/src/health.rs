//! Live and ready: `/livez`, `/readyz`, gRPC health and reflection. None of them makes a span.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::{Bus, Database};

#[derive(Clone)]
struct Ready {
    database: Database,
    bus: Bus,
    stopping: CancellationToken,
}

/// `GET /livez`: the process answers. `GET /readyz`: it can also work: its database does, and it is not draining. A broker
/// that is away is told, and no reason not to be ready: messages wait in the outbox.
pub(crate) fn routes(database: Database, bus: Bus, stopping: CancellationToken) -> Router {
    Router::new()
        .route("/livez", get(async || Json(json!({"status": "live"}))))
        .route("/readyz", get(ready))
        .with_state(Ready { database, bus, stopping })
}

/// gRPC health (`grpc.health.v1`) and server reflection (`v1`, which current tools speak).
pub(crate) async fn grpc(names: &[&'static str], descriptors: &[&'static [u8]]) -> Router {
    let (reporter, health) = tonic_health::server::health_reporter();
    for name in names {
        reporter.set_service_status(*name, tonic_health::ServingStatus::Serving).await;
    }
    let mut builder = tonic_reflection::server::Builder::configure();
    for set in descriptors {
        builder = builder.register_encoded_file_descriptor_set(set);
    }
    let mut routes = Routes::new(health);
    match builder.build_v1() {
        Ok(reflection) => routes = routes.add_service(reflection),
        Err(e) => tracing::warn!(error = %e, "gRPC reflection is off: the descriptors cannot be read"),
    }
    routes.into_axum_router()
}

async fn ready(State(state): State<Ready>) -> Response {
    let why = if state.stopping.is_cancelled() {
        Some("draining")
    } else {
        let probe = sqlx::query("SELECT 1").execute(state.database.read());
        match tokio::time::timeout(Duration::from_secs(1), probe).await {
            Ok(Ok(_)) => None,
            _ => Some("the database does not answer"),
        }
    };
    match why {
        None => match state.bus.broker() {
            None => Json(json!({"status": "ready"})).into_response(),
            Some(true) => Json(json!({"status": "ready", "nats": "connected"})).into_response(),
            Some(false) => Json(json!({"status": "ready", "nats": "away: messages wait"})).into_response(),
        },
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "not ready", "reason": why})))
            .into_response(),
    }
}

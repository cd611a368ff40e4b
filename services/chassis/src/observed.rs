//! `GET /telemetry`: the `OTEL_*` settings in force in this process, what is odd about them, and its drop counters. What
//! `waybill doctor` reads; it answers also when the collector is away. No secrets: header values are left out.

use axum::{Json, Router, routing::get};
use serde_json::{Value, json};
use telemetry::{Env, SignalStats};

/// The face of `service`.
pub(crate) fn routes(service: &'static str) -> Router {
    let env = Env::from_process();
    let settings: Vec<_> = telemetry::in_force(&env)
        .into_iter()
        .map(|s| json!({"name": s.name, "value": s.value, "source": if s.set { "environment" } else { "default" }}))
        .collect();
    let warnings: Vec<_> = telemetry::oddities(&env, service)
        .into_iter()
        .map(|o| json!({"name": o.name, "says": o.says, "remedy": o.remedy}))
        .collect();
    let fixed = json!({"service": service, "settings": settings, "warnings": warnings});
    Router::new().route("/telemetry", get(async move || Json(with_counters(fixed.clone()))))
}

fn with_counters(mut face: Value) -> Value {
    let stats = telemetry::stats();
    face["spans"] = counters(stats.spans);
    face["logs"] = counters(stats.logs);
    face
}

fn counters(stats: SignalStats) -> Value {
    json!({
        "exported": stats.exported,
        "queued": stats.queued,
        "retries": stats.retries,
        "dropped": {
            "queue_full": stats.dropped_queue_full,
            "rejected": stats.dropped_rejected,
            "expired": stats.dropped_expired,
            "shutdown": stats.dropped_shutdown,
        },
        "last_drop_unix_ms": stats.last_drop_unix_ms,
    })
}

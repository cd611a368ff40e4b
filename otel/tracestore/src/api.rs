//! The HTTP face of the trace store: Jaeger's query APIs (`/api/*`, `/api/v3/*`, `/analytics/v1/*`), log records by
//! trace id (`/logs`), health and metrics, and the Jaeger UI on every other path.

mod analytics;
mod backend;
mod engine;
pub(crate) mod golang;
mod health;
mod held;
pub(crate) mod ids;
mod legacy;
mod logs;
mod options;
mod otlp_json;
mod params;
mod reply;
mod router;
mod tags;
mod v3;

pub use backend::{Backend, BackendError, Counter};
pub use options::ApiOptions;
pub use router::router;

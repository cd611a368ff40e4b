//! OpenTelemetry for axum, tonic and reqwest services: init from OTEL_*, propagation, middleware, logs.

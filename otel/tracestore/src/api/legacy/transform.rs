//! `POST /api/transform`: an uploaded OTLP file in Jaeger's form.

use axum::body::{Body, to_bytes};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::StatusCode;

use crate::api::otlp_json::parse_traces;
use crate::api::params::Params;
use crate::api::reply::{self, Envelope, LegacyError};
use crate::api::router::Shared;
use crate::jaeger::convert;

/// Largest file that is read.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// Traces in order of arrival, unadjusted. The UI sends the file as `text/plain`, so no content type is asked for.
pub(super) async fn transform(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, LegacyError> {
    let bytes = to_bytes(body, MAX_BODY_BYTES).await.map_err(|error| LegacyError {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        message: format!("cannot read the body, of which at most {MAX_BODY_BYTES} bytes are taken: {error}"),
    })?;
    let traces = shared.run(move |_| Ok(parse_traces(&bytes).map(|spans| convert::traces(&spans)))).await?;
    let traces = traces.map_err(|error| LegacyError::bad(format!("cannot unmarshal OTLP : {error}")))?;
    Ok(reply::json(Envelope::of(traces), Params::parse(query.as_deref()).pretty()).await)
}

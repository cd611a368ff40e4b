//! What went wrong with a request, as HTTP status and gRPC status: one table for both.

use bytes::Bytes;
use http::StatusCode;
use prost::Message;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::StoreError;

/// When to try again.
const RETRY: Duration = Duration::from_secs(1);

/// A refusal.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub(super) http: StatusCode,
    pub(super) code: Code,
    pub(super) message: String,
    /// Set: the same request may succeed later. Unset: OTLP clients must not send it again.
    pub(super) retry: Option<Duration>,
}

// === impl Fault ===

impl Fault {
    pub(super) fn new(http: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self { http, code, message: message.into(), retry: None }
    }

    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, message)
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let message = format!("the message is larger than {limit} bytes, uncompressed");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted, message)
    }

    pub(super) fn slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded, "the body did not come on")
    }

    pub(super) fn busy(message: impl Into<String>) -> Self {
        Self { retry: Some(RETRY), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, message) }
    }

    /// As gRPC has it, with `RetryInfo` where trying again makes sense.
    pub(super) fn grpc(&self) -> Status {
        match self.retry {
            Some(delay) => Status::with_error_details(
                self.code,
                &self.message,
                ErrorDetails::with_retry_info(Some(delay)),
            ),
            None => Status::new(self.code, &self.message),
        }
    }

    /// `google.rpc.Status`, protobuf.
    pub(super) fn protobuf(&self) -> Bytes {
        let status = self.grpc();
        let details = tonic_types::pb::Status::decode(status.details())
            .map(|status| status.details)
            .unwrap_or_default();
        let code = self.code as i32;
        tonic_types::pb::Status { code, message: self.message.clone(), details }.encode_to_vec().into()
    }

    /// `google.rpc.Status`, JSON.
    pub(super) fn json(&self) -> Bytes {
        serde_json::json!({ "code": self.code as i32, "message": self.message }).to_string().into()
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Malformed(what) => Self::malformed(what),
            StoreError::TooLarge { limit, .. } => Self::too_large(limit),
            StoreError::Busy => Self::busy("the store takes no more at the moment, try again"),
            StoreError::Full { .. } => Self::busy("the store's disk is full, try again later"),
            StoreError::Closed => Self::busy("the store is shutting down, try again"),
            // The text names files; it is in the log, and stays inside.
            StoreError::Locked { .. } | StoreError::Io { .. } => {
                tracing::error!(error = &error as &dyn std::error::Error, "a request could not be kept");
                Self::busy("the store cannot write at the moment, try again")
            }
        }
    }
}

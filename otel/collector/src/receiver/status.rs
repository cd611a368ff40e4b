//! What is said to a sender whose request was not accepted: one table for gRPC and HTTP, with `google.rpc.Status`.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use prost::Message as _;
use tonic::Code;
use tonic_types::{ErrorDetails, StatusExt as _};

use super::IntakeError;
use super::body::BodyError;
use super::decompress::DecompressError;
use crate::pipeline::Refusal;

/// An answer other than success.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) http: StatusCode,
    pub(crate) code: Code,
    pub(crate) message: String,
    /// Set when the sender should come again, and when.
    pub(crate) retry_after: Option<Duration>,
}

// === impl Fault ===

impl Fault {
    pub(crate) fn new(http: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self { http, code, message: message.into(), retry_after: None }
    }

    /// As a gRPC status; one that may be retried carries `RetryInfo`.
    pub(crate) fn grpc(&self) -> tonic::Status {
        match self.retry_after {
            Some(delay) => {
                let details = ErrorDetails::with_retry_info(Some(delay));
                tonic::Status::with_error_details(self.code, &*self.message, details)
            }
            None => tonic::Status::new(self.code, &*self.message),
        }
    }

    /// As the protobuf of a `google.rpc.Status`.
    pub(crate) fn protobuf(&self) -> Bytes {
        let grpc = self.grpc();
        if !grpc.details().is_empty() {
            return Bytes::copy_from_slice(grpc.details());
        }
        let status = tonic_types::Status {
            code: self.code as i32,
            message: self.message.clone(),
            details: Vec::new(),
        };
        status.encode_to_vec().into()
    }

    /// As the JSON of a `google.rpc.Status`.
    pub(crate) fn json(&self) -> Bytes {
        let mut status = serde_json::json!({ "code": self.code as i32, "message": self.message });
        if let Some(delay) = self.retry_after {
            status["details"] = serde_json::json!([{
                "@type": "type.googleapis.com/google.rpc.RetryInfo",
                "retryDelay": format!("{}s", delay.as_secs_f64()),
            }]);
        }
        status.to_string().into()
    }

    /// From the `grpc-status-details-bin` of a reply: how long the backend asks us to wait.
    pub(crate) fn retry_delay(status: &tonic::Status) -> Option<Duration> {
        status.get_details_retry_info()?.retry_delay
    }

    /// From the body of an HTTP reply in protobuf: the backend's message.
    pub(crate) fn message_of(body: &[u8]) -> Option<String> {
        tonic_types::Status::decode(body)
            .ok()
            .map(|status| status.message)
            .filter(|message| !message.is_empty())
    }
}

impl From<IntakeError> for Fault {
    fn from(error: IntakeError) -> Self {
        let message = error.to_string();
        match error {
            IntakeError::Malformed(_) | IntakeError::Refused(Refusal::Invalid(_)) => {
                Self::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, message)
            }
            IntakeError::Refused(Refusal::Busy { retry_after, .. }) => Self {
                retry_after: Some(retry_after),
                ..Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, message)
            },
            IntakeError::NoPipeline(_) => Self::new(StatusCode::NOT_FOUND, Code::Unimplemented, message),
        }
    }
}

impl From<BodyError> for Fault {
    fn from(error: BodyError) -> Self {
        let message = error.to_string();
        match error {
            BodyError::TooSlow => Self::new(StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded, message),
            BodyError::Overloaded => Self {
                retry_after: Some(Duration::from_secs(1)),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, Code::Unavailable, message)
            },
            // Without RetryInfo: it will be as large the next time.
            BodyError::TooLarge(_) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted, message)
            }
            BodyError::Broken(_) => Self::new(StatusCode::BAD_REQUEST, Code::Cancelled, message),
        }
    }
}

impl From<DecompressError> for Fault {
    fn from(error: DecompressError) -> Self {
        let message = error.to_string();
        match error {
            DecompressError::TooLarge(_) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted, message)
            }
            DecompressError::Corrupt(_) => Self::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, message),
        }
    }
}

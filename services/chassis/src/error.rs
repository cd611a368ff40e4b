//! Errors as callers see them: one table of kinds for both protocols, internal text kept inside.
//!
//! A service maps its own error enum to [`Error`] in one place; the edge (problem documents over HTTP, a status over
//! gRPC) is the same for all. The source is logged once, where the reply is made, and never sent.

use std::{borrow::Cow, error::Error as StdError, fmt};

use http::StatusCode;
use tonic::Code;

/// What kind of failure it is; decides the status of both protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request breaks the interface's rules.
    Invalid,
    /// No credentials, or none that hold.
    Unauthenticated,
    /// Known caller, not allowed.
    Forbidden,
    /// The card network refused the charge.
    Declined,
    /// Nothing here by that name.
    NotFound,
    /// The path is known, the method is not.
    NotAllowed,
    /// It clashes with the state of things.
    Conflict,
    /// It is there already.
    Exists,
    /// The body is larger than allowed.
    TooLarge,
    /// The body's media type cannot be read.
    Unsupported,
    /// More than may be asked for at once; try later.
    Exhausted,
    /// A fault of ours.
    Internal,
    /// A part that is needed does not answer; try again.
    Unavailable,
    /// The deadline passed.
    Timeout,
}

/// A failure on its way to a caller: a kind, a public sentence, and a source that stays inside.
pub struct Error {
    kind: Kind,
    slug: &'static str,
    detail: Cow<'static, str>,
    fields: serde_json::Map<String, serde_json::Value>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What a handler returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

struct Row(Kind, StatusCode, Code, &'static str, &'static str);

/// kind, HTTP status, gRPC code, problem type, title.
const TABLE: [Row; 14] = [
    Row(Kind::Invalid, StatusCode::BAD_REQUEST, Code::InvalidArgument, "invalid", "Invalid request"),
    Row(
        Kind::Unauthenticated,
        StatusCode::UNAUTHORIZED,
        Code::Unauthenticated,
        "unauthenticated",
        "Not signed in",
    ),
    Row(Kind::Forbidden, StatusCode::FORBIDDEN, Code::PermissionDenied, "forbidden", "Not allowed"),
    Row(
        Kind::Declined,
        StatusCode::PAYMENT_REQUIRED,
        Code::FailedPrecondition,
        "declined",
        "Payment declined",
    ),
    Row(Kind::NotFound, StatusCode::NOT_FOUND, Code::NotFound, "not-found", "Not found"),
    Row(
        Kind::NotAllowed,
        StatusCode::METHOD_NOT_ALLOWED,
        Code::Unimplemented,
        "not-allowed",
        "Method not allowed",
    ),
    Row(Kind::Conflict, StatusCode::CONFLICT, Code::FailedPrecondition, "conflict", "Conflict"),
    Row(Kind::Exists, StatusCode::CONFLICT, Code::AlreadyExists, "exists", "Already exists"),
    Row(
        Kind::TooLarge,
        StatusCode::PAYLOAD_TOO_LARGE,
        Code::ResourceExhausted,
        "too-large",
        "Request too large",
    ),
    Row(
        Kind::Unsupported,
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::InvalidArgument,
        "unsupported",
        "Unsupported media type",
    ),
    Row(
        Kind::Exhausted,
        StatusCode::TOO_MANY_REQUESTS,
        Code::ResourceExhausted,
        "exhausted",
        "Too many requests",
    ),
    Row(Kind::Internal, StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, "internal", "Internal error"),
    Row(Kind::Unavailable, StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "unavailable", "Unavailable"),
    Row(Kind::Timeout, StatusCode::GATEWAY_TIMEOUT, Code::DeadlineExceeded, "timeout", "Deadline exceeded"),
];

// === impl Kind ===

impl Kind {
    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        self.row().1
    }

    /// The gRPC code.
    pub fn code(self) -> Code {
        self.row().2
    }

    /// Last part of the problem's type URN, such as `not-found`; also the `error.type` of a failed step.
    pub fn slug(self) -> &'static str {
        self.row().3
    }

    /// The problem's title (RFC 9457, 3.1.3): the same for every problem of the kind.
    pub fn title(self) -> &'static str {
        self.row().4
    }

    /// Whether the same call may well succeed later.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Exhausted | Self::Unavailable | Self::Timeout | Self::Internal)
    }

    /// The kind that a peer's HTTP status stands for; `None` below 400.
    pub fn from_status(status: StatusCode) -> Option<Self> {
        if status.as_u16() < 400 {
            return None;
        }
        let exact = TABLE.iter().find(|row| row.1 == status).map(|row| row.0);
        Some(exact.unwrap_or(match status {
            StatusCode::REQUEST_TIMEOUT => Self::Timeout,
            StatusCode::BAD_GATEWAY => Self::Unavailable,
            s if s.is_client_error() => Self::Invalid,
            _ => Self::Internal,
        }))
    }

    /// The kind that a peer's gRPC code stands for; `None` for OK.
    pub fn from_code(code: Code) -> Option<Self> {
        let exact = TABLE.iter().find(|row| row.2 == code).map(|row| row.0);
        match code {
            Code::Ok => None,
            Code::FailedPrecondition | Code::Aborted => Some(Self::Conflict),
            Code::ResourceExhausted => Some(Self::Exhausted),
            // The caller's own cancellation shows up as this one.
            Code::Cancelled => Some(Self::Timeout),
            _ => Some(exact.unwrap_or(Self::Internal)),
        }
    }

    fn row(self) -> &'static Row {
        TABLE.iter().find(|row| row.0 == self).unwrap_or(&TABLE[11])
    }
}

// === impl Error ===

impl Error {
    /// A failure with a public sentence, such as `restaurant trattoria-sole is closed`.
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, slug: kind.slug(), detail: detail.into(), fields: serde_json::Map::new(), source: None }
    }

    /// The request breaks the interface's rules.
    pub fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Invalid, detail)
    }

    /// Nothing here by that name.
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::NotFound, detail)
    }

    /// It clashes with the state of things.
    pub fn conflict(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Conflict, detail)
    }

    /// A fault of ours: the caller learns nothing but the trace id, the log has the source.
    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Kind::Internal, "something went wrong on our side").source(source)
    }

    /// A gRPC call to `peer` failed. Its transient kinds and its time-out stay what they are, all else is a fault of
    /// ours: a downstream 404 is not our 404 until the service says so.
    pub fn upstream(peer: &str, status: tonic::Status) -> Self {
        let kind = Kind::from_code(status.code()).unwrap_or(Kind::Internal);
        Self::upstream_kind(peer, kind).source(status)
    }

    /// As [`Error::upstream`], for a peer whose failure has been given a kind.
    pub fn upstream_kind(peer: &str, kind: Kind) -> Self {
        match kind {
            Kind::Timeout => Self::new(Kind::Timeout, format!("{peer} did not answer in time")),
            Kind::Unavailable | Kind::Exhausted => {
                Self::new(Kind::Unavailable, format!("{peer} is unavailable"))
            }
            _ => Self::new(Kind::Internal, "something went wrong on our side"),
        }
    }

    /// A narrower problem type than the kind's own, such as `out-of-stock`.
    #[must_use]
    pub fn typed(mut self, slug: &'static str) -> Self {
        self.slug = slug;
        self
    }

    /// An extension member of the problem document (RFC 9457, 3.2). Not sent over gRPC.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// The cause, for the log only.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Low-cardinality name of the problem: the `error.type` of a failed step.
    pub fn slug(&self) -> &'static str {
        self.slug
    }

    /// The public sentence.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Extension members.
    pub(crate) fn fields(&self) -> &serde_json::Map<String, serde_json::Value> {
        &self.fields
    }

    /// The causes, outermost first, as one line for the log.
    pub fn causes(&self) -> String {
        let mut text = String::new();
        let mut next = self.source.as_deref().map(|e| e as &(dyn StdError + 'static));
        while let Some(e) = next {
            let line = e.to_string();
            if !text.ends_with(&line) {
                if !text.is_empty() {
                    text.push_str(": ");
                }
                text.push_str(&line);
            }
            next = e.source();
        }
        text
    }

    /// Logs a failure of ours in the current span; callers' mistakes are theirs and only leave a status.
    pub(crate) fn log(&self) {
        if self.kind.status().is_server_error() {
            tracing::error!(error.type = self.slug, causes = self.causes(), "{}", self.detail);
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({}: {}; {})", self.kind, self.slug, self.detail, self.causes())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

impl From<sqlx::Error> for Error {
    fn from(e: sqlx::Error) -> Self {
        match e {
            sqlx::Error::PoolTimedOut => {
                Self::new(Kind::Unavailable, "the database is busy").typed("database-busy").source(e)
            }
            _ if cannot_write(&e) => {
                Self::new(Kind::Unavailable, "the database cannot write").typed("database-full").source(e)
            }
            _ if is_away(&e) => {
                Self::new(Kind::Unavailable, "the database is away").typed("database-away").source(e)
            }
            _ => Self::internal(e).typed("database"),
        }
    }
}

/// The volume is full, or has failed or become read-only: once it is mended the same call may well succeed.
fn cannot_write(e: &sqlx::Error) -> bool {
    let code = e.as_database_error().and_then(sqlx::error::DatabaseError::code);
    match code.as_deref() {
        // PostgreSQL, Appendix A: disk_full; io_error, which is also what a quota makes.
        Some("53100" | "58030") => true,
        // SQLite, "Result and Error Codes": the low byte is the primary code. READONLY, IOERR, FULL, CANTOPEN.
        Some(code) if code.len() <= 4 => {
            code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 8 | 10 | 13 | 14))
        }
        _ => false,
    }
}

/// The database cannot be reached now, or had to give the transaction up: the same call may well succeed later.
fn is_away(e: &sqlx::Error) -> bool {
    match e {
        // A server that dies while it is being connected to is a breach of protocol to the driver.
        sqlx::Error::Io(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        // PostgreSQL, Appendix A: connection exceptions, read-only standby, serialization failure and deadlock, no
        // resources, operator intervention.
        sqlx::Error::Database(e) => e.code().is_some_and(|code| {
            code.len() == 5
                && (matches!(&*code, "25006" | "40001" | "40P01")
                    || ["08", "53", "57"].iter().any(|class| code.starts_with(class)))
        }),
        _ => false,
    }
}

impl From<Error> for tonic::Status {
    /// Made at the edge of a gRPC service, and logged there.
    fn from(e: Error) -> Self {
        e.log();
        tonic::Status::new(e.kind.code(), e.detail.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_row() {
        for row in &TABLE {
            assert_eq!(row.0.status(), row.1);
            assert_eq!(row.0.slug(), row.3);
        }
        assert_eq!(Kind::Internal.code(), Code::Internal);
    }

    #[test]
    fn a_downstream_404_is_not_our_404() {
        let e = Error::upstream("auth", tonic::Status::not_found("secret table"));
        assert_eq!(e.kind(), Kind::Internal);
        assert!(!e.to_string().contains("secret"));
        assert!(e.causes().contains("secret"));
    }

    #[test]
    fn internal_text_does_not_reach_a_grpc_caller() {
        let status = tonic::Status::from(Error::internal("disk /var/x on fire"));
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("disk"));
    }
}

//! Why a trace store could not be asked, with the remedy in the message. All of these end a command with status 4.

use std::time::Duration;

/// A trace store that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// Nobody answers there.
    #[error(
        "no trace store answers at {url}: {cause}. Start one (`waybill up`), or say where it is with --jaeger URL or WAYBILL_JAEGER_URL"
    )]
    Unreachable { url: String, cause: String },
    /// Its certificate is of nobody who is trusted, or of somebody else.
    #[error(
        "{url} shows a certificate that is not trusted: {cause}. Name the authority it is of with --ca-file FILE (PEM), and the server as its certificate does"
    )]
    Untrusted { url: String, cause: String },
    /// Something answers, but it is no Jaeger.
    #[error(
        "{url} answers, but not as a Jaeger query API does: {cause}. Give the base URL of the Jaeger UI, base path included, with --jaeger URL"
    )]
    NotJaeger { url: String, cause: String },
    /// 401 or 403.
    #[error(
        "{url} answered {status}: it wants to know who asks. Give --token-file FILE or --user NAME:PASSWORD"
    )]
    Forbidden { url: String, status: u16 },
    /// It answered with another failure.
    #[error("{url} answered {status}: {words}")]
    Refused { url: String, status: u16, words: String },
    /// More than is read.
    #[error("{url} sent more than {limit} MiB, the most that is read of one answer (--max-answer)")]
    TooLarge { url: String, limit: u64 },
    /// Not whole in time.
    #[error("{url} sent no whole answer within {limit:?} (--timeout)")]
    Slow { url: String, limit: Duration },
    /// The answer cannot be read.
    #[error("{url}: {source}")]
    Answer {
        url: String,
        #[source]
        source: journey::Error,
    },
    /// The server does not search by attribute, and going through all traces found nothing in time.
    #[error(
        "{url} ignores attributes in searches, and {read} traces that were read one by one do not tell of it. Ask by trace id, or give a shorter --since"
    )]
    NoAttributes { url: String, read: usize },
    /// A flag that cannot be used.
    #[error("{0}")]
    Settings(String),
}

// === impl AskError ===

impl AskError {
    /// Whether the same question may well be answered a moment later.
    pub(super) fn passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => matches!(status, 429 | 502..=504),
            _ => false,
        }
    }

    /// Whether a question about a shorter time may be answered.
    pub(super) fn too_much(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::Slow { .. })
    }
}

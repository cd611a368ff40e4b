//! What the engine knows of a trace: enough to recognise steps, nothing of any wire format.

use std::collections::BTreeMap;

/// All spans known of one trace, in any order, duplicates allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// The id as 32 lower-case hex digits.
    pub id: String,
    /// The spans.
    pub spans: Vec<Span>,
}

/// One span.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// 16 lower-case hex digits.
    pub id: String,
    /// Id of the parent span; none for a root.
    pub parent: Option<String>,
    /// `service.name` of its resource.
    pub service: String,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// Unix nanoseconds.
    pub start_ns: u64,
    /// Unix nanoseconds; before `start_ns` when a clock was wrong.
    pub end_ns: u64,
    /// Its status is Error.
    pub error: bool,
    /// Description of the error status; empty when there is none.
    pub error_message: String,
    /// Attributes of the span as text.
    pub attributes: BTreeMap<String, String>,
    /// Attributes of the resource that sent it, as text, such as `service.instance.id`.
    pub resource: BTreeMap<String, String>,
    /// Other spans that it refers to, but not as its parent.
    pub links: Vec<Link>,
}

/// A reference to a span that is not the parent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// 32 lower-case hex digits.
    pub trace: String,
    /// 16 lower-case hex digits.
    pub span: String,
}

/// The kind of a span, as OpenTelemetry has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Work inside a service; also what is taken for a missing or unknown kind.
    #[default]
    Internal,
    /// Takes a call.
    Server,
    /// Makes a call.
    Client,
    /// Makes a message.
    Producer,
    /// Takes a message.
    Consumer,
}

// === impl Trace ===

impl Trace {
    /// The first value of attribute `key` on any span.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.spans.iter().find_map(|s| s.attributes.get(key)).map(String::as_str)
    }
}

// === impl Kind ===

impl Kind {
    /// From the lower-case word, `internal` for any other.
    pub fn from_word(word: &str) -> Self {
        match word {
            "server" => Self::Server,
            "client" => Self::Client,
            "producer" => Self::Producer,
            "consumer" => Self::Consumer,
            _ => Self::Internal,
        }
    }
}

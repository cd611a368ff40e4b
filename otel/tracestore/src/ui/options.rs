//! How the UI is set up.

use super::UiError;

/// What the UI shows beside traces.
#[derive(Debug, Clone)]
pub struct UiOptions {
    /// Path under which UI and APIs lie, for example `/jaeger`; `/` for none.
    pub base_path: String,
    /// Entries at the right of the UI's bar, in order.
    pub menu: Vec<MenuItem>,
    /// Links on attributes and traces.
    pub links: Vec<LinkPattern>,
    /// Version shown as the server's.
    pub version: String,
    /// Most traces that the search form offers.
    pub max_limit: usize,
}

/// An entry of the menu: a link, or a heading with links.
#[derive(Debug, Clone)]
pub enum MenuItem {
    /// `label` leads to `url`.
    Link {
        /// Text shown.
        label: String,
        /// Absolute, or below the base path when it starts with `/`.
        url: String,
    },
    /// A drop-down list.
    Group {
        /// Text shown.
        label: String,
        /// What is in it; groups in groups are left out.
        items: Vec<MenuItem>,
    },
}

/// Makes an attribute's value, or a whole trace, a link.
#[derive(Debug, Clone)]
pub struct LinkPattern {
    /// On what.
    pub place: LinkPlace,
    /// Attribute key; unused for traces.
    pub key: String,
    /// Template such as `/search?tags=#{order.id}`; below the base path when it starts with `/`. Variables are
    /// attribute keys, and `#{traceID}` for traces.
    pub url: String,
    /// Text shown on the link; the same variables.
    pub text: String,
}

/// What a [`LinkPattern`] is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkPlace {
    /// The trace as a whole: an icon beside its name.
    Traces,
    /// An attribute of a span.
    Tags,
    /// An attribute of a resource.
    Process,
    /// An attribute of an event.
    Logs,
}

impl LinkPlace {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Tags => "tags",
            Self::Process => "process",
            Self::Logs => "logs",
        }
    }
}

impl Default for UiOptions {
    fn default() -> Self {
        Self {
            base_path: "/".to_owned(),
            menu: Vec::new(),
            links: vec![LinkPattern::logs_of_trace()],
            version: concat!("waybill-tracestore ", env!("CARGO_PKG_VERSION")).to_owned(),
            max_limit: 1_500,
        }
    }
}

impl UiOptions {
    /// The options for an order pipeline whose front door is at `front_door` (a URL without a path): a menu that leads
    /// there, and a link from every `order.id` to the order's traces.
    #[must_use]
    pub fn for_orders(front_door: &str) -> Self {
        let door = front_door.trim_end_matches('/');
        let link = |label: &str, url: String| MenuItem::Link { label: label.to_owned(), url };
        let search =
            "/search?service=mobile-app&lookback=2d&limit=20&tags=%7B%22order.id%22%3A%22#{order.id}%22%7D";
        Self {
            menu: vec![
                link("Order a pizza", format!("{door}/")),
                MenuItem::Group {
                    label: "About".to_owned(),
                    items: vec![
                        link("Front door API", format!("{door}/openapi.json")),
                        link("Jaeger documentation", "https://www.jaegertracing.io/docs/2.14/".to_owned()),
                    ],
                },
            ],
            links: vec![
                LinkPattern::logs_of_trace(),
                LinkPattern {
                    place: LinkPlace::Tags,
                    key: "order.id".to_owned(),
                    url: search.to_owned(),
                    text: "All traces of order #{order.id}".to_owned(),
                },
            ],
            ..Self::default()
        }
    }

    /// With a slash at both ends.
    pub(crate) fn normal_base_path(&self) -> Result<String, UiError> {
        let inner = self.base_path.trim_matches('/');
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '/');
        if !inner.chars().all(plain) || inner.split('/').any(|part| part.starts_with('.')) {
            return Err(UiError::BasePath(self.base_path.clone()));
        }
        Ok(if inner.is_empty() { "/".to_owned() } else { format!("/{inner}/") })
    }
}

impl LinkPattern {
    /// An icon on each trace that leads to its log records.
    #[must_use]
    pub fn logs_of_trace() -> Self {
        Self {
            place: LinkPlace::Traces,
            key: String::new(),
            url: "/logs?trace_id=#{traceID}".to_owned(),
            text: "Logs of this trace".to_owned(),
        }
    }
}

//! How a route recognises a span.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::{Kind, Span};

/// How a span is recognised: everything given must hold.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Its `service.name`.
    pub service: String,
    /// Its name.
    pub span: String,
    /// Its kind; any when not given.
    #[serde(default)]
    pub kind: Option<Kind>,
    /// Whether it ended in error; where only what ended well counts, a mark must say `true` to count in error, too.
    #[serde(default)]
    pub error: Option<bool>,
    /// On a hand-off: it is answered by someone in between, such as a broker, and shows nothing of the receiver.
    #[serde(default)]
    pub promise: bool,
    /// Attributes with their values as text; of several values one must hold.
    #[serde(default)]
    pub attributes: BTreeMap<String, AnyOf>,
}

/// One value or several, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnyOf(pub Vec<String>);

// === impl Mark ===

impl Mark {
    /// Whether `span` is such a one.
    pub fn fits(&self, span: &Span) -> bool {
        self.service == span.service
            && self.span == span.name
            && self.kind.is_none_or(|kind| kind == span.kind)
            && self.error.is_none_or(|error| error == span.error)
            && self
                .attributes
                .iter()
                .all(|(key, any)| span.attributes.get(key).is_some_and(|v| any.0.contains(v)))
    }
}

impl<'de> Deserialize<'de> for AnyOf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Flag(bool),
            Number(i64),
            Text(String),
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Forms {
            Many(Vec<Form>),
            One(Form),
        }
        let text = |form| match form {
            Form::Flag(flag) => flag.to_string(),
            Form::Number(number) => number.to_string(),
            Form::Text(text) => text,
        };
        Ok(Self(match Forms::deserialize(deserializer)? {
            Forms::One(form) => vec![text(form)],
            Forms::Many(forms) => forms.into_iter().map(text).collect(),
        }))
    }
}

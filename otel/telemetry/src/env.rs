//! The process's environment as it was at start: read once, so that init is a pure function of it.

use std::collections::BTreeMap;

/// A snapshot of environment variables. Empty values count as unset, as the specification says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Env(BTreeMap<String, String>);

// === impl Env ===

impl Env {
    /// The variables of this process that concern telemetry: `OTEL_*` and `RUST_LOG`.
    #[must_use]
    pub fn from_process() -> Self {
        let ours = |name: &str| name.starts_with("OTEL_") || name == "RUST_LOG";
        std::env::vars_os()
            .filter_map(|(name, value)| {
                Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
            })
            .filter(|(name, _)| ours(name))
            .collect()
    }

    /// The value without surrounding blanks; `None` when unset or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// All that are set, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.keys().filter_map(|name| Some((name.as_str(), self.get(name)?)))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

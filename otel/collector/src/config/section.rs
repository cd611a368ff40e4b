//! Reads one mapping of the configuration, key by key. What nobody asked for is an error with its path, so that a
//! misspelt key can never be silently without effect.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Map, Value};

/// Faults and warnings found so far; shared by all sections of one file.
#[derive(Debug, Default, Clone)]
pub(crate) struct Report {
    faults: Rc<RefCell<Vec<String>>>,
    warnings: Rc<RefCell<Vec<String>>>,
}

/// A mapping of the file together with its path (`exporters::otlp::sending_queue`).
#[derive(Debug)]
pub(crate) struct Section {
    path: String,
    entries: Map<String, Value>,
    report: Report,
}

// === impl Report ===

impl Report {
    /// Notes a fault: the configuration will be refused.
    pub(crate) fn fault(&self, path: &str, text: impl std::fmt::Display) {
        let line = if path.is_empty() { text.to_string() } else { format!("{path}: {text}") };
        self.faults.borrow_mut().push(line);
    }

    /// Notes something that is odd but harmless.
    pub(crate) fn warn(&self, path: &str, text: impl std::fmt::Display) {
        self.warnings.borrow_mut().push(format!("{path}: {text}"));
    }

    /// Takes what was noted: faults, then warnings.
    #[must_use]
    pub(crate) fn take(&self) -> (Vec<String>, Vec<String>) {
        (self.faults.take(), self.warnings.take())
    }
}

// === impl Section ===

impl Section {
    /// A section for `value`, which may be empty (`otlp:` with nothing below it is an empty mapping).
    #[must_use]
    pub(crate) fn new(path: &str, value: Value, report: &Report) -> Self {
        let entries = match value {
            Value::Object(entries) => entries,
            Value::Null => Map::new(),
            other => {
                report.fault(path, format_args!("expected a mapping, found {}", kind(&other)));
                Map::new()
            }
        };
        Self { path: path.to_owned(), entries, report: report.clone() }
    }

    /// The section's path in the file.
    #[must_use]
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Where faults of this section go.
    #[must_use]
    pub(crate) fn report(&self) -> &Report {
        &self.report
    }

    /// The path of `key` below this section.
    #[must_use]
    pub(crate) fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}::{key}", self.path) }
    }

    /// Notes a fault at `key`.
    pub(crate) fn fault(&self, key: &str, text: impl std::fmt::Display) {
        self.report.fault(&self.at(key), text);
    }

    /// The keys not read yet.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &String> {
        self.entries.keys()
    }

    /// The keys of the mapping below `key`, which stays to be read.
    #[must_use]
    pub(crate) fn names_below(&self, key: &str) -> Vec<String> {
        self.entries
            .get(key)
            .and_then(Value::as_object)
            .map(|below| below.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// Takes the raw value of `key`; `None` when it is absent.
    pub(crate) fn take(&mut self, key: &str) -> Option<Value> {
        self.entries.remove(key)
    }

    /// Whether `key` is written, even as an empty mapping.
    #[must_use]
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// The mapping below `key`, `None` when the key is absent.
    pub(crate) fn section(&mut self, key: &str) -> Option<Section> {
        let path = self.at(key);
        self.take(key).map(|value| Section::new(&path, value, &self.report))
    }

    /// The mapping below `key`, empty when the key is absent.
    pub(crate) fn section_or_empty(&mut self, key: &str) -> Section {
        let path = self.at(key);
        let value = self.take(key).unwrap_or(Value::Null);
        Section::new(&path, value, &self.report)
    }

    /// Text; numbers and booleans are taken as written, as upstream does.
    pub(crate) fn text(&mut self, key: &str) -> Option<String> {
        match self.take(key)? {
            Value::Null => None,
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            other => {
                self.fault(key, format_args!("expected text, found {}", kind(&other)));
                None
            }
        }
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, key: &str, default: bool) -> bool {
        match self.take(key) {
            None | Some(Value::Null) => default,
            Some(Value::Bool(flag)) => flag,
            Some(Value::String(text)) if text == "true" || text == "false" => text == "true",
            Some(other) => {
                self.fault(key, format_args!("expected true or false, found {}", shown(&other)));
                default
            }
        }
    }

    /// A whole number that is not negative.
    pub(crate) fn number(&mut self, key: &str) -> Option<u64> {
        let value = self.take(key)?;
        let number = match &value {
            Value::Null => return None,
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        if number.is_none() {
            self.fault(key, format_args!("expected a whole number of at least 0, found {}", shown(&value)));
        }
        number
    }

    /// A whole number, negative ones too.
    pub(crate) fn integer(&mut self, key: &str) -> Option<i64> {
        let value = self.take(key)?;
        let number = match &value {
            Value::Null => return None,
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        if number.is_none() {
            self.fault(key, format_args!("expected a whole number, found {}", shown(&value)));
        }
        number
    }

    /// A number with a fraction.
    pub(crate) fn fraction(&mut self, key: &str, default: f64) -> f64 {
        match self.take(key) {
            None | Some(Value::Null) => default,
            Some(value) => value.as_f64().unwrap_or_else(|| {
                self.fault(key, format_args!("expected a number, found {}", shown(&value)));
                default
            }),
        }
    }

    /// A duration as Go writes it: `200ms`, `1m30s`, `1.5h`; a bare `0` is no time.
    pub(crate) fn duration(&mut self, key: &str, default: Duration) -> Duration {
        let Some(value) = self.take(key) else { return default };
        let parsed = match &value {
            Value::Null => return default,
            Value::String(text) => go_duration(text),
            Value::Number(number) if number.as_u64() == Some(0) => Some(Duration::ZERO),
            _ => None,
        };
        parsed.unwrap_or_else(|| {
            self.fault(key, format_args!("expected a duration such as 200ms or 5s, found {}", shown(&value)));
            default
        })
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, key: &str) -> Vec<String> {
        match self.take(key) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => items.iter().filter_map(|item| self.text_item(key, item)).collect(),
            Some(other) => {
                self.fault(key, format_args!("expected a list, found {}", kind(&other)));
                Vec::new()
            }
        }
    }

    /// A list of mappings.
    pub(crate) fn sections(&mut self, key: &str) -> Vec<Section> {
        let path = self.at(key);
        let items = match self.take(key) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => items,
            Some(other) => {
                self.fault(key, format_args!("expected a list, found {}", kind(&other)));
                Vec::new()
            }
        };
        let items = items.into_iter().enumerate();
        items.map(|(at, item)| Section::new(&format!("{path}::{at}"), item, &self.report)).collect()
    }

    /// A mapping of names to texts, such as headers.
    pub(crate) fn text_map(&mut self, key: &str) -> Vec<(String, String)> {
        let Some(mut below) = self.section(key) else { return Vec::new() };
        let names: Vec<String> = below.keys().cloned().collect();
        names.into_iter().filter_map(|name| below.text(&name).map(|value| (name, value))).collect()
    }

    /// Refuses keys that upstream knows and this collector does not have, with the reason.
    pub(crate) fn unsupported(&mut self, keys: &[&str]) {
        for key in keys {
            match self.take(key) {
                None | Some(Value::Null) => {}
                Some(_) => {
                    self.fault(key, "is not supported by this collector; remove it or run the official one")
                }
            }
        }
    }

    /// Ends the reading: each key that is left is unknown.
    pub(crate) fn finish(self) {
        for key in self.entries.keys() {
            self.report.fault(&self.at(key), "unknown key");
        }
    }

    fn text_item(&self, key: &str, item: &Value) -> Option<String> {
        match item {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            other => {
                self.fault(key, format_args!("expected text in the list, found {}", kind(other)));
                None
            }
        }
    }
}

/// A duration in the form of Go's `time.ParseDuration`, negative ones excluded.
#[must_use]
pub(crate) fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut seconds = 0.0_f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let amount: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let scale = match &rest[..end] {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        seconds += amount * scale;
        rest = &rest[end..];
    }
    Duration::try_from_secs_f64(seconds).ok()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) | Value::Null => kind(value).to_owned(),
        scalar => scalar.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        assert_eq!(go_duration("200ms"), Some(Duration::from_millis(200)));
        assert_eq!(go_duration("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(go_duration("1.5h"), Some(Duration::from_secs(5400)));
        assert_eq!(go_duration("0"), Some(Duration::ZERO));
        for bad in ["", "5", "5 s", "-1s", "s", "1x", "1e400s"] {
            assert_eq!(go_duration(bad), None, "{bad}");
        }
    }
}

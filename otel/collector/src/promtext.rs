//! Prometheus' text exposition format 0.0.4: what is written to a scraper, by the collector about itself and by the
//! `prometheus` exporter about others.

use std::fmt::Write as _;

/// The content type of the format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family of series is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FamilyKind {
    Counter,
    Gauge,
    Histogram,
    Summary,
}

// === impl FamilyKind ===

impl FamilyKind {
    fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }
}

/// Opens a family.
pub(crate) fn head(out: &mut String, name: &str, kind: FamilyKind, help: &str) {
    let help = help.replace('\\', r"\\").replace('\n', r"\n");
    let _ = writeln!(out, "# HELP {name} {help}");
    let _ = writeln!(out, "# TYPE {name} {}", kind.word());
}

/// Writes one sample. `extra` is one more label (`le`, `quantile`); `timestamp` is in milliseconds.
pub(crate) fn sample(
    out: &mut String,
    name: &str,
    labels: &[(String, String)],
    extra: Option<(&str, &str)>,
    value: f64,
    timestamp: Option<i64>,
) {
    out.push_str(name);
    let all = labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).chain(extra);
    let mut open = false;
    for (key, value) in all {
        out.push(if open { ',' } else { '{' });
        open = true;
        out.push_str(key);
        out.push_str("=\"");
        escape(out, value);
        out.push('"');
    }
    if open {
        out.push('}');
    }
    out.push(' ');
    out.push_str(&number(value));
    if let Some(timestamp) = timestamp {
        let _ = write!(out, " {timestamp}");
    }
    out.push('\n');
}

/// A number as Prometheus reads it.
pub(crate) fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".into() } else { "-Inf".into() }
    } else {
        value.to_string()
    }
}

fn escape(out: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => out.push_str(r"\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str(r"\n"),
            c => out.push(c),
        }
    }
}

//! The log records of one trace as a page for people.

use std::fmt::Write as _;

use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, X_CONTENT_TYPE_OPTIONS};
use serde_json::Value;

use super::{Answer, Record};

const STYLE: &str = "\
body{font:14px/1.5 system-ui,sans-serif;margin:1.5rem;color:#222;background:#fff}\
h1{font-size:1.2rem}table{border-collapse:collapse;width:100%}\
th{text-align:left;border-bottom:2px solid #ccc}td,th{padding:.25rem .6rem;vertical-align:top}\
tr:nth-child(even){background:#f6f8fa}td{border-bottom:1px solid #eee}\
.time,.span{font-family:ui-monospace,monospace;font-size:12px;white-space:nowrap}\
.body{white-space:pre-wrap;overflow-wrap:anywhere}.attributes{color:#666;font-size:12px;overflow-wrap:anywhere}\
.WARN{color:#8a5a00}.ERROR,.FATAL{color:#b00020;font-weight:600}";

type Page = ([(HeaderName, &'static str); 3], String);

/// Nothing that a service wrote is trusted: all of it is escaped, and the page may run no script.
pub(super) fn page(answer: &Answer) -> Page {
    let id = &answer.trace_id;
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Logs of {id}</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><style>{STYLE}</style></head><body>\
         <h1>Logs of trace <a href=\"trace/{id}\">{id}</a></h1>"
    );
    if answer.logs.is_empty() {
        html.push_str("<p>No log record carries this trace id.</p>");
    } else {
        html.push_str(
            "<table><thead><tr><th>time<th>severity<th>service<th>message<th>span</tr></thead><tbody>",
        );
        answer.logs.iter().for_each(|record| row(&mut html, record));
        html.push_str("</tbody></table>");
    }
    if answer.truncated {
        _ = write!(
            html,
            "<p>The first {} are shown; <code>&amp;limit=</code> shows more.</p>",
            answer.logs.len()
        );
    }
    html.push_str("</body></html>\n");
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'self'",
        ),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, html)
}

fn row(html: &mut String, record: &Record) {
    let body = match &record.body {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let attributes: Vec<String> = record
        .attributes
        .iter()
        .map(|(key, value)| match value {
            Value::String(text) => format!("{key}={text}"),
            other => format!("{key}={other}"),
        })
        .collect();
    let class = match record.severity_number {
        13..=16 => "WARN",
        17..=24 => "ERROR",
        _ => "",
    };
    _ = write!(
        html,
        "<tr><td class=\"time\">{}<td class=\"{class}\">{}<td>{}<td><div class=\"body\">{}</div>\
         <div class=\"attributes\">{}</div><td class=\"span\">{}</tr>",
        escape(&record.time),
        escape(&record.severity),
        escape(&record.service),
        escape(&body),
        escape(&attributes.join("  ")),
        escape(&record.span_id),
    );
}

/// Text as HTML content or a quoted attribute value.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

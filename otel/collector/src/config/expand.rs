//! `${env:NAME}`, `${env:NAME:-default}` and `$$`, as the official collector's `confmap` expands them: after the YAML is
//! parsed, in every text; a text that is nothing but one reference takes the type of what it stands for.

use serde_json::Value;

use super::section::Report;

/// How a variable is looked up; tests give a table instead of the process's environment.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Expands every text below `value`.
pub(crate) fn expand(value: Value, path: &str, env: Lookup<'_>, report: &Report) -> Value {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}::{key}") };
    match value {
        Value::String(text) => expand_text(&text, path, env, report),
        Value::Array(items) => Value::Array(
            items
                .into_iter()
                .enumerate()
                .map(|(i, item)| expand(item, &below(&i.to_string()), env, report))
                .collect(),
        ),
        Value::Object(entries) => Value::Object(
            entries
                .into_iter()
                .map(|(key, value)| {
                    let value = expand(value, &below(&key), env, report);
                    (key, value)
                })
                .collect(),
        ),
        other => other,
    }
}

fn expand_text(text: &str, path: &str, env: Lookup<'_>, report: &Report) -> Value {
    if let Some(reference) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'))
        && !reference.contains(['{', '}'])
    {
        return typed(&resolve(reference, path, env, report));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let Some(end) = after.find('}') else {
                report.fault(path, "`${` without its `}`");
                break;
            };
            out.push_str(&resolve(&after[..end], path, env, report));
            rest = &after[end + 1..];
        } else {
            // `$NAME` without braces has not been a reference since v0.104; upstream leaves it as it is.
            out.push('$');
        }
    }
    out.push_str(rest);
    Value::String(out)
}

fn resolve(reference: &str, path: &str, env: Lookup<'_>, report: &Report) -> String {
    let name = match reference.split_once(':') {
        Some(("env", name)) => name,
        // `${NAME}` is short for `${env:NAME}`: the scheme `env` is the default one.
        None => reference,
        Some((scheme, _)) => {
            report.fault(
                path,
                format_args!("`${{{reference}}}`: provider `{scheme}` is not supported, only `env` is"),
            );
            return String::new();
        }
    };
    let (name, default) = match name.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (name, None),
    };
    let sound = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !sound {
        report.fault(path, format_args!("`{name}` is not the name of an environment variable"));
        return String::new();
    }
    match (env(name), default) {
        (Some(value), _) => value,
        (None, Some(default)) => default.to_owned(),
        (None, None) => {
            report.warn(path, format_args!("environment variable {name} is not set, an empty text is used"));
            String::new()
        }
    }
}

fn typed(text: &str) -> Value {
    match serde_saphyr::from_str::<Value>(text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_) | Value::Object(_) | Value::Array(_))) => value,
        _ => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn expanded(text: &str) -> Value {
        let env = |name: &str| match name {
            "PORT" => Some("4317".to_owned()),
            "HOST" => Some("localhost".to_owned()),
            _ => None,
        };
        expand(json!(text), "x", &env, &Report::default())
    }

    #[test]
    fn references_defaults_and_escapes_are_expanded() {
        assert_eq!(expanded("${env:PORT}"), json!(4317));
        assert_eq!(expanded("${env:HOST}:${env:PORT}"), json!("localhost:4317"));
        assert_eq!(expanded("${env:NONE:-127.0.0.1:1}"), json!("127.0.0.1:1"));
        assert_eq!(expanded("${HOST}"), json!("localhost"));
        assert_eq!(expanded("a$$b $${env:HOST} $c"), json!("a$b ${env:HOST} $c"));
        assert_eq!(expanded("${env:NONE:-}"), json!(""));
    }

    #[test]
    fn an_unknown_provider_and_an_open_brace_are_faults() {
        for text in ["${file:/etc/passwd}", "${env:1X}", "x${env:HOST"] {
            let report = Report::default();
            expand(json!(text), "a::b", &|_| None, &report);
            let (faults, _) = report.take();
            assert_eq!(faults.len(), 1, "{text}");
            assert!(faults[0].starts_with("a::b: "), "{faults:?}");
        }
    }
}

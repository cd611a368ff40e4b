//! Arrays and maps as text: JSON as Go's `encoding/json` writes it, because that is what Jaeger shows and compares.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;

/// Appends a value as JSON: keys sorted, of equal ones the last; `<`, `>` and `&` escaped; bytes in base64, none as `null`.
pub(crate) fn push_json(out: &mut String, value: &AnyValue) {
    match &value.value {
        None | Some(Value::StringValueStrindex(_)) => out.push_str("null"),
        Some(Value::StringValue(text)) => push_text(out, text),
        Some(Value::BoolValue(value)) => out.push_str(if *value { "true" } else { "false" }),
        Some(Value::IntValue(value)) => push(out, format_args!("{value}")),
        // Go refuses these; as text they are at least not lost.
        Some(Value::DoubleValue(value)) if !value.is_finite() => push(out, format_args!("\"{value}\"")),
        Some(Value::DoubleValue(value)) => push_double(out, *value),
        Some(Value::BytesValue(bytes)) if bytes.is_empty() => out.push_str("null"),
        Some(Value::BytesValue(bytes)) => push(out, format_args!("\"{}\"", BASE64_STANDARD.encode(bytes))),
        Some(Value::ArrayValue(list)) => {
            let mut separator = '[';
            for value in &list.values {
                out.push(separator);
                separator = ',';
                push_json(out, value);
            }
            out.push_str(if separator == '[' { "[]" } else { "]" });
        }
        Some(Value::KvlistValue(map)) => {
            let nothing = AnyValue::default();
            let entries: BTreeMap<&str, &AnyValue> =
                map.values.iter().map(|e| (e.key.as_str(), e.value.as_ref().unwrap_or(&nothing))).collect();
            let mut separator = '{';
            for (key, value) in entries {
                out.push(separator);
                separator = ',';
                push_text(out, key);
                out.push(':');
                push_json(out, value);
            }
            out.push_str(if separator == '{' { "{}" } else { "}" });
        }
    }
}

/// A double as Go prints it in JSON: 5.0 is `5`, 1e21 is `1e+21`.
pub(crate) fn push_double(out: &mut String, value: f64) {
    let size = value.abs();
    if value.is_finite() && size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                push(out, format_args!("{digits}e+{exponent}"));
            }
            _ => out.push_str(&text),
        }
    } else {
        push(out, format_args!("{value}"));
    }
}

fn push_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..'\u{20}' => {
                push(out, format_args!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Writing to a `String` cannot fail.
pub(crate) fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValue, KeyValueList};

    fn any(value: Value) -> AnyValue {
        AnyValue { value: Some(value) }
    }

    #[test]
    fn arrays_and_maps_are_written_as_go_writes_them() {
        let pair = |key: &str, value| KeyValue { key: key.into(), value, ..KeyValue::default() };
        let map = KeyValueList {
            values: vec![
                pair("z", Some(any(Value::StringValue("<b>\"&\u{2028}\n\u{1}ü".into())))),
                pair("a", None),
                pair("z2", Some(any(Value::BytesValue(vec![])))),
                pair("a", Some(any(Value::BytesValue(vec![0, 255])))),
            ],
        };
        let list = ArrayValue {
            values: vec![
                any(Value::DoubleValue(5.0)),
                any(Value::DoubleValue(-0.0)),
                any(Value::DoubleValue(1e300)),
                any(Value::DoubleValue(1.5e-9)),
                any(Value::KvlistValue(map)),
                any(Value::ArrayValue(ArrayValue::default())),
                AnyValue::default(),
            ],
        };
        let mut text = String::new();
        push_json(&mut text, &any(Value::ArrayValue(list)));
        let wanted = r#"[5,-0,1e+300,1.5e-9,{"a":"AP8=","z":"\u003cb\u003e\"\u0026\u2028\n\u0001ü","z2":null},[],null]"#;
        assert_eq!(text, wanted);
    }
}

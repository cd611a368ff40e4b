//! OTLP JSON from files that people upload: read as leniently as the collector does.
//!
//! The protobuf crate's own reader wants enums as numbers, camelCase names and no nulls; files in the wild have
//! all of these, so they are evened out first.

use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, TracesData};
use serde_json::{Map, Value};

/// Reads `{"resourceSpans":[…]}`.
///
/// # Errors
/// In the words of the JSON reader, which names the place.
pub(crate) fn parse_traces(bytes: &[u8]) -> Result<Vec<ResourceSpans>, serde_json::Error> {
    // Nesting is limited by the reader (128 levels), so recursion below is too.
    let value: Value = serde_json::from_slice(bytes)?;
    let mut value = even_out(value);
    if let Value::Object(map) = &mut value {
        map.entry("resourceSpans").or_insert_with(|| Value::Array(Vec::new()));
    }
    serde_json::from_value(value).map(|data: TracesData| data.resource_spans)
}

fn even_out(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(even_out_object(map)),
        Value::Array(items) => items.into_iter().filter(|item| !item.is_null()).map(even_out).collect(),
        other => other,
    }
}

fn even_out_object(map: Map<String, Value>) -> Map<String, Value> {
    // Every object's keys are field names: attribute keys are values of `key`.
    map.into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| {
            let name = camel_case(name);
            let value = match (name.as_str(), value) {
                ("kind", Value::String(text)) => enum_number(&text, &SPAN_KINDS),
                ("code", Value::String(text)) => enum_number(&text, &STATUS_CODES),
                ("arrayValue" | "kvlistValue", Value::Object(mut list)) => {
                    list.entry("values").or_insert_with(|| Value::Array(Vec::new()));
                    Value::Object(even_out_object(list))
                }
                (_, value) => even_out(value),
            };
            (name, value)
        })
        .collect()
}

const SPAN_KINDS: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];
const STATUS_CODES: [&str; 3] = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];

/// An unknown name stays as it is, and the reader refuses it.
fn enum_number(text: &str, names: &[&str]) -> Value {
    names.iter().position(|name| *name == text).map_or_else(|| Value::String(text.to_owned()), Value::from)
}

fn camel_case(name: String) -> String {
    if !name.contains('_') {
        return name;
    }
    let mut words = name.split('_');
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        out.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        out.push_str(letters.as_str());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn files_with_enum_names_nulls_snake_case_and_empty_lists_are_read() {
        let text = r#"{"resource_spans":[{"resource":null,"scopeSpans":[{"spans":[{
            "traceId":"00000000000000000000000000000001","spanId":"0000000000000002","name":"n","parentSpanId":null,
            "kind":"SPAN_KIND_CLIENT","status":{"code":"STATUS_CODE_ERROR"},"startTimeUnixNano":5,"endTimeUnixNano":"7",
            "attributes":[{"key":"a_b","value":{"arrayValue":{}}},{"key":"c"},null],"unknownField":{"x":1}}]}]}]}"#;
        let spans = parse_traces(text.as_bytes()).unwrap();
        let span = &spans[0].scope_spans[0].spans[0];
        assert_eq!((span.kind, span.status.as_ref().unwrap().code), (3, 2));
        assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (5, 7));
        assert_eq!(span.attributes[0].key, "a_b");
    }

    #[test]
    fn what_is_not_otlp_is_refused() {
        for text in [
            "",
            "{",
            "[]",
            "1",
            r#"{"resourceSpans":{}}"#,
            r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xyz"}]}]}]}"#,
        ] {
            assert!(parse_traces(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse_traces(&[b'['; 1_000_000]).is_err());
        let deep = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"a","value":"#.to_owned()
            + &r#"{"arrayValue":{"values":["#.repeat(5_000);
        assert!(parse_traces(deep.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_traces(&bytes);
        }

        #[test]
        fn no_broken_file_makes_the_reader_panic(cut in 0_usize..400, patch in "[\\[\\]{}\":,0-9a-z]{0,6}") {
            let whole = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"s"}}]},
                "scopeSpans":[{"scope":{"name":"x"},"spans":[{"traceId":"00000000000000000000000000000001",
                "spanId":"0000000000000002","attributes":[{"key":"k","value":{"kvlistValue":{"values":[
                {"key":"n","value":{"intValue":"5"}}]}}}]}]}]}]}"#;
            let cut = cut.min(whole.len());
            let broken = format!("{}{patch}{}", &whole[..cut], &whole[cut..]);
            let _ = parse_traces(broken.as_bytes());
        }
    }
}

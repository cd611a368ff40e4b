//! Attribute filters of a search.

use serde_json::Value;

/// Most attributes that one search may ask for.
const MAX_TAGS: usize = 64;

/// A JSON object whose values are all strings, in order. `null` is an empty one. The error is Go's.
pub(crate) fn string_map(text: &str) -> Result<Vec<(String, String)>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| syntax_error(&error))?;
    let map = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Object(map) => map,
        other => return Err(wrong_type(&other, "map[string]string")),
    };
    map.into_iter()
        .map(|(key, value)| match value {
            Value::String(text) => Ok((key, text)),
            Value::Null => Ok((key, String::new())),
            other => Err(wrong_type(&other, "string")),
        })
        .collect()
}

/// Refuses a search with too many attributes.
pub(crate) fn check_count(tags: &[(String, String)]) -> Result<(), String> {
    if tags.len() > MAX_TAGS {
        return Err(format!("too many tags: {}, at most {MAX_TAGS} can be searched for at once", tags.len()));
    }
    Ok(())
}

fn syntax_error(error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "unexpected end of JSON input".to_owned();
    }
    format!("invalid JSON: {error}")
}

fn wrong_type(value: &Value, wanted: &str) -> String {
    let kind = match value {
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::String(_) => "string",
        Value::Null => "null",
    };
    format!("json: cannot unmarshal {kind} into Go value of type {wanted}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_must_be_strings() {
        assert_eq!(string_map(r#"{"a":"1"}"#), Ok(vec![("a".into(), "1".into())]));
        assert_eq!(string_map("null"), Ok(vec![]));
        assert_eq!(string_map(r#"{"a":null}"#), Ok(vec![("a".into(), String::new())]));
        for (text, error) in [
            (r#"{"a":1}"#, "json: cannot unmarshal number into Go value of type string"),
            (r#"{"a":true}"#, "json: cannot unmarshal bool into Go value of type string"),
            (r#"["a"]"#, "json: cannot unmarshal array into Go value of type map[string]string"),
            (r#"{"a":"#, "unexpected end of JSON input"),
        ] {
            assert_eq!(string_map(text), Err(error.into()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_map_of_strings_is_read(map in proptest::collection::btree_map("\\PC{0,8}", "\\PC{0,8}", 0..8)) {
            let text = serde_json::to_string(&map).unwrap();
            let mut read = string_map(&text).unwrap();
            read.sort();
            prop_assert_eq!(read, map.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[{}\\[\\]\",:a1\\PC]{0,40}") {
            let _ = string_map(&text);
        }
    }
}

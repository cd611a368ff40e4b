//! Attribute values: read from the wire, checked all the way down, and turned into the text that searches compare.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;

use super::wire::{Fields, Malformed};
use crate::nested;

/// Arrays and maps may nest this deep. prost stops at 100 messages, and a map costs three a level.
const MAX_DEPTH: usize = 24;

/// An `AnyValue` on the wire.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Any<'a> {
    Empty,
    Text(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(&'a [u8]),
    /// The whole `AnyValue` message, which holds an array or a map.
    Nested(&'a [u8]),
}

impl<'a> Any<'a> {
    /// Reads an `AnyValue` message.
    pub(crate) fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        Self::read_at(message, 0)
    }

    fn read_at(message: &'a [u8], depth: usize) -> Result<Self, Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed("an attribute value is nested deeper than 24 levels"));
        }
        let mut value = Self::Empty;
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            value = match field.number {
                1 => Self::Text(field.wire.text()?),
                2 => Self::Bool(field.wire.varint()? != 0),
                3 => Self::Int(field.wire.varint()?.cast_signed()),
                4 => Self::Double(f64::from_bits(field.wire.fixed64()?)),
                5 => {
                    check_array(field.wire.bytes()?, depth)?;
                    Self::Nested(message)
                }
                6 => {
                    check_map(field.wire.bytes()?, depth)?;
                    Self::Nested(message)
                }
                7 => Self::Bytes(field.wire.bytes()?),
                8 => {
                    field.wire.varint()?;
                    value
                }
                _ => value,
            };
        }
        Ok(value)
    }

    /// The value as searches see it; `scratch` holds it where it is not text already.
    pub(crate) fn text<'b>(&self, scratch: &'b mut String) -> &'b str
    where
        'a: 'b,
    {
        scratch.clear();
        match *self {
            Self::Empty => {}
            Self::Text(text) => return text,
            Self::Bool(value) => return if value { "true" } else { "false" },
            Self::Int(value) => nested::push(scratch, format_args!("{value}")),
            Self::Double(value) => nested::push_double(scratch, value),
            Self::Bytes(bytes) => BASE64_STANDARD.encode_string(bytes, scratch),
            Self::Nested(message) => {
                if let Ok(value) = AnyValue::decode(message) {
                    nested::push_json(scratch, &value);
                }
            }
        }
        scratch
    }
}

/// Reads a `KeyValue` message.
#[inline]
pub(crate) fn attribute(message: &[u8]) -> Result<(&str, Any<'_>), Malformed> {
    attribute_at(message, 0)
}

fn attribute_at(message: &[u8], depth: usize) -> Result<(&str, Any<'_>), Malformed> {
    let (mut key, mut value) = ("", Any::Empty);
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => key = field.wire.text()?,
            2 => value = Any::read_at(field.wire.bytes()?, depth)?,
            3 => drop(field.wire.varint()?),
            _ => {}
        }
    }
    Ok((key, value))
}

fn check_array(message: &[u8], depth: usize) -> Result<(), Malformed> {
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        if field.number == 1 {
            Any::read_at(field.wire.bytes()?, depth + 1)?;
        }
    }
    Ok(())
}

fn check_map(message: &[u8], depth: usize) -> Result<(), Malformed> {
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        if field.number == 1 {
            attribute_at(field.wire.bytes()?, depth + 1)?;
        }
    }
    Ok(())
}

/// A decoded value as the text that searches compare; the same text as [`Any::text`] gives.
pub(crate) fn text_of(value: Option<&AnyValue>) -> String {
    let mut out = String::new();
    match value.and_then(|value| value.value.as_ref()) {
        None | Some(Value::StringValueStrindex(_)) => {}
        Some(Value::StringValue(text)) => out.push_str(text),
        Some(Value::BoolValue(value)) => out.push_str(if *value { "true" } else { "false" }),
        Some(Value::IntValue(value)) => nested::push(&mut out, format_args!("{value}")),
        Some(Value::DoubleValue(value)) => nested::push_double(&mut out, *value),
        Some(Value::BytesValue(bytes)) => BASE64_STANDARD.encode_string(bytes, &mut out),
        Some(Value::ArrayValue(_) | Value::KvlistValue(_)) => {
            value.into_iter().for_each(|value| nested::push_json(&mut out, value));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValue, KeyValueList};

    fn any(value: Value) -> AnyValue {
        AnyValue { value: Some(value) }
    }

    #[test]
    fn a_value_has_the_same_text_on_the_wire_and_decoded() {
        let list = ArrayValue { values: vec![any(Value::IntValue(1)), any(Value::StringValue("x".into()))] };
        let map = KeyValueList {
            values: vec![KeyValue {
                key: "k".into(),
                value: Some(any(Value::ArrayValue(list.clone()))),
                ..Default::default()
            }],
        };
        let cases = [
            (Value::StringValue("card_declined".into()), "card_declined"),
            (Value::BoolValue(true), "true"),
            (Value::IntValue(-42), "-42"),
            (Value::DoubleValue(72.5), "72.5"),
            (Value::DoubleValue(5.0), "5"),
            (Value::DoubleValue(1e21), "1e+21"),
            (Value::DoubleValue(1.5e-9), "1.5e-9"),
            (Value::BytesValue(vec![1, 2, 3]), "AQID"),
            (Value::ArrayValue(list), r#"[1,"x"]"#),
            (Value::KvlistValue(map), r#"{"k":[1,"x"]}"#),
        ];
        for (value, text) in cases {
            let value = any(value);
            let wire = value.encode_to_vec();
            let mut scratch = String::new();
            assert_eq!(Any::read(&wire).unwrap().text(&mut scratch), text);
            assert_eq!(text_of(Some(&value)), text);
        }
    }

    #[test]
    fn a_value_nested_without_end_is_refused_without_recursing_without_end() {
        let mut value = any(Value::IntValue(1)).encode_to_vec();
        for _ in 0..10_000 {
            let mut array = vec![0x0a];
            super::super::wire::put_varint(&mut array, value.len() as u64);
            array.extend(&value);
            let mut outer = vec![0x2a];
            super::super::wire::put_varint(&mut outer, array.len() as u64);
            outer.extend(array);
            value = outer;
        }
        assert!(Any::read(&value).is_err());
    }
}

//! OTLP/JSON to protobuf, straight from the parser into the output, driven by the schema. The rules are those of the
//! OTLP specification ("JSON Protobuf Encoding") on top of protobuf's own: ids are hexadecimal, enumerations are numbers,
//! keys are lowerCamelCase, 64-bit numbers are texts or numbers, `null` is the default, unknown keys are ignored.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine::DecodePaddingMode};
use bytes::Bytes;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::schema::{self, Field, Integer, Kind, Message};
use super::wire::{put_nested, put_tag, put_varint};
use crate::pipeline::Signal;

/// protobuf's JSON mapping takes base64 with either alphabet, padded or not.
const BASE64: GeneralPurpose = base64(&alphabet::STANDARD);
const BASE64_URL: GeneralPurpose = base64(&alphabet::URL_SAFE);

const fn base64(alphabet: &alphabet::Alphabet) -> GeneralPurpose {
    GeneralPurpose::new(
        alphabet,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    )
}

/// Turns a request in JSON into protobuf. Nesting is bounded by `serde_json` (128 levels).
///
/// # Errors
/// Those of the parser, with line and column.
pub fn to_protobuf(signal: Signal, json: &[u8]) -> Result<Bytes, serde_json::Error> {
    // Text is checked once here, so that the parser need not check each string.
    let text =
        std::str::from_utf8(json).map_err(|error| de::Error::custom(format_args!("not UTF-8: {error}")))?;
    let mut out = Vec::with_capacity(json.len() / 2);
    let mut parser = serde_json::Deserializer::from_str(text);
    Body { shape: schema::request(signal), out: &mut out }.deserialize(&mut parser)?;
    parser.end()?;
    Ok(out.into())
}

/// The fields of one message.
struct Body<'a> {
    shape: &'static Message,
    out: &'a mut Vec<u8>,
}

/// The value of one field, with its tag; an array where the field repeats.
struct FieldValue<'a> {
    field: &'static Field,
    out: &'a mut Vec<u8>,
}

/// One element, with its tag.
struct Element<'a> {
    field: &'static Field,
    out: &'a mut Vec<u8>,
}

// === impl Body ===

impl<'de> DeserializeSeed<'de> for Body<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Body<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object for {}", self.shape.name)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let shape = self.shape;
        while let Some(found) = map.next_key_seed(Key(shape))? {
            match found {
                Some(field) => map.next_value_seed(FieldValue { field, out: self.out })?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// A key, looked up without keeping it.
struct Key(&'static Message);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        // Its name in the .proto file, too: upstream takes it, and what is not known is left out in silence.
        let fields = self.0.fields.iter();
        Ok(fields
            .clone()
            .find(|field| field.json == key)
            .or_else(|| fields.clone().find(|field| snake(field.json, key))))
    }
}

// === impl FieldValue ===

impl<'de> DeserializeSeed<'de> for FieldValue<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.field.repeated {
            deserializer.deserialize_any(self)
        } else {
            Element { field: self.field, out: self.out }.deserialize(deserializer)
        }
    }
}

impl<'de> Visitor<'de> for FieldValue<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array for {}", self.field.json)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        // Numbers are written one by one, not packed: parsers have to take both.
        while items.next_element_seed(Element { field: self.field, out: &mut *self.out })?.is_some() {}
        Ok(())
    }
}

// === impl Element ===

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self { field, out } = self;
        match field.kind {
            Kind::Message(shape) => Nested { field, shape, out }.deserialize(deserializer),
            _ => deserializer.deserialize_any(Self { field, out }),
        }
    }
}

/// A message within.
struct Nested<'a> {
    field: &'static Field,
    shape: &'static Message,
    out: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Nested<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object for {}", self.field.json)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        // `null` leaves a field unset, but an element of a list is still there, empty.
        if self.field.repeated {
            put_tag(self.out, self.field.number, 2);
            self.out.push(0);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let shape = self.shape;
        put_nested(self.out, self.field.number, |out| Body { shape, out }.visit_map(map))
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.field.kind {
            Kind::Text => "text",
            Kind::Bytes => "base64",
            Kind::Identifier { .. } => "hexadecimal digits",
            Kind::Varint(Integer::Bool) => "true or false",
            Kind::Double => "a number",
            Kind::Varint(_) | Kind::Fixed64 { .. } | Kind::Fixed32 => "a whole number in range",
            Kind::Message(_) => "an object",
        };
        write!(f, "{what} for {}", self.field.json)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<(), E> {
        match self.field.kind {
            Kind::Varint(Integer::Bool) => {
                put_tag(self.out, self.field.number, 0);
                self.out.push(u8::from(flag));
                Ok(())
            }
            _ => Err(E::invalid_type(de::Unexpected::Bool(flag), &self)),
        }
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<(), E> {
        self.integer(i128::from(number))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<(), E> {
        self.integer(i128::from(number))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<(), E> {
        match self.field.kind {
            Kind::Double => self.double(number),
            // protobuf's JSON mapping takes 1.0 and 1e3 for whole numbers.
            Kind::Varint(_) | Kind::Fixed64 { .. } | Kind::Fixed32
                if number.fract() == 0.0 && number.abs() < 1e18 =>
            {
                self.integer(number as i128)
            }
            _ => Err(E::invalid_type(de::Unexpected::Float(number), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        let wrong = |element: &Self| E::invalid_value(de::Unexpected::Str(text), element);
        match self.field.kind {
            Kind::Text => self.bytes(text.as_bytes()),
            Kind::Bytes => match BASE64.decode(text).or_else(|_| BASE64_URL.decode(text)) {
                Ok(bytes) => self.bytes(&bytes),
                Err(_) => Err(wrong(&self)),
            },
            Kind::Identifier { .. } => match unhex(text) {
                Some(bytes) => self.bytes(&bytes),
                None => Err(wrong(&self)),
            },
            Kind::Double => match text {
                "NaN" => self.double(f64::NAN),
                "Infinity" => self.double(f64::INFINITY),
                "-Infinity" => self.double(f64::NEG_INFINITY),
                _ => match text.parse::<f64>() {
                    Ok(number) if number.is_finite() => self.double(number),
                    _ => Err(wrong(&self)),
                },
            },
            // OTLP narrows protobuf's mapping to numbers; upstream takes names all the same.
            Kind::Varint(Integer::Enum) => match enumeration(text) {
                Some(number) => self.integer(number.into()),
                None => Err(wrong(&self)),
            },
            Kind::Varint(Integer::Bool) | Kind::Message(_) => Err(wrong(&self)),
            Kind::Varint(_) | Kind::Fixed64 { .. } | Kind::Fixed32 => match text.parse::<i128>() {
                Ok(number) => self.integer(number),
                Err(_) => Err(wrong(&self)),
            },
        }
    }
}

impl Element<'_> {
    fn bytes<E>(self, bytes: &[u8]) -> Result<(), E> {
        put_tag(self.out, self.field.number, 2);
        put_varint(self.out, bytes.len() as u64);
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn double<E>(self, number: f64) -> Result<(), E> {
        put_tag(self.out, self.field.number, 1);
        self.out.extend_from_slice(&number.to_le_bytes());
        Ok(())
    }

    fn integer<E: de::Error>(self, number: i128) -> Result<(), E> {
        let field = self.field.number;
        let range = |low: i128, high: i128| (low..=high).contains(&number);
        match self.field.kind {
            Kind::Double => return self.double(number as f64),
            Kind::Fixed64 { signed: false } if range(0, u64::MAX.into()) => {
                put_tag(self.out, field, 1);
                self.out.extend_from_slice(&(number as u64).to_le_bytes());
            }
            Kind::Fixed64 { signed: true } if range(i64::MIN.into(), i64::MAX.into()) => {
                put_tag(self.out, field, 1);
                self.out.extend_from_slice(&(number as i64).to_le_bytes());
            }
            Kind::Fixed32 if range(0, u32::MAX.into()) => {
                put_tag(self.out, field, 5);
                self.out.extend_from_slice(&(number as u32).to_le_bytes());
            }
            Kind::Varint(kind) if kind.holds(number) => {
                put_tag(self.out, field, 0);
                let shift = number as i32;
                let zigzag = ((shift << 1) ^ (shift >> 31)) as u32;
                put_varint(self.out, if kind == Integer::S32 { zigzag.into() } else { number as i64 as u64 });
            }
            _ => {
                let shown = number.to_string();
                return Err(E::invalid_value(de::Unexpected::Other(&shown), &self));
            }
        }
        Ok(())
    }
}

impl Integer {
    fn holds(self, number: i128) -> bool {
        let (low, high): (i128, i128) = match self {
            Self::Bool => return false,
            Self::U32 => (0, u32::MAX.into()),
            Self::U64 => (0, u64::MAX.into()),
            Self::I64 => (i64::MIN.into(), i64::MAX.into()),
            Self::S32 | Self::Enum => (i32::MIN.into(), i32::MAX.into()),
        };
        (low..=high).contains(&number)
    }
}

/// Whether `key` is `json` (lowerCamelCase) in snake_case.
fn snake(json: &str, key: &str) -> bool {
    let mut key = key.bytes();
    let same = json.bytes().all(|c| match c.is_ascii_uppercase() {
        true => key.next() == Some(b'_') && key.next() == Some(c.to_ascii_lowercase()),
        false => key.next() == Some(c),
    });
    same && key.next().is_none()
}

/// The number of an enumeration's value, by the name that no other enumeration has.
fn enumeration(name: &str) -> Option<i32> {
    let position = |names: &[&str], name: &str| names.iter().position(|one| *one == name);
    let found = if let Some(name) = name.strip_prefix("SPAN_KIND_") {
        position(&["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"], name)?
    } else if let Some(name) = name.strip_prefix("STATUS_CODE_") {
        position(&["UNSET", "OK", "ERROR"], name)?
    } else if let Some(name) = name.strip_prefix("AGGREGATION_TEMPORALITY_") {
        position(&["UNSPECIFIED", "DELTA", "CUMULATIVE"], name)?
    } else {
        let name = name.strip_prefix("SEVERITY_NUMBER_")?;
        if name == "UNSPECIFIED" {
            return Some(0);
        }
        let level = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let step = if level == name {
            1
        } else {
            name[level.len()..].parse().ok().filter(|n| (2..=4).contains(n))?
        };
        position(&["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"], level)? * 4 + step
    };
    i32::try_from(found).ok()
}

/// Hexadecimal digits of either case.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| (c as char).to_digit(16).map(|digit| digit as u8);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

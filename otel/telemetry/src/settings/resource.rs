//! Who sends: the resource. In rising order: the service's own code, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SERVICE_NAME`.

use super::reader::Reader;
use crate::service::Service;
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;

const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";

pub(super) fn read(r: &mut Reader<'_>, service: &Service) -> Vec<KeyValue> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let mut put = |key: &str, value: Option<&str>| {
        if let Some(value) = value {
            all.insert(key.to_owned(), value.to_owned());
        }
    };
    put(semconv::SERVICE_NAME, Some(service.name));
    put(semconv::SERVICE_VERSION, Some(service.version));
    put(semconv::SERVICE_NAMESPACE, service.namespace);
    put(semconv::SERVICE_CRITICALITY, service.criticality);
    put(semconv::DEPLOYMENT_ENVIRONMENT_NAME, service.environment);
    put(semconv::SERVICE_INSTANCE_ID, Some(&uuid::Uuid::new_v4().to_string()));
    all.extend(attributes(r));
    if let Some(name) = r.env.get("OTEL_SERVICE_NAME") {
        all.insert(semconv::SERVICE_NAME.to_owned(), name.to_owned());
    }
    all.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect()
}

/// `key=value,key=value`, both percent-decoded (resource SDK, "Specifying resource information via an environment
/// variable"). On any error the whole value is refused.
fn attributes(r: &mut Reader<'_>) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let value = r.env.get(ATTRIBUTES).unwrap_or_default();
    for pair in value.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').map(|(key, value)| (decode(key), decode(value))) {
            Some((Some(key), Some(value))) if !key.is_empty() => {
                all.insert(key, value);
            }
            _ => r.complain(ATTRIBUTES, format!("`{pair}` is not key=value with percent-encoded UTF-8")),
        }
    }
    all
}

fn decode(text: &str) -> Option<String> {
    let text = text.trim();
    // Every `%` must begin two hex digits: percent_decode_str would let the others pass.
    let bytes = text.as_bytes();
    let hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    let well_formed = (0..bytes.len()).all(|i| bytes[i] != b'%' || (hex(i + 1) && hex(i + 2)));
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    well_formed.then(|| decoded.into_owned())
}

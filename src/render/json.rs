//! A verdict for programs: one object on one line, as `docs/where.schema.json` describes it.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Told, status, units::rfc3339};
use crate::ask::lookup::Named;

/// Version of the schema. A key that goes or changes its meaning makes a new one; a new key does not.
const VERSION: u32 = 1;

/// An answer that is a verdict.
pub(crate) fn verdict(told: &Told<'_>) -> Value {
    let mut value = json!({
        "version": VERSION,
        "asked": told.asked,
        "asked_at": rfc3339(told.verdict.asked_ns),
        "found": true,
        "status": status(told.verdict.outcome),
        "sentence": told.sentence(),
        "links": told.links,
        "next": told.next,
    });
    merge(&mut value, told.verdict);
    value
}

/// An answer that there is none.
pub(crate) fn not_found(asked: &str, why: &str) -> Value {
    json!({ "version": VERSION, "asked": asked, "found": false, "status": 3, "sentence": why })
}

/// A text that names several orders.
pub(crate) fn several(asked: &str, why: &str, candidates: &[Named]) -> Value {
    let candidates: Vec<_> = candidates
        .iter()
        .map(|c| json!({ "by": c.by.value, "subject": c.subject, "trace": c.trace }))
        .collect();
    json!({ "version": VERSION, "asked": asked, "found": false, "status": 2, "sentence": why, "candidates": candidates })
}

/// A text that is no id.
pub(crate) fn no_id(asked: &str, why: &str) -> Value {
    json!({ "version": VERSION, "asked": asked, "found": false, "status": 2, "sentence": why })
}

/// The verdict's own keys beside the others: it has none of the same name.
fn merge(into: &mut Value, more: &impl Serialize) {
    if let (Value::Object(into), Ok(Value::Object(more))) = (into, serde_json::to_value(more)) {
        into.extend(more);
    }
}

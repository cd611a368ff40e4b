//! What is deployed, checked as files: compose.yaml with what it includes, and the settings of programs that cannot be run here.
//! Docker Compose itself reads the former in `make lint`; here stand the rules that it does not know.

#![allow(clippy::unwrap_used, reason = "tests")]

mod kibana;
mod stack;

use std::{fs, path::PathBuf};

use serde_json::Value;

/// The text of a file of the checkout.
fn text(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A YAML file of the checkout.
fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&text(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// A JSON file of the checkout.
fn json(path: &str) -> Value {
    serde_json::from_str(&text(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

//! Where the parts of a fleet are, as far as the one who asks knows: `endpoints.json` of `waybill up`, or the `*_URL`
//! variables that the services themselves read.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::AskError;
use crate::runtime;

/// Where `waybill up` writes the file unless told otherwise.
const USUAL: &str = "data/endpoints.json";

/// Base URLs of parts, by part and by what the port serves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places(BTreeMap<String, Entry>);

#[derive(Debug, Clone, Default, Deserialize)]
struct Entry {
    #[serde(default)]
    urls: BTreeMap<String, String>,
}

// === impl Places ===

impl Places {
    /// What `file` says; without one, what the usual file says where `usual` allows it and it is there.
    ///
    /// # Errors
    /// When a file that was asked for cannot be read, or any is no `endpoints.json`.
    pub(crate) fn read(file: Option<&PathBuf>, usual: bool) -> Result<Self, AskError> {
        let path = file.map_or_else(|| Path::new(USUAL), PathBuf::as_path);
        if file.is_none() && !usual {
            return Ok(Self::default());
        }
        let bad = |why: String| AskError::Settings(format!("--endpoints {}: {why}", path.display()));
        match fs::read(path) {
            Ok(text) => serde_json::from_slice(&text).map(Self).map_err(|e| bad(e.to_string())),
            Err(e) if file.is_none() && e.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(bad(e.to_string())),
        }
    }

    /// Base URL of what `part` serves over HTTP, without a trailing slash: from its file, else from its variable
    /// (`DELIVERY_ASSIGNMENT_URL`); none when nobody said.
    pub(crate) fn url(&self, part: &str) -> Option<String> {
        let variable = || runtime::variable(&format!("{}_URL", part.to_ascii_uppercase().replace('-', "_")));
        self.port(part, "http").or_else(variable).map(|url| url.trim_end_matches('/').to_owned())
    }

    /// Base URL of one port of `part`, from its file alone: `metrics` and `health` of the collector, `http` of services.
    pub(crate) fn port(&self, part: &str, role: &str) -> Option<String> {
        self.0.get(part)?.urls.get(role).cloned()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_running_fleet_says_where_its_parts_are() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), r#"{"auth":{"url":"x","pid":1,"restarts":0,"urls":{"http":"http://a:1/"}}}"#)
            .unwrap();
        let places = Places::read(Some(&file.path().to_owned()), false).unwrap();
        assert_eq!(places.url("auth").as_deref(), Some("http://a:1"));
        assert_eq!(places.url("a-service-without-a-variable"), None);
    }

    #[test]
    fn a_file_that_was_asked_for_must_be_there_and_readable() {
        let error = Places::read(Some(&PathBuf::from("/nowhere/endpoints.json")), false).unwrap_err();
        assert!(error.to_string().contains("/nowhere/endpoints.json"), "{error}");
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "[]").unwrap();
        assert!(Places::read(Some(&file.path().to_owned()), false).is_err());
    }
}

//! What the parts print: kept in one bounded file each, warnings shown to whoever watches the fleet.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

use crate::term;

/// A log file larger than this is put aside as `<name>.log.1`, over the one put aside before.
const FILE_LIMIT: u64 = 16 << 20;
/// A longer line is cut into pieces of this size.
const LINE_LIMIT: u64 = 64 << 10;
/// Lines of one part shown within [`WINDOW`]; the rest is only counted.
const SHOWN: u32 = 5;
/// Characters of a line that are shown.
const SHOWN_CHARS: usize = 300;
/// See [`SHOWN`].
const WINDOW: Duration = Duration::from_secs(5);

/// The log of one part.
#[derive(Debug, Clone)]
pub(crate) struct Journal(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    part: &'static str,
    path: PathBuf,
    file: File,
    size: u64,
    window: Instant,
    shown: u32,
    hidden: u32,
    last: String,
    quiet: bool,
}

// === impl Journal ===

impl Journal {
    /// Opens (and appends to) the log of `part` in `folder`. A quiet one shows nothing on stderr.
    ///
    /// # Errors
    /// When folder or file cannot be written.
    pub(crate) fn open(folder: &std::path::Path, part: &'static str, quiet: bool) -> io::Result<Self> {
        let path = folder.join(format!("{part}.log"));
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let size = file.metadata()?.len();
        let (window, shown, hidden, last) = (Instant::now(), 0, 0, String::new());
        Ok(Self(Arc::new(Mutex::new(Inner { part, path, file, size, window, shown, hidden, last, quiet }))))
    }

    /// Copies `stream` line by line until it ends. Lines of stderr are always of interest: a sound part writes none.
    pub(crate) async fn copy(self, stream: impl AsyncRead + Unpin, always: bool) {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut reader).take(LINE_LIMIT).read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return,
                Ok(_) => self.take(&line, always),
            }
        }
    }

    /// The newest line that was of interest; empty when there was none.
    pub(crate) fn last(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last.clone()
    }

    fn take(&self, line: &[u8], always: bool) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.keep(line);
        if always || is_warning(line) {
            let text = readable(line);
            if !text.is_empty() {
                inner.show(&text);
                inner.last = text;
            }
        }
    }
}

// === impl Inner ===

impl Inner {
    /// A log that cannot be written must not stop the part: the line is lost, the part lives.
    fn keep(&mut self, line: &[u8]) {
        if self.size > FILE_LIMIT {
            drop(fs::rename(&self.path, self.path.with_extension("log.1")));
            if let Ok(file) = OpenOptions::new().create(true).append(true).open(&self.path) {
                self.file = file;
                self.size = 0;
            }
        }
        if self.file.write_all(line).is_ok() {
            self.size += line.len() as u64;
        }
    }

    fn show(&mut self, text: &str) {
        if self.quiet {
            return;
        }
        if self.window.elapsed() > WINDOW {
            if self.hidden > 0 {
                term::note(&format!(
                    "{}: {} more lines are in {}",
                    self.part,
                    self.hidden,
                    self.path.display()
                ));
            }
            (self.window, self.shown, self.hidden) = (Instant::now(), 0, 0);
        }
        if self.shown < SHOWN {
            self.shown += 1;
            term::note(&format!("{}: {text}", self.part));
        } else {
            self.hidden += 1;
        }
    }
}

/// Cheap look at a JSON log line: no parse for the lines that nobody will see.
fn is_warning(line: &[u8]) -> bool {
    let has = |needle: &[u8]| line.windows(needle.len()).any(|w| w == needle);
    has(b"\"WARN\"") || has(b"\"ERROR\"")
}

/// A JSON log line as `warn: message (key=value …)`; any other line as it is.
fn readable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line).trim_end().to_owned();
    let Ok(serde_json::Value::Object(object)) = serde_json::from_str(&text) else {
        return text;
    };
    let field = |key: &str| object.get(key).and_then(serde_json::Value::as_str);
    let fields = object.get("fields").and_then(serde_json::Value::as_object).unwrap_or(&object);
    let message = fields.get("message").or(object.get("message")).and_then(serde_json::Value::as_str);
    let known = ["message", "timestamp", "level", "target", "service", "span_id", "fields", "span", "spans"];
    let rest: Vec<_> = fields
        .iter()
        .chain(object.get_key_value("trace_id").filter(|_| !fields.contains_key("trace_id")))
        .filter(|(key, value)| !known.contains(&key.as_str()) && !value.is_null())
        .map(|(key, value)| {
            format!("{key}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        })
        .collect();
    let tail = if rest.is_empty() { String::new() } else { format!(" ({})", rest.join(" ")) };
    let head = format!("{}: {}", field("level").unwrap_or("note").to_lowercase(), message.unwrap_or(&text));
    shortened(head + &tail)
}

/// The whole of it is in the file.
fn shortened(mut line: String) -> String {
    if let Some((cut, _)) = line.char_indices().nth(SHOWN_CHARS) {
        line.truncate(cut);
        line.push('…');
    }
    line
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_json_warning_becomes_one_readable_line() {
        let line =
            br#"{"timestamp":"t","level":"WARN","service":"auth","trace_id":"ab","message":"slow","ms":7}"#;
        assert!(is_warning(line));
        assert_eq!(readable(line), "warn: slow (ms=7 trace_id=ab)");
        assert_eq!(readable(b"thread panicked\n"), "thread panicked");
        assert!(!is_warning(br#"{"level":"INFO","message":"ready"}"#));
    }

    #[tokio::test]
    async fn everything_is_kept_and_an_endless_line_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path(), "auth", false).unwrap();
        let long = vec![b'x'; 200_000];
        journal.copy(&long[..], false).await;
        assert_eq!(fs::metadata(folder.path().join("auth.log")).unwrap().len(), 200_000);
    }
}

//! Extensions: `health_check`, which tells whether the collector serves, and `file_storage`, where queues are kept.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::Error;
use crate::config::{Id, Section, endpoint, known, required};
use crate::pipeline::Signal;
use crate::queue::disk::Store;
use crate::serve::Handler;

/// The settings of one extension, checked.
#[derive(Debug, Clone)]
pub(crate) enum ExtensionConfig {
    /// `health_check`.
    HealthCheck(HealthCheck),
    /// `file_storage`.
    FileStorage(FileStorage),
}

/// `health_check`.
#[derive(Debug, Clone)]
pub(crate) struct HealthCheck {
    pub(crate) endpoint: SocketAddr,
    path: String,
}

/// `file_storage`.
#[derive(Debug, Clone)]
pub(crate) struct FileStorage {
    directory: PathBuf,
    create: bool,
    fsync: bool,
}

/// Reads the settings of the extension `id`.
pub(crate) fn configure(id: &Id, section: Section) -> Option<ExtensionConfig> {
    known(id, "extensions", &["health_check", "file_storage"], &section)?;
    match id.kind() {
        "health_check" => HealthCheck::read(section).map(ExtensionConfig::HealthCheck),
        _ => FileStorage::read(section).map(ExtensionConfig::FileStorage),
    }
}

// === impl HealthCheck ===

impl HealthCheck {
    fn read(mut section: Section) -> Option<Self> {
        let endpoint = endpoint(&mut section, Some("localhost:13133"));
        let path = section.text("path").unwrap_or_else(|| "/".into());
        section.unsupported(&[
            "tls",
            "response_body",
            "check_collector_pipeline",
            "use_v2",
            "http",
            "grpc",
            "auth",
        ]);
        section.finish();
        Some(Self { endpoint: endpoint?, path })
    }

    /// Answers 200 while `ready`, 503 before and after, in the form that upstream answers.
    pub(crate) fn service(&self, ready: Arc<AtomicBool>) -> impl Handler<Full<Bytes>> + use<> {
        let path: Arc<str> = self.path.as_str().into();
        let started = (Instant::now(), SystemTime::now());
        move |request: Request<Incoming>| {
            let (path, ready) = (path.clone(), ready.load(Ordering::Relaxed));
            async move {
                let known = request.uri().path() == &*path;
                Ok::<_, Infallible>(if known {
                    health(ready, started)
                } else {
                    plain(StatusCode::NOT_FOUND, "")
                })
            }
        }
    }
}

fn health(ready: bool, (started, since): (Instant, SystemTime)) -> Response<Full<Bytes>> {
    let (status, word) = if ready {
        (StatusCode::OK, "Server available")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "Server not available")
    };
    let up_since = humantime::format_rfc3339_nanos(since).to_string();
    let uptime = format!("{:?}", started.elapsed());
    let body = serde_json::json!({ "status": word, "upSince": up_since, "uptime": uptime }).to_string();
    let mut response = plain(status, &body);
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

fn plain(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    *response.status_mut() = status;
    response
}

// === impl FileStorage ===

impl FileStorage {
    fn read(mut section: Section) -> Option<Self> {
        let directory = required(&mut section, "directory").map(PathBuf::from);
        let create = section.flag("create_directory", false);
        let fsync = section.flag("fsync", false);
        // Upstream's wait for its database's lock; our lock is there or it is not.
        section.duration("timeout", Duration::from_secs(1));
        // Our files need no compaction: a settled segment is deleted.
        section.take("compaction");
        section.text("directory_permissions");
        section.unsupported(&["recreate", "max_size"]);
        section.finish();
        let storage = Self { directory: directory?, create, fsync };
        Some(storage)
    }

    /// Makes sure that the directory is there and can be written.
    pub(crate) fn prepare(&self) -> Result<(), Error> {
        let fail = |source| Error::Storage { path: self.directory.clone(), source };
        if self.create {
            std::fs::create_dir_all(&self.directory).map_err(fail)?;
        }
        if !self.directory.is_dir() {
            let text = "no such directory; create it or set create_directory: true";
            return Err(fail(std::io::Error::new(std::io::ErrorKind::NotFound, text)));
        }
        Ok(())
    }

    /// Opens the files of one component, such as `exporter_otlp`, and signal.
    pub(crate) fn open(&self, component: &str, signal: Signal) -> Result<Store, Error> {
        let name: String =
            component.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        Store::open(&self.directory.join(format!("{name}_{}", signal.word())), self.fsync)
    }
}

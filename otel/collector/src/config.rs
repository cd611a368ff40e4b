//! The official collector's configuration file: YAML, `${env:...}`, components by `type/name`, pipelines by signal. All
//! faults of a file are found before any is reported.

mod client;
mod expand;
mod queue;
mod section;
mod server;
mod service;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use serde_json::Value;

pub(crate) use client::{ClientConfig, Compression, grpc_target, http_target, required};
pub use expand::Lookup;
pub(crate) use queue::{BatchConfig, QueueConfig, RetryConfig, Sizer};
use section::Report;
pub(crate) use section::Section;
pub(crate) use server::{GrpcServer, HttpServer, endpoint};
use service::Service;
pub(crate) use service::{MetricsReader, PipelineConfig, TelemetryConfig};
pub(crate) use tls::ClientTls;

use crate::Error;
use crate::exporter::{self, ExporterConfig};
use crate::extension::{self, ExtensionConfig};
use crate::processor::{self, ProcessorConfig};
use crate::receiver::OtlpReceiver;

/// A component's id: `type` or `type/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(String);

/// A configuration without faults.
#[derive(Debug)]
pub struct Config {
    pub(crate) receivers: BTreeMap<Id, OtlpReceiver>,
    pub(crate) processors: BTreeMap<Id, Box<dyn ProcessorConfig>>,
    pub(crate) exporters: BTreeMap<Id, Box<dyn ExporterConfig>>,
    pub(crate) extensions: BTreeMap<Id, ExtensionConfig>,
    pub(crate) pipelines: Vec<PipelineConfig>,
    pub(crate) telemetry: TelemetryConfig,
    /// Every id written in the file, sound or not: a faulty component is not also reported as missing.
    written: BTreeSet<(&'static str, Id)>,
    warnings: Vec<String>,
}

/// The sections whose entries are components.
const PARTS: [&str; 4] = ["receivers", "processors", "exporters", "extensions"];

// === impl Id ===

impl Id {
    /// What the component is: the part before the slash.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.split_once('/').map_or(self.0.as_str(), |(kind, _)| kind)
    }

    /// The part after the slash, if there is one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.split_once('/').map(|(_, name)| name)
    }
}

impl From<&str> for Id {
    fn from(text: &str) -> Self {
        Self(text.trim().to_owned())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Config ===

impl Config {
    /// Reads and checks the file at `path`; `env` looks variables up.
    ///
    /// # Errors
    /// [`Error::Read`] when the file cannot be read, [`Error::Config`] with every fault that it has.
    pub fn load(path: &Path, env: Lookup<'_>) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::parse(&text, env)
    }

    /// Like [`Config::load`], for a text that is at hand.
    ///
    /// # Errors
    /// [`Error::Config`] with every fault that it has.
    pub fn parse(text: &str, env: Lookup<'_>) -> Result<Self, Error> {
        let report = Report::default();
        let value: Value = serde_saphyr::from_str(text)
            .map_err(|error| Error::Config(vec![format!("not YAML: {error}")]))?;
        let root = Section::new("", expand::expand(value, "", env, &report), &report);
        let mut config = Self::read(root);
        config.check(&report);
        let (faults, warnings) = report.take();
        config.warnings = warnings;
        if faults.is_empty() { Ok(config) } else { Err(Error::Config(faults)) }
    }

    /// What is odd but harmless, such as a component that no pipeline uses.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// `service::telemetry::logs::level`: the least severe log that is wanted.
    #[must_use]
    pub fn log_level(&self) -> Option<&str> {
        self.telemetry.log_level.as_deref()
    }

    fn read(mut root: Section) -> Self {
        let written = PARTS.iter().flat_map(|part| {
            root.names_below(part).into_iter().map(move |name| (*part, Id::from(name.as_str())))
        });
        let written = written.collect();
        let config = Self {
            receivers: components(&mut root, "receivers", |id, section| {
                known(id, "receivers", &["otlp"], &section)?;
                OtlpReceiver::read(section)
            }),
            processors: components(&mut root, "processors", processor::configure),
            exporters: components(&mut root, "exporters", exporter::configure),
            extensions: components(&mut root, "extensions", extension::configure),
            pipelines: Vec::new(),
            telemetry: TelemetryConfig::default(),
            written,
            warnings: Vec::new(),
        };
        if root.has("connectors") {
            root.unsupported(&["connectors"]);
        }
        let Service { pipelines, extensions, telemetry } = Service::read(root.section_or_empty("service"));
        let report = root.report().clone();
        root.finish();
        config.check_extensions(&extensions, &report);
        Self { pipelines, telemetry, ..config.only(&extensions) }
    }

    /// Extensions run only when `service::extensions` names them.
    fn only(mut self, extensions: &[Id]) -> Self {
        self.extensions.retain(|id, _| extensions.contains(id));
        self
    }

    fn check_extensions(&self, named: &[Id], report: &Report) {
        for id in named {
            if !self.written.contains(&("extensions", id.clone())) {
                report
                    .fault("service::extensions", format_args!("`{id}` is not configured below extensions"));
            }
        }
        for id in self.extensions.keys().filter(|id| !named.contains(id)) {
            report.warn(
                &format!("extensions::{id}"),
                "is configured but not in service::extensions, so it does not run",
            );
        }
    }

    fn check(&self, report: &Report) {
        let mut used = BTreeSet::new();
        for pipeline in &self.pipelines {
            let path = format!("service::pipelines::{}", pipeline.id);
            let lists = [&pipeline.receivers, &pipeline.processors, &pipeline.exporters];
            for (part, ids) in PARTS.into_iter().zip(lists) {
                for id in ids {
                    used.insert((part, id.clone()));
                    if !self.written.contains(&(part, id.clone())) {
                        report.fault(
                            &format!("{path}::{part}"),
                            format_args!("`{id}` is not configured below {part}"),
                        );
                    }
                }
            }
            self.check_signals(pipeline, &path, report);
        }
        for (part, id) in self.written.iter().filter(|(part, _)| *part != "extensions") {
            if !used.contains(&(*part, id.clone())) {
                report.warn(&format!("{part}::{id}"), "is configured but used by no pipeline");
            }
        }
        self.check_storages(report);
    }

    fn check_signals(&self, pipeline: &PipelineConfig, path: &str, report: &Report) {
        for id in &pipeline.processors {
            if let Some(processor) = self.processors.get(id)
                && !processor.signals().contains(&pipeline.signal)
            {
                report.fault(
                    &format!("{path}::processors"),
                    format_args!("`{id}` does not take {}", pipeline.signal.word()),
                );
            }
        }
        for id in &pipeline.exporters {
            if let Some(exporter) = self.exporters.get(id)
                && !exporter.signals().contains(&pipeline.signal)
            {
                report.fault(
                    &format!("{path}::exporters"),
                    format_args!("`{id}` does not take {}", pipeline.signal.word()),
                );
            }
        }
    }

    fn check_storages(&self, report: &Report) {
        for (id, exporter) in &self.exporters {
            let Some(storage) = exporter.storage() else { continue };
            if !matches!(self.extensions.get(storage), Some(ExtensionConfig::FileStorage(_))) {
                report.fault(
                    &format!("exporters::{id}::sending_queue::storage"),
                    format_args!(
                        "`{storage}` is not a file_storage extension that service::extensions names"
                    ),
                );
            }
        }
    }
}

/// Faults `id` unless its kind is among `kinds`.
pub(crate) fn known(id: &Id, part: &str, kinds: &[&str], section: &Section) -> Option<()> {
    if kinds.contains(&id.kind()) {
        return Some(());
    }
    let kinds = kinds.join(", ");
    section
        .report()
        .fault(section.path(), format_args!("unknown type `{}` for {part}; known are {kinds}", id.kind()));
    None
}

fn components<T>(
    root: &mut Section,
    part: &str,
    read: impl Fn(&Id, Section) -> Option<T>,
) -> BTreeMap<Id, T> {
    let mut section = root.section_or_empty(part);
    let names: Vec<String> = section.keys().cloned().collect();
    let mut found = BTreeMap::new();
    for name in names {
        let id = Id::from(name.as_str());
        if let Some(body) = section.section(&name)
            && let Some(component) = read(&id, body)
        {
            found.insert(id, component);
        }
    }
    found
}

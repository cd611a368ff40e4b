//! A backend that keeps its traces in a list, so that these tests are about the API alone.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::ResourceLogs;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use std::sync::Mutex;
use tracestore::api::{Backend, BackendError};
use tracestore::model::{Dependency, Operation, Query, Trace, TraceId};

use crate::spans::{kind_name, text};

#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) traces: Vec<Trace>,
    pub(crate) logs: Vec<ResourceLogs>,
    pub(crate) dependencies: Vec<Dependency>,
    /// Services that are listed although they have no spans.
    pub(crate) idle_services: Vec<String>,
    /// What was asked for last.
    pub(crate) asked: Mutex<Vec<Query>>,
    pub(crate) ailment: Option<String>,
}

impl Memory {
    fn spans(&self) -> impl Iterator<Item = (&ResourceSpans, &Span)> {
        let resources = self.traces.iter().flat_map(|t| &t.resource_spans);
        resources
            .flat_map(|r| r.scope_spans.iter().flat_map(move |s| s.spans.iter().map(move |span| (r, span))))
    }
}

fn service(resource: &ResourceSpans) -> String {
    let attributes = resource.resource.iter().flat_map(|r| &r.attributes);
    attributes.filter(|a| a.key == "service.name").map(text).next().unwrap_or_default()
}

fn has(attributes: &[KeyValue], key: &str, value: &str) -> bool {
    attributes.iter().any(|a| a.key == key && text(a) == value)
}

fn matches(query: &Query, resource: &ResourceSpans, span: &Span) -> bool {
    let duration = span.end_time_unix_nano - span.start_time_unix_nano;
    let tag = |(key, value): &(String, String)| match key.as_str() {
        "error" => (span.status.as_ref().is_some_and(|s| s.code == 2)) == (value == "true"),
        _ => has(&span.attributes, key, value),
    };
    query.service.as_ref().is_none_or(|s| *s == service(resource))
        && query.operation.as_ref().is_none_or(|o| *o == span.name)
        && (query.start_min_ns..=query.start_max_ns).contains(&span.start_time_unix_nano)
        && duration >= query.duration_min_ns
        && (query.duration_max_ns == 0 || duration <= query.duration_max_ns)
        && query.tags.iter().all(tag)
}

impl Backend for Memory {
    fn trace(&self, id: TraceId) -> Result<Option<Trace>, BackendError> {
        if id == TraceId([0xee; 16]) {
            return Err("the disk is on fire in /var/secret".into());
        }
        Ok(self.traces.iter().find(|t| t.id == id).cloned())
    }

    fn find(&self, query: &Query) -> Result<Vec<Trace>, BackendError> {
        self.asked.lock().unwrap().push(query.clone());
        let hit = |t: &&Trace| {
            t.resource_spans
                .iter()
                .any(|r| r.scope_spans.iter().flat_map(|s| &s.spans).any(|s| matches(query, r, s)))
        };
        Ok(self.traces.iter().filter(hit).take(query.limit).cloned().collect())
    }

    fn services(&self) -> Result<Vec<String>, BackendError> {
        let names = self.spans().map(|(resource, _)| service(resource));
        Ok(names.chain(self.idle_services.clone()).collect())
    }

    fn operations(&self, name: &str) -> Result<Vec<Operation>, BackendError> {
        let own = self.spans().filter(|(resource, _)| service(resource) == name);
        Ok(own.map(|(_, span)| Operation { name: span.name.clone(), kind: kind_name(span.kind) }).collect())
    }

    fn dependencies(&self, _: u64, _: u64) -> Result<Vec<Dependency>, BackendError> {
        Ok(self.dependencies.clone())
    }

    fn logs(&self, _: TraceId, _: usize) -> Result<Vec<ResourceLogs>, BackendError> {
        Ok(self.logs.clone())
    }

    fn ailment(&self) -> Option<String> {
        self.ailment.clone()
    }
}

//! The collector's own metrics, under the official collector's names.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::process;
use crate::promtext::{self, FamilyKind};

/// A number that only grows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counter(Arc<AtomicU64>);

/// All series of one collector.
#[derive(Clone)]
pub(crate) struct Registry {
    started: Instant,
    families: Arc<Mutex<BTreeMap<String, Family>>>,
}

/// How names are spelt on a scrape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spelling {
    pub(crate) without_type_suffix: bool,
    pub(crate) without_units: bool,
}

struct Family {
    help: &'static str,
    kind: FamilyKind,
    unit: &'static str,
    series: Vec<(Vec<(String, String)>, Read)>,
}

type Read = Box<dyn Fn() -> f64 + Send>;

// === impl Counter ===

impl Counter {
    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl Registry ===

impl Registry {
    /// A registry that already holds the process's own series.
    pub(crate) fn new() -> Self {
        let registry = Self { started: Instant::now(), families: Arc::default() };
        let started = registry.started;
        registry.insert(
            "process_uptime",
            "Uptime of the process",
            FamilyKind::Counter,
            "seconds",
            Vec::new(),
            move || started.elapsed().as_secs_f64(),
        );
        registry.insert(
            "process_cpu_seconds",
            "Total CPU user and system time in seconds",
            FamilyKind::Counter,
            "seconds",
            Vec::new(),
            || process::cpu_seconds().unwrap_or(0.0),
        );
        registry.insert(
            "process_memory_rss",
            "Total physical memory (resident set size)",
            FamilyKind::Gauge,
            "bytes",
            Vec::new(),
            || process::rss_bytes().unwrap_or(0) as f64,
        );
        registry
    }

    /// A counter `otelcol_<name>`; asking twice for the same series gives two series, so components ask once.
    pub(crate) fn counter(&self, name: &str, help: &'static str, labels: &[(&str, &str)]) -> Counter {
        let counter = Counter::default();
        let read = counter.clone();
        self.insert(name, help, FamilyKind::Counter, "", owned(labels), move || read.get() as f64);
        counter
    }

    /// A gauge that is read on each scrape.
    pub(crate) fn gauge(
        &self,
        name: &str,
        help: &'static str,
        labels: &[(&str, &str)],
        read: impl Fn() -> f64 + Send + 'static,
    ) {
        self.insert(name, help, FamilyKind::Gauge, "", owned(labels), read);
    }

    fn insert(
        &self,
        name: &str,
        help: &'static str,
        kind: FamilyKind,
        unit: &'static str,
        labels: Vec<(String, String)>,
        read: impl Fn() -> f64 + Send + 'static,
    ) {
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let family = families.entry(format!("otelcol_{name}"));
        let family = family.or_insert_with(|| Family { help, kind, unit, series: Vec::new() });
        family.series.push((labels, Box::new(read)));
    }

    /// The scrape's text.
    pub(crate) fn render(&self, spelling: Spelling) -> String {
        let families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::with_capacity(4096);
        for (name, family) in families.iter() {
            let mut name = name.clone();
            if !spelling.without_units && !family.unit.is_empty() && !name.ends_with(family.unit) {
                name = format!("{name}_{}", family.unit);
            }
            if !spelling.without_type_suffix && family.kind == FamilyKind::Counter {
                name.push_str("_total");
            }
            promtext::head(&mut out, &name, family.kind, family.help);
            for (labels, read) in &family.series {
                promtext::sample(&mut out, &name, labels, None, read(), None);
            }
        }
        let target =
            owned(&[("service_name", "otelcol-waybill"), ("service_version", env!("CARGO_PKG_VERSION"))]);
        promtext::head(&mut out, "target_info", FamilyKind::Gauge, "Target metadata");
        promtext::sample(&mut out, "target_info", &target, None, 1.0, None);
        out
    }
}

fn owned(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

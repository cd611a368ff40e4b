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

/// Whole numbers, counted by size.
#[derive(Debug, Clone)]
pub(crate) struct Histogram(Arc<Sizes>);

#[derive(Debug)]
struct Sizes {
    bounds: &'static [u64],
    /// One for each bound, and one for what is above the last.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

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

enum Read {
    Value(Box<dyn Fn() -> f64 + Send>),
    Sizes(Histogram),
}

// === impl Counter ===

impl Counter {
    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// Sets it: for a gauge that reads it.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl Histogram ===

impl Histogram {
    fn new(bounds: &'static [u64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Sizes { bounds, counts, sum: AtomicU64::new(0) }))
    }

    pub(crate) fn record(&self, value: u64) {
        let at = self.0.bounds.partition_point(|bound| *bound < value);
        self.0.counts[at].fetch_add(1, Ordering::Relaxed);
        self.0.sum.fetch_add(value, Ordering::Relaxed);
    }

    fn render(&self, out: &mut String, name: &str, labels: &[(String, String)]) {
        let (bucket, mut below) = (format!("{name}_bucket"), 0);
        for (at, count) in self.0.counts.iter().enumerate() {
            below += count.load(Ordering::Relaxed);
            let bound = self.0.bounds.get(at).map_or_else(|| "+Inf".to_owned(), u64::to_string);
            promtext::sample(out, &bucket, labels, Some(("le", &bound)), below as f64, None);
        }
        let sum = self.0.sum.load(Ordering::Relaxed) as f64;
        promtext::sample(out, &format!("{name}_sum"), labels, None, sum, None);
        promtext::sample(out, &format!("{name}_count"), labels, None, below as f64, None);
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

    /// A counter in `unit` that is read on each scrape.
    pub(crate) fn counter_of(
        &self,
        name: &str,
        help: &'static str,
        unit: &'static str,
        labels: &[(&str, &str)],
        read: impl Fn() -> f64 + Send + 'static,
    ) {
        self.insert(name, help, FamilyKind::Counter, unit, owned(labels), read);
    }

    /// A histogram `otelcol_<name>` in `unit` (such as `seconds`, or empty) with these upper bounds.
    pub(crate) fn histogram(
        &self,
        name: &str,
        help: &'static str,
        unit: &'static str,
        bounds: &'static [u64],
        labels: &[(&str, &str)],
    ) -> Histogram {
        let histogram = Histogram::new(bounds);
        let read = Read::Sizes(histogram.clone());
        self.insert_series(name, help, FamilyKind::Histogram, unit, owned(labels), read);
        histogram
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
        self.insert_series(name, help, kind, unit, labels, Read::Value(Box::new(read)));
    }

    fn insert_series(
        &self,
        name: &str,
        help: &'static str,
        kind: FamilyKind,
        unit: &'static str,
        labels: Vec<(String, String)>,
        read: Read,
    ) {
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let family = families.entry(format!("otelcol_{name}"));
        let family = family.or_insert_with(|| Family { help, kind, unit, series: Vec::new() });
        family.series.push((labels, read));
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
                match read {
                    Read::Value(read) => promtext::sample(&mut out, &name, labels, None, read(), None),
                    Read::Sizes(sizes) => sizes.render(&mut out, &name, labels),
                }
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

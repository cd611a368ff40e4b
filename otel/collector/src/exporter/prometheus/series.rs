//! The series that a scrape shows: the last value of each, until it has not been renewed for a while.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::promtext::{self, FamilyKind};

/// The most series that are kept: whoever sends an id as a label fills this, not the memory.
pub(super) const MAX_SERIES: usize = 100_000;

/// Labels, sorted by name.
pub(super) type Labels = Vec<(String, String)>;

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
}

/// A value of a series.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Number(f64),
    /// Upper bounds with the count of each bucket alone; the last bucket has no bound.
    Histogram {
        bounds: Vec<f64>,
        counts: Vec<u64>,
        sum: Option<f64>,
        count: u64,
    },
    Summary {
        quantiles: Vec<(f64, f64)>,
        sum: f64,
        count: u64,
    },
}

/// One point on its way into a series.
#[derive(Debug)]
pub(super) struct Point {
    pub(super) labels: Labels,
    pub(super) value: Value,
    /// Nanoseconds since 1970.
    pub(super) time: u64,
    /// Whether it counts from the last point, not from the start.
    pub(super) delta: bool,
}

/// Why a point was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dropped {
    /// Another metric of that name has another type.
    TypeConflict,
    /// [`MAX_SERIES`] is reached.
    TooMany,
    /// It is older than what is there.
    Late,
}

/// All series.
#[derive(Default)]
pub(super) struct Table {
    families: BTreeMap<String, Family>,
    series: usize,
}

struct Family {
    kind: Kind,
    help: String,
    series: HashMap<Labels, Series>,
}

struct Series {
    value: Value,
    time: u64,
    renewed: Instant,
}

// === impl Table ===

impl Table {
    /// Keeps a point; a delta is added to what is there.
    pub(super) fn put(&mut self, name: &str, kind: Kind, help: &str, point: Point) -> Result<(), Dropped> {
        if !self.families.contains_key(name) {
            let family = Family { kind, help: help.to_owned(), series: HashMap::new() };
            self.families.insert(name.to_owned(), family);
        }
        let Some(family) = self.families.get_mut(name).filter(|family| family.kind == kind) else {
            return Err(Dropped::TypeConflict);
        };
        let Point { labels, value, time, delta } = point;
        match family.series.get_mut(&labels) {
            Some(series) if time < series.time => Err(Dropped::Late),
            Some(series) => {
                series.value = if delta { added(&series.value, value) } else { value };
                (series.time, series.renewed) = (time, Instant::now());
                Ok(())
            }
            None if self.series >= MAX_SERIES => Err(Dropped::TooMany),
            None => {
                self.series += 1;
                family.series.insert(labels, Series { value, time, renewed: Instant::now() });
                Ok(())
            }
        }
    }

    /// Forgets a series at once, as its sender says that it has ended.
    pub(super) fn end(&mut self, name: &str, labels: &Labels) {
        if let Some(family) = self.families.get_mut(name)
            && family.series.remove(labels).is_some()
        {
            self.series -= 1;
        }
    }

    /// The scrape's text; what was not renewed within `expiration` is forgotten first.
    pub(super) fn render(&mut self, expiration: Duration, timestamps: bool) -> String {
        let mut left = 0;
        self.families.retain(|_, family| {
            family.series.retain(|_, series| series.renewed.elapsed() <= expiration);
            left += family.series.len();
            !family.series.is_empty()
        });
        self.series = left;
        let mut out = String::with_capacity(left * 128);
        for (name, family) in &self.families {
            promtext::head(&mut out, name, family.kind.into(), &family.help);
            let mut sorted: Vec<_> = family.series.iter().collect();
            sorted.sort_unstable_by_key(|(labels, _)| *labels);
            for (labels, series) in sorted {
                let timestamp =
                    timestamps.then(|| i64::try_from(series.time / 1_000_000).unwrap_or(i64::MAX));
                series.value.render(&mut out, name, labels, timestamp);
            }
        }
        out
    }
}

// === impl Value ===

impl Value {
    fn render(&self, out: &mut String, name: &str, labels: &Labels, timestamp: Option<i64>) {
        match self {
            Self::Number(number) => promtext::sample(out, name, labels, None, *number, timestamp),
            Self::Histogram { bounds, counts, sum, count } => {
                let bucket = format!("{name}_bucket");
                let mut below = 0;
                for (bound, inside) in bounds.iter().zip(counts) {
                    below += inside;
                    let le = promtext::number(*bound);
                    promtext::sample(out, &bucket, labels, Some(("le", &le)), below as f64, timestamp);
                }
                promtext::sample(out, &bucket, labels, Some(("le", "+Inf")), *count as f64, timestamp);
                if let Some(sum) = sum {
                    promtext::sample(out, &format!("{name}_sum"), labels, None, *sum, timestamp);
                }
                promtext::sample(out, &format!("{name}_count"), labels, None, *count as f64, timestamp);
            }
            Self::Summary { quantiles, sum, count } => {
                for (quantile, value) in quantiles {
                    let quantile = promtext::number(*quantile);
                    promtext::sample(out, name, labels, Some(("quantile", &quantile)), *value, timestamp);
                }
                promtext::sample(out, &format!("{name}_sum"), labels, None, *sum, timestamp);
                promtext::sample(out, &format!("{name}_count"), labels, None, *count as f64, timestamp);
            }
        }
    }
}

impl From<Kind> for FamilyKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self::Counter,
            Kind::Gauge => Self::Gauge,
            Kind::Histogram => Self::Histogram,
            Kind::Summary => Self::Summary,
        }
    }
}

/// Adds a delta to what has come so far. Buckets that have changed start anew.
fn added(so_far: &Value, delta: Value) -> Value {
    match (so_far, delta) {
        (Value::Number(so_far), Value::Number(delta)) => Value::Number(so_far + delta),
        (
            Value::Histogram { bounds: old, counts: so_far, sum: sum_so_far, count: count_so_far },
            Value::Histogram { bounds, counts, sum, count },
        ) if *old == bounds && so_far.len() == counts.len() => Value::Histogram {
            bounds,
            counts: so_far.iter().zip(&counts).map(|(a, b)| a.saturating_add(*b)).collect(),
            sum: sum_so_far.zip(sum).map(|(a, b)| a + b),
            count: count_so_far.saturating_add(count),
        },
        (_, delta) => delta,
    }
}

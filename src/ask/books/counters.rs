//! What was dropped and refused on the way of the spans: each service's own counters (`GET /telemetry`), else what the
//! collector's Prometheus exporter last heard of them; the collector's own.

use std::collections::BTreeMap;

use futures::future::join_all;
use journey::{Says, Witness};
use serde::{Deserialize, Serialize};

use super::{Books, Unread};

/// All services, those without a book included.
pub(crate) const SERVICES: [&str; 8] = [
    "mobile-app",
    "auth",
    "restaurant-availability",
    "payment-gateway",
    "restaurant-orders",
    "delivery-assignment",
    "tracking",
    "notification",
];

/// Series of the collector that say that spans were lost or refused, as far as their names begin.
const COLLECTOR: [&str; 4] = [
    "otelcol_receiver_refused_spans",
    "otelcol_processor_refused_spans",
    "otelcol_exporter_send_failed_spans",
    "otelcol_exporter_enqueue_failed_spans",
];
/// Series of a service, as the Prometheus exporter writes its name.
const PROCESSED: &str = "otel_sdk_processor_span_processed";
const EXPORTED: &str = "otel_sdk_exporter_span_exported";

/// What a service says of its own telemetry.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Face {
    pub(crate) settings: Vec<Setting>,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) spans: Counts,
}

/// A setting in force.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) source: String,
}

/// An odd setting.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Warning {
    pub(crate) name: String,
    pub(crate) says: String,
    pub(crate) remedy: String,
}

/// What became of a service's spans.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Counts {
    /// By reason.
    pub(crate) dropped: BTreeMap<String, u64>,
    pub(crate) last_drop_unix_ms: u64,
}

/// All counters of a running system.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// By service; those of which nobody knows where they are, are left out.
    pub(crate) faces: Vec<(&'static str, Result<Face, Unread>)>,
    /// Drops that the collector was told of, by service and reason: of services that do not answer themselves.
    pub(crate) heard: BTreeMap<(String, String), u64>,
    /// The collector's series that are above zero.
    pub(crate) collector: BTreeMap<String, u64>,
    /// Whether the collector's counters could be read; none when nobody knows where it is.
    pub(crate) collector_answers: Option<bool>,
}

// === impl Books ===

impl Books {
    /// Reads every counter there is.
    pub(crate) async fn counters(&self) -> Counters {
        let known = SERVICES.into_iter().filter(|service| self.places.url(service).is_some());
        let ask = |service: &'static str| async move {
            let url = self.places.url(service).unwrap_or_default();
            (service, self.get::<Face>(&format!("{url}/telemetry"), &[]).await)
        };
        let (faces, own, heard) =
            futures::join!(join_all(known.map(ask)), self.series("metrics"), self.series("prometheus"),);
        let silent: Vec<_> = faces.iter().filter(|(_, f)| f.is_err()).map(|(s, _)| *s).collect();
        let mut counters = Counters {
            faces,
            collector_answers: self.places.port("collector", "metrics").map(|_| own.is_ok()),
            ..Counters::default()
        };
        for line in own.unwrap_or_default().iter().filter(|l| l.value > 0) {
            if COLLECTOR.iter().any(|name| line.name.starts_with(name)) {
                *counters.collector.entry(line.name.clone()).or_default() += line.value;
            }
        }
        for line in heard.unwrap_or_default() {
            let Some((service, reason)) = line.dropped() else { continue };
            if silent.contains(&service.as_str()) {
                *counters.heard.entry((service, reason)).or_default() += line.value;
            }
        }
        counters
    }

    async fn series(&self, port: &str) -> Result<Vec<Line>, Unread> {
        let base = self.places.port("collector", port).ok_or(Unread::Other)?;
        let body = self.bytes(&format!("{}/metrics", base.trim_end_matches('/')), &[]).await?;
        Ok(String::from_utf8_lossy(&body).lines().filter_map(Line::parse).collect())
    }
}

// === impl Counters ===

impl Counters {
    /// Losses that may concern a journey that began at `began_ns`: a service knows when it last dropped anything.
    pub(crate) fn witnesses(&self, began_ns: Option<u64>) -> Vec<Witness> {
        let began_ms = began_ns.unwrap_or_default() / 1_000_000;
        let mut all = Vec::new();
        for (service, face) in &self.faces {
            let Ok(face) = face else { continue };
            let dropped = &face.spans.dropped;
            if dropped.values().any(|n| *n > 0) && face.spans.last_drop_unix_ms >= began_ms {
                all.push(lost("drop counter", service, dropped.iter().filter(|(_, n)| **n > 0)));
            }
        }
        let mut heard: BTreeMap<&str, BTreeMap<&String, u64>> = BTreeMap::new();
        for ((service, reason), n) in &self.heard {
            heard.entry(service).or_default().insert(reason, *n);
        }
        for (service, reasons) in &heard {
            all.push(lost("drop counter in Prometheus", service, reasons.iter().map(|(r, n)| (*r, n))));
        }
        all
    }
}

fn lost<'a>(what: &str, service: &str, reasons: impl Iterator<Item = (&'a String, &'a u64)>) -> Witness {
    let reasons: Vec<_> = reasons.collect();
    Witness {
        source: format!("{service}'s {what}"),
        says: Says::SpansLost {
            service: service.to_owned(),
            spans: reasons.iter().map(|(_, n)| **n).fold(0, u64::saturating_add),
        },
        detail: Some(reasons.iter().map(|(r, n)| format!("{n} {r}")).collect::<Vec<_>>().join(", ")),
    }
}

/// A line of Prometheus's text format.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    name: String,
    labels: Vec<(String, String)>,
    value: u64,
}

// === impl Line ===

impl Line {
    /// None for comments, and for values that are no counts.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float casts saturate")]
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.starts_with('#') {
            return None;
        }
        let (name, labels, rest) = match text.split_once('{') {
            Some((name, rest)) => {
                let (labels, rest) = rest.rsplit_once('}')?;
                (name, labels, rest)
            }
            None => {
                let (name, rest) = text.split_once(' ')?;
                (name, "", rest)
            }
        };
        let value = rest.split_whitespace().next()?.parse::<f64>().ok().filter(|v| v.is_finite())?;
        let labels = labels.split("\",").filter_map(|pair| {
            let (key, value) = pair.split_once("=\"")?;
            Some((key.trim().to_owned(), value.trim_end_matches('"').to_owned()))
        });
        Some(Self { name: name.to_owned(), labels: labels.collect(), value: value as u64 })
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Service and reason, where the line counts spans that were dropped.
    fn dropped(&self) -> Option<(String, String)> {
        let full = self.name.starts_with(PROCESSED) || self.name.starts_with(EXPORTED);
        let reason = self.label("error_type").filter(|_| full && self.value > 0)?;
        let job = self.label("job")?;
        Some((job.rsplit('/').next().unwrap_or(job).to_owned(), reason.to_owned()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_prometheus_tells_who_dropped_how_many_and_why() {
        let line = Line::parse(
            r#"otel_sdk_processor_span_processed_total{error_type="queue_full",instance="a",job="waybill/auth"} 17"#,
        );
        let line = line.unwrap();
        assert_eq!((line.dropped(), line.value), (Some(("auth".into(), "queue_full".into())), 17));
        let sent = Line::parse(r#"otel_sdk_exporter_span_exported_total{job="waybill/auth"} 17"#).unwrap();
        assert_eq!(sent.dropped(), None);
        assert_eq!(Line::parse("otelcol_receiver_refused_spans 3 1700000000").unwrap().value, 3);
        for text in ["# HELP x y", "", "x", "x{a=\"b\" 1", "x NaN"] {
            assert_eq!(Line::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_was_dropped_before_the_journey_began_is_no_witness() {
        let spans = Counts { dropped: BTreeMap::from([("queue_full".into(), 5)]), last_drop_unix_ms: 1_000 };
        let face = Face { settings: vec![], warnings: vec![], spans };
        let counters = Counters { faces: vec![("auth", Ok(face))], ..Counters::default() };
        let says = counters.witnesses(Some(900_000_000)).pop().unwrap().says;
        assert_eq!(says, Says::SpansLost { service: "auth".into(), spans: 5 });
        assert!(counters.witnesses(Some(1_100_000_000)).is_empty());
    }
}

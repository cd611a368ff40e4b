//! What can be wrong, whatever shows it, in one form.

use std::time::Duration;

use journey::{Ailment, Case, Outcome, Route, Symptom};
use serde::Serialize;

use super::sample::Sample;
use crate::{
    ask::books::{Counters, Unread},
    render::clock,
};

/// One thing that is wrong with the telemetry of one service, with the remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) kind: Kind,
    /// Whom to look at: a service, or the collector.
    pub(crate) service: String,
    /// What was seen, in plain words.
    pub(crate) says: String,
    pub(crate) count: u64,
    /// A trace that shows it.
    pub(crate) trace: Option<String>,
    pub(crate) remedy: String,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    ContextDropped,
    NoProducer,
    ParentMissing,
    ClockWrong,
    NoSubject,
    PersonalData,
    /// Not heard of at all, or not any more.
    Silent,
    /// Spans were dropped on the way, and counted.
    Dropped,
    /// The collector refused spans, or could not pass them on.
    Refused,
    /// An `OTEL_*` setting that costs telemetry is in force.
    OddSetting,
    /// A part that should be there does not answer.
    NoAnswer,
}

/// An order that began longer ago has been through every service that it will go through, and its spans have arrived.
const SETTLED: Duration = Duration::from_secs(60);

/// What the traces show.
pub(super) fn of_traces(sample: &Sample, route: &Route) -> Vec<Finding> {
    let ailments = journey::health(&sample.traces, route, sample.now_ns);
    let mute: Vec<_> =
        ailments.iter().filter(|a| a.symptom == Symptom::Silent).map(|a| a.service.clone()).collect();
    let mut all: Vec<_> = ailments.into_iter().map(Finding::from).collect();
    all.extend(went_silent(sample, route).into_iter().filter(|f| !mute.contains(&f.service)));
    all
}

/// Services that were heard of, and not since orders have gone on that had to pass them.
fn went_silent(sample: &Sample, route: &Route) -> Vec<Finding> {
    let settled = u64::try_from(SETTLED.as_nanos()).unwrap_or(u64::MAX);
    let cases = Case::split(sample.traces.clone(), route);
    let orders: Vec<_> = cases
        .iter()
        .filter(|case| case.subject.is_some())
        .filter_map(|case| {
            let verdict = journey::judge(case, route, &[], sample.now_ns);
            let began = verdict.stamps.iter().filter_map(|s| s.began_ns).min()?;
            // One that was turned away, or is still young, need not have come far.
            let came_far = verdict.outcome != Outcome::UnderWay && verdict.alternative.is_none();
            (came_far && began.saturating_add(settled) < sample.now_ns).then_some((began, verdict))
        })
        .collect();
    let services = route.services();
    let silent = services.iter().filter_map(|service| {
        let last = *sample.heard.0.get(*service)?;
        let since: Vec<_> = orders.iter().filter(|(began, _)| *began > last).collect();
        let (_, example) = since.first()?;
        Some(Finding {
            kind: Kind::Silent,
            service: (*service).to_owned(),
            says: format!("last heard of at {} UTC; orders have begun since", clock(last)),
            count: since.len() as u64,
            trace: example.traces.first().cloned(),
            remedy: Symptom::Silent.remedy().to_owned(),
        })
    });
    silent.collect()
}

/// What the counters and the settings show.
pub(super) fn of_counters(counters: &Counters) -> Vec<Finding> {
    let mut all = Vec::new();
    for (service, face) in &counters.faces {
        match face {
            Ok(face) => {
                all.extend(face.warnings.iter().map(|w| Finding {
                    kind: Kind::OddSetting,
                    service: (*service).to_owned(),
                    says: format!("{}: {}", setting(face, &w.name), w.says),
                    count: 1,
                    trace: None,
                    remedy: w.remedy.clone(),
                }));
                all.extend(
                    face.spans
                        .dropped
                        .iter()
                        .filter(|(_, n)| **n > 0)
                        .map(|(why, n)| dropped(service, why, *n, "by its own counter since it started")),
                );
            }
            Err(Unread::NoAnswer) => all.push(no_answer(service, "its process, its address, and its log")),
            // A service of another make that shows no settings is no finding.
            Err(Unread::Other) => {}
        }
    }
    for ((service, why), n) in &counters.heard {
        all.push(dropped(service, why, *n, "as the collector last heard of it"));
    }
    for (series, n) in &counters.collector {
        all.push(Finding {
            kind: Kind::Refused,
            service: "collector".to_owned(),
            says: format!("{series} is {n} since it started"),
            count: *n,
            trace: None,
            remedy: refused(series).to_owned(),
        });
    }
    if counters.collector_answers == Some(false) {
        all.push(no_answer("collector", "its process, and the port of its own metrics (8888)"));
    }
    all
}

/// `NAME=value`, as it is in force.
fn setting(face: &crate::ask::books::Face, name: &str) -> String {
    let value = face.settings.iter().find(|s| s.name == name).map(|s| s.value.as_str());
    value.map_or_else(|| name.to_owned(), |value| format!("{name}={value}"))
}

fn dropped(service: &str, why: &str, count: u64, source: &str) -> Finding {
    let remedy = match why {
        "queue_full" => "raise OTEL_BSP_MAX_QUEUE_SIZE, or look why its exporter is slow",
        "rejected" => "look at the collector's log: it refuses for good what this service sends",
        "expired" => "the collector was away or refused for 60 s: look at its health, memory limit and queue",
        "shutdown" => "give it more time to end (WAYBILL_FLUSH_TIMEOUT), and stop the collector last",
        _ => "look at the service's log",
    };
    Finding {
        kind: Kind::Dropped,
        service: service.to_owned(),
        says: format!("spans were dropped ({why}), {source}"),
        count,
        trace: None,
        remedy: remedy.to_owned(),
    }
}

fn refused(series: &str) -> &'static str {
    if series.contains("send_failed") {
        "the store refuses for good, or the last attempts failed: look at its health and log"
    } else {
        "memory limit or full queue: senders keep what is refused for 60 s and then drop it; give the collector room"
    }
}

fn no_answer(service: &str, look_at: &str) -> Finding {
    Finding {
        kind: Kind::NoAnswer,
        service: service.to_owned(),
        says: "does not answer: nothing is known of its settings and counters".to_owned(),
        count: 1,
        trace: None,
        remedy: format!("look at {look_at}"),
    }
}

// === impl Finding ===

impl From<Ailment> for Finding {
    fn from(ailment: Ailment) -> Self {
        Self {
            kind: ailment.symptom.into(),
            remedy: ailment.symptom.remedy().to_owned(),
            service: ailment.service,
            says: ailment.detail,
            count: ailment.count as u64,
            trace: ailment.trace,
        }
    }
}

// === impl Kind ===

impl Kind {
    /// For people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::ContextDropped => "context dropped",
            Self::NoProducer => "message without its maker",
            Self::ParentMissing => "parent missing",
            Self::ClockWrong => "clock wrong",
            Self::NoSubject => "order not named",
            Self::PersonalData => "personal data",
            Self::Silent => "silent",
            Self::Dropped => "spans dropped",
            Self::Refused => "spans refused",
            Self::OddSetting => "odd setting",
            Self::NoAnswer => "no answer",
        }
    }
}

impl From<Symptom> for Kind {
    fn from(symptom: Symptom) -> Self {
        match symptom {
            Symptom::ContextDropped => Self::ContextDropped,
            Symptom::NoProducer => Self::NoProducer,
            Symptom::ParentMissing => Self::ParentMissing,
            Symptom::ClockWrong => Self::ClockWrong,
            Symptom::NoSubject => Self::NoSubject,
            Symptom::PersonalData => Self::PersonalData,
            Symptom::Silent => Self::Silent,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ask::books::{Counts, Face, Setting, Warning};

    #[test]
    fn odd_settings_drops_and_silence_are_found_and_a_sound_service_is_not() {
        let face = |warnings: Vec<Warning>, dropped: u64| Face {
            settings: vec![Setting {
                name: "OTEL_X".into(),
                value: "1".into(),
                source: "environment".into(),
            }],
            warnings,
            spans: Counts { dropped: BTreeMap::from([("queue_full".into(), dropped)]), last_drop_unix_ms: 0 },
        };
        let odd = Warning { name: "OTEL_X".into(), says: "bad".into(), remedy: "unset it".into() };
        let counters = Counters {
            faces: vec![
                ("auth", Ok(face(vec![], 0))),
                ("tracking", Ok(face(vec![odd], 7))),
                ("notification", Err(Unread::NoAnswer)),
            ],
            collector: BTreeMap::from([("otelcol_receiver_refused_spans".into(), 3)]),
            ..Counters::default()
        };
        let found = of_counters(&counters);
        let told: Vec<_> = found.iter().map(|f| (f.kind, f.service.as_str(), f.count)).collect();
        assert_eq!(
            told,
            [
                (Kind::OddSetting, "tracking", 1),
                (Kind::Dropped, "tracking", 7),
                (Kind::NoAnswer, "notification", 1),
                (Kind::Refused, "collector", 3),
            ]
        );
        assert_eq!(found[0].says, "OTEL_X=1: bad");
    }
}

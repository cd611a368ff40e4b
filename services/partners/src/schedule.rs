//! Misbehaviour by plan: rules that say when, whom and what, repeatable by seed.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use crate::{Misbehaviour, Partner, misbehaviour::duration};

/// Rules in order; the first that fits a request decides.
///
/// YAML or JSON:
/// ```yaml
/// rules:
///   - partner: courier-fleet     # or "*"
///     from: 10s                  # since the start of the process; default 0s
///     until: 40s                 # default: never ends
///     match: { zone: old-harbour }
///     every: 3                   # every third request that fits; or
///     probability: 0.05          # drawn by seed, order and attempt: the same on every run
///     times: 1                   # at most so often
///     do: hang                   # as in the header X-Misbehave
/// ```
#[derive(Debug, Default)]
pub struct Schedule {
    rules: Vec<Rule>,
}

/// One rule of a [`Schedule`].
#[derive(Debug)]
pub struct Rule {
    partner: Option<Partner>,
    from: Duration,
    until: Option<Duration>,
    fields: BTreeMap<String, String>,
    every: u64,
    probability: f64,
    times: u64,
    action: Misbehaviour,
    fitted: AtomicU64,
    fired: AtomicU64,
}

/// What is wrong with a schedule, and where.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// The file cannot be read.
    #[error("schedule file {path} cannot be read: {reason}")]
    File {
        /// As given.
        path: String,
        /// The system's word.
        reason: String,
    },
    /// Neither YAML nor JSON of the right shape.
    #[error("schedule is not as expected: {0}")]
    Shape(String),
    /// A rule whose value makes no sense.
    #[error("schedule rules[{index}].{key}: {reason}")]
    Rule {
        /// Position from 0.
        index: usize,
        /// The key in the rule.
        key: &'static str,
        /// What is wrong and what would be right.
        reason: String,
    },
}

/// What a rule is asked about.
pub(crate) struct Moment<'a> {
    pub(crate) partner: Partner,
    pub(crate) elapsed: Duration,
    pub(crate) fields: &'a dyn Fn(&str) -> Option<String>,
    /// The order's id, or whatever names the thing that is asked for.
    pub(crate) subject: &'a str,
    /// How often this subject has been here before.
    pub(crate) attempt: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSchedule {
    rules: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    partner: String,
    from: Option<String>,
    until: Option<String>,
    #[serde(default, rename = "match")]
    fields: BTreeMap<String, serde_json::Value>,
    every: Option<u64>,
    probability: Option<f64>,
    times: Option<u64>,
    #[serde(rename = "do")]
    action: String,
}

// === impl Schedule ===

impl Schedule {
    /// Reads a schedule given inline (it holds a line break or begins with `{` or `rules:`) or as the path of a file.
    pub fn load(given: &str) -> Result<Self, ScheduleError> {
        let given = given.trim();
        if given.is_empty() {
            return Ok(Self::default());
        }
        if given.starts_with('{') || given.starts_with("rules:") || given.contains('\n') {
            return Self::parse(given);
        }
        let text = std::fs::read_to_string(Path::new(given))
            .map_err(|e| ScheduleError::File { path: given.to_owned(), reason: e.to_string() })?;
        Self::parse(&text)
    }

    /// Reads YAML; JSON is YAML too.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let raw: RawSchedule =
            serde_saphyr::from_str(text).map_err(|e| ScheduleError::Shape(e.to_string()))?;
        let rules = raw.rules.into_iter().enumerate().map(|(index, rule)| Rule::new(index, rule));
        Ok(Self { rules: rules.collect::<Result<_, _>>()? })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What happens to this request. The draw depends on seed, rule, subject and attempt alone, so that a second run
    /// decides alike, in whatever order the requests arrive.
    pub(crate) fn decide(&self, seed: u64, moment: &Moment<'_>) -> Option<Misbehaviour> {
        self.rules.iter().enumerate().find_map(|(index, rule)| rule.decide(seed, index as u64, moment))
    }
}

// === impl Rule ===

impl Rule {
    fn new(index: usize, raw: RawRule) -> Result<Self, ScheduleError> {
        let at = |key| move |reason| ScheduleError::Rule { index, key, reason };
        let partner = match raw.partner.as_str() {
            "*" => None,
            name => Some(name.parse().map_err(at("partner"))?),
        };
        let from = raw.from.as_deref().map(duration).transpose().map_err(at("from"))?.unwrap_or_default();
        let until = raw.until.as_deref().map(duration).transpose().map_err(at("until"))?;
        if until.is_some_and(|until| until <= from) {
            return Err(at("until")("must be later than `from`".to_owned()));
        }
        if raw.every.is_some() && raw.probability.is_some() {
            return Err(at("every")("cannot stand beside `probability`: choose one".to_owned()));
        }
        if raw.every == Some(0) {
            return Err(at("every")("must be 1 or more".to_owned()));
        }
        let probability = raw.probability.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&probability) {
            return Err(at("probability")(format!("{probability} is not from 0 to 1")));
        }
        Ok(Self {
            partner,
            from,
            until,
            fields: fields(partner, raw.fields).map_err(at("match"))?,
            every: raw.every.unwrap_or(1),
            probability,
            times: raw.times.unwrap_or(u64::MAX),
            action: raw.action.parse().map_err(at("do"))?,
            fitted: AtomicU64::new(0),
            fired: AtomicU64::new(0),
        })
    }

    fn fits(&self, moment: &Moment<'_>) -> bool {
        self.partner.is_none_or(|p| p == moment.partner)
            && moment.elapsed >= self.from
            && self.until.is_none_or(|until| moment.elapsed < until)
            && self.fields.iter().all(|(name, value)| (moment.fields)(name).as_ref() == Some(value))
    }

    fn decide(&self, seed: u64, index: u64, moment: &Moment<'_>) -> Option<Misbehaviour> {
        if !self.fits(moment) {
            return None;
        }
        let nth = self.fitted.fetch_add(1, Ordering::Relaxed) + 1;
        let mut draw = draw(seed, index, moment);
        if !nth.is_multiple_of(self.every) || !draw.random_bool(self.probability) {
            return None;
        }
        if self.fired.fetch_add(1, Ordering::Relaxed) >= self.times {
            return None;
        }
        match self.action {
            Misbehaviour::Latency(from, to) => {
                let drawn = draw.random_range(from..=to);
                Some(Misbehaviour::Latency(drawn, drawn))
            }
            other => Some(other),
        }
    }
}

fn fields(
    partner: Option<Partner>,
    raw: BTreeMap<String, serde_json::Value>,
) -> Result<BTreeMap<String, String>, String> {
    let known = |name: &str| match partner {
        Some(partner) => partner.fields().contains(&name),
        None => Partner::ALL.iter().any(|p| p.fields().contains(&name)),
    };
    raw.into_iter()
        .map(|(name, value)| {
            if !known(&name) {
                let all = partner.map_or_else(String::new, |p| format!(": it has {}", p.fields().join(", ")));
                return Err(format!("no request has a field `{name}`{all}"));
            }
            match scalar(&value) {
                Some(text) => Ok((name, text)),
                None => Err(format!("`{name}` must be a text, a number or true/false")),
            }
        })
        .collect()
}

/// A JSON scalar as text; nothing for lists, maps and null.
pub(crate) fn scalar(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

fn draw(seed: u64, rule: u64, moment: &Moment<'_>) -> ChaCha8Rng {
    // FNV-1a: the standard library's hasher may change between Rust versions, and with it every "repeatable" run.
    let subject = moment.subject.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut key = [0; 32];
    for (part, value) in key.chunks_exact_mut(8).zip([seed, rule, subject, moment.attempt]) {
        part.copy_from_slice(&value.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(schedule: &Schedule, seed: u64, seconds: u64, zone: &str, subject: &str) -> Option<Misbehaviour> {
        let fields = |name: &str| (name == "zone").then(|| zone.to_owned());
        let elapsed = Duration::from_secs(seconds);
        let moment = Moment { partner: Partner::CourierFleet, elapsed, fields: &fields, subject, attempt: 0 };
        schedule.decide(seed, &moment)
    }

    #[test]
    fn a_rule_holds_between_its_times_and_for_its_match_only() {
        let text =
            "rules:\n- {partner: courier-fleet, from: 10s, until: 40s, match: {zone: old-harbour}, do: hang}";
        let schedule = Schedule::load(text).unwrap();
        assert_eq!(ask(&schedule, 0, 9, "old-harbour", "A"), None);
        assert_eq!(ask(&schedule, 0, 10, "old-harbour", "A"), Some(Misbehaviour::Hang));
        assert_eq!(ask(&schedule, 0, 20, "riverside", "A"), None);
        assert_eq!(ask(&schedule, 0, 40, "old-harbour", "A"), None);
    }

    #[test]
    fn every_third_and_at_most_twice_are_counted() {
        let schedule =
            Schedule::load(r#"{"rules":[{"partner":"*","every":3,"times":2,"do":"error=503"}]}"#).unwrap();
        let hits: Vec<_> = (0..12).filter(|_| ask(&schedule, 0, 0, "z", "A").is_some()).collect();
        assert_eq!(hits, [2, 5]);
    }

    #[test]
    fn the_same_seed_decides_alike_in_any_order_and_another_seed_differently() {
        let make =
            || Schedule::load(r#"{"rules":[{"partner":"*","probability":0.3,"do":"wrong"}]}"#).unwrap();
        let (a, b) = (make(), make());
        let names: Vec<_> = (0..200).map(|n| format!("order-{n}")).collect();
        let hit = |schedule: &Schedule, seed, n: &String| ask(schedule, seed, 0, "z", n).is_some();
        let forth: Vec<_> = names.iter().map(|n| hit(&a, 7, n)).collect();
        let mut back: Vec<_> = names.iter().rev().map(|n| hit(&b, 7, n)).collect();
        back.reverse();
        assert_eq!(forth, back);
        assert!((30..90).contains(&forth.iter().filter(|h| **h).count()));
        assert_ne!(forth, names.iter().map(|n| hit(&b, 8, n)).collect::<Vec<_>>());
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        let error = |text: &str| Schedule::load(text).unwrap_err().to_string();
        assert!(error(r#"{"rules":[{"partner":"bank","do":"hang"}]}"#).contains("rules[0].partner: `bank`"));
        assert!(error(r#"{"rules":[{"partner":"*","do":"sulk"}]}"#).contains("rules[0].do"));
        assert!(error(r#"{"rules":[{"partner":"*","do":"hang","wen":"3s"}]}"#).contains("wen"));
        assert!(error(r#"{"rules":[{"partner":"*","do":"hang","from":"3"}]}"#).contains("300ms"));
        assert!(
            error(r#"{"rules":[{"partner":"courier-fleet","do":"hang","match":{"zon":"a"}}]}"#)
                .contains("zone")
        );
        assert!(
            error(r#"{"rules":[{"partner":"*","do":"hang","every":2,"probability":0.5}]}"#)
                .contains("choose one")
        );
        assert!(error("/nowhere/at/all.yaml").contains("/nowhere/at/all.yaml"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[ -~\n]{0,120}") {
            let _ = Schedule::parse(&text);
        }
    }
}

//! How an incident is set up: all times here are true ones, shortened only when the stage is put up ([`Pace`]).

use std::time::Duration;

use contracts::catalogue::restaurants;
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::{act::Act, proxy::Line};

/// How long orders are placed.
pub(super) const RUSH: Duration = Duration::from_secs(60);

/// Settings and faults of one incident.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    /// Part, variable, value.
    pub(super) settings: Vec<(&'static str, &'static str, String)>,
    /// Part, variable, true seconds: a time that is shortened as everything else is.
    pub(super) paced: Vec<(&'static str, &'static str, u64)>,
    /// How third parties misbehave; times count from the first order.
    pub(super) rules: Vec<Rule>,
    /// Test cards and how many of a hundred customers pay with them; the rest pay with `tok_visa`.
    pub(super) cards: Vec<(&'static str, u32)>,
    /// Wires between processes that faults work on.
    pub(super) wires: Vec<Line>,
    /// The collector's configuration, if not the usual one.
    pub(super) collector: Option<&'static str>,
    /// What is done to processes and wires, and when.
    pub(super) acts: Vec<Act>,
    /// How long the collector holds spans back before it decides on them.
    pub(super) held_back: Duration,
    /// Whose telemetry the faults touch, beyond what killing and freezing does to it.
    pub(super) holes: Holes,
}

/// Which orders' telemetry an incident touches.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holes {
    /// That of the orders that were under way when a process was killed or frozen; no other.
    #[default]
    Acts,
    /// Every order's.
    All,
}

/// One rule of the third parties' schedule.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    partner: &'static str,
    fields: Vec<(&'static str, String)>,
    from: Duration,
    until: Option<Duration>,
    does: Conduct,
}

/// What a third party does instead of answering.
#[derive(Debug, Clone, Copy)]
pub(super) enum Conduct {
    /// Spelled as in the schedule.
    Plain(&'static str),
    /// Answers late by a time between the two.
    Late(Duration, Duration),
}

/// How much shorter than the truth everything is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pace(pub(super) f64);

/// Everything that is drawn for one run; the same seed draws the same.
#[derive(Debug)]
pub(crate) struct Draw(ChaCha8Rng);

// === impl Stage ===

impl Stage {
    /// A night on which the courier fleet answers nobody in two zones: with `WAYBILL_RESILIENCE=off`, those orders are lost.
    pub(super) fn bad_night(draw: &mut Draw) -> Self {
        let hang = |zone| Rule::new("courier-fleet", Conduct::Plain("hang")).on("zone", zone);
        Self { rules: draw.zones(2).into_iter().map(hang).collect(), ..Self::default() }
    }

    /// Sets one variable of one part.
    pub(super) fn set(mut self, part: &'static str, key: &'static str, value: impl Into<String>) -> Self {
        self.settings.push((part, key, value.into()));
        self
    }

    /// The schedule as `WAYBILL_PARTNERS_SCHEDULE` takes it; none without rules.
    pub(super) fn schedule(&self, pace: Pace) -> Option<String> {
        let rules: Vec<_> = self.rules.iter().map(|r| r.json(pace)).collect();
        (!rules.is_empty()).then(|| json!({ "rules": rules }).to_string())
    }
}

// === impl Rule ===

impl Rule {
    /// `partner` does so, always.
    pub(super) fn new(partner: &'static str, does: Conduct) -> Self {
        Self { partner, fields: Vec::new(), from: Duration::ZERO, until: None, does }
    }

    /// Only requests with this field.
    pub(super) fn on(mut self, field: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((field, value.into()));
        self
    }

    /// Only between these seconds.
    pub(super) fn between(mut self, from_s: u64, until_s: u64) -> Self {
        self.from = Duration::from_secs(from_s);
        self.until = Some(Duration::from_secs(until_s));
        self
    }

    /// From this second on, for good.
    pub(super) fn from(mut self, from_s: u64) -> Self {
        self.from = Duration::from_secs(from_s);
        self
    }

    fn json(&self, pace: Pace) -> Value {
        let fields: serde_json::Map<_, _> =
            self.fields.iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect();
        let does = match self.does {
            Conduct::Plain(word) => word.to_owned(),
            Conduct::Late(least, most) => format!("latency={}..{}", pace.text(least), pace.text(most)),
        };
        let mut rule = json!({
            "partner": self.partner, "match": fields, "from": pace.text(self.from), "do": does,
        });
        if let Some(until) = self.until {
            rule["until"] = json!(pace.text(until));
        }
        rule
    }
}

// === impl Pace ===

impl Pace {
    /// A true time at this pace.
    pub(super) fn of(self, truth: Duration) -> Duration {
        truth.mul_f64(self.0)
    }

    /// As a setting, in whole milliseconds.
    pub(super) fn text(self, truth: Duration) -> String {
        format!("{}ms", self.of(truth).as_millis())
    }

    /// As a setting, `least` at least: below it a busy machine alone would break the limit.
    pub(super) fn at_least(self, truth_s: u64, least_ms: u64) -> String {
        let scaled = self.of(Duration::from_secs(truth_s));
        format!("{}ms", scaled.max(Duration::from_millis(least_ms)).as_millis())
    }
}

// === impl Draw ===

impl Draw {
    /// From the run's seed.
    pub(super) fn new(seed: u64) -> Self {
        // Another stream than that of the arrivals, which are drawn from the same seed.
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(1);
        Self(random)
    }

    /// One of `choices`.
    pub(super) fn one<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.0.random_range(0..choices.len())]
    }

    /// `count` different ones of `choices`.
    pub(super) fn some<T: Clone>(&mut self, choices: &[T], count: usize) -> Vec<T> {
        let mut all = choices.to_vec();
        all.shuffle(&mut self.0);
        all.truncate(count);
        all
    }

    /// A second within the range.
    pub(super) fn second(&mut self, from_s: u64, until_s: u64) -> u64 {
        self.0.random_range(from_s..until_s)
    }

    /// `count` delivery zones.
    pub(super) fn zones(&mut self, count: usize) -> Vec<String> {
        let mut zones: Vec<_> = restaurants().into_iter().map(|r| r.zone).collect();
        zones.sort_unstable();
        zones.dedup();
        self.some(&zones, count)
    }

    /// `count` restaurants that are open.
    pub(super) fn restaurants(&mut self, count: usize) -> Vec<String> {
        let open = restaurants().into_iter().filter(|r| r.opens_h == 0 && r.closes_h == 24);
        self.some(&open.map(|r| r.id).collect::<Vec<_>>(), count)
    }

    /// The card of one customer.
    pub(super) fn card(&mut self, cards: &[(&'static str, u32)]) -> &'static str {
        let mut left: u32 = self.0.random_range(0..100);
        for (card, share) in cards {
            if left < *share {
                return card;
            }
            left -= share;
        }
        "tok_visa"
    }
}

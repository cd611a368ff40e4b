//! The expected route: read from YAML, checked, with line and column in every complaint.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

use crate::Error;

mod mark;

pub use mark::{AnyOf, Mark};

/// What is expected to happen to one travelling thing.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Version of this file's form; 1.
    version: Spanned<u32>,
    /// What the route is called.
    pub name: String,
    /// The attribute that names what travels, such as `order.id`.
    pub subject: String,
    /// What travels, as a sentence begins with it, such as `Order`.
    #[serde(default = "journey_noun")]
    pub noun: String,
    /// Attributes whose values name what travels, the subject first; `where` searches for them.
    #[serde(default)]
    pub ids: Vec<String>,
    /// What is paid for it, where anything is.
    #[serde(default)]
    pub value: Option<ValueMarks>,
    /// The attribute of a receipt that holds its step's deadline in milliseconds; it wins over the file's.
    #[serde(default)]
    pub deadline_attribute: Option<String>,
    /// How long after its end a span may still be on its way to the store.
    #[serde(default = "usual_lag", deserialize_with = "duration")]
    pub lag: Duration,
    /// The steps in their order; at least one.
    pub steps: Vec<Step>,
    /// Other ways to a good end.
    #[serde(default)]
    pub alternatives: Vec<Alternative>,
    /// Where a journey may come to rest; the first that is seen counts.
    #[serde(default)]
    pub ends: Vec<End>,
}

/// One step of a route.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    name: Spanned<String>,
    #[serde(default)]
    title: Option<String>,
    /// Names of the steps that it follows; none means the step before it in the file.
    #[serde(default)]
    after: Option<Vec<Spanned<String>>>,
    /// Whether a journey may do without it.
    #[serde(default)]
    pub optional: bool,
    /// Spans of the sender that hand on to this step: while one ended well, the step is owed.
    #[serde(default)]
    pub handoff: Vec<Mark>,
    /// Causes in words for people: `error.type` → words, in which `{deadline}` stands for the step's deadline.
    #[serde(default)]
    pub causes: BTreeMap<String, String>,
    /// How long the step may take, counted from what shows that it began.
    #[serde(deserialize_with = "duration")]
    pub deadline: Duration,
    /// Spans that show that the step began and may still be at work.
    #[serde(default)]
    pub begun: Vec<Mark>,
    /// Spans that show that the step was done, unless they ended in error.
    pub done: Vec<Mark>,
    /// Spans that show that the step gave up.
    #[serde(default)]
    pub stopped: Vec<Mark>,
}

/// Steps taken in place of others.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alternative {
    /// What it is called.
    pub name: String,
    after: Spanned<String>,
    instead_of: Vec<Spanned<String>>,
    /// Spans that show that this way was taken.
    pub when: Vec<Mark>,
    /// Spans that show that it was not, whatever `when` says. Where there are none, that one of the replaced steps was
    /// done shows it.
    #[serde(default)]
    pub unless: Vec<Mark>,
    #[serde(default)]
    end: Option<Spanned<String>>,
    /// Its own steps.
    pub steps: Vec<Step>,
}

/// A state in which a journey may come to rest.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// What it is called.
    pub name: String,
    /// Whether nothing is owed any more once it is reached.
    pub good: bool,
    #[serde(default)]
    after: Option<Spanned<String>>,
    /// How long after that step it may take to be reached.
    #[serde(default, deserialize_with = "maybe_duration")]
    pub deadline: Option<Duration>,
    /// What a sentence says of what travels, such as `was delivered`.
    #[serde(default)]
    pub words: Option<String>,
    /// Spans that show it, unless they ended in error.
    pub seen: Vec<Mark>,
    /// Spans that show that it was not the end, whatever `seen` says.
    #[serde(default)]
    pub unless: Vec<Mark>,
}

/// What is paid for what travels, and where a trace shows it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueMarks {
    /// The attribute that holds the amount, in minor units.
    pub amount: String,
    /// The attribute that holds the currency, an ISO 4217 code.
    pub currency: String,
    /// Spans that show that it was taken, unless they ended in error.
    pub taken: Vec<Mark>,
    /// Spans that show that it was given back, unless they ended in error.
    #[serde(default)]
    pub returned: Vec<Mark>,
    /// Spans that show that it was not taken and will not be.
    #[serde(default)]
    pub refused: Vec<Mark>,
    #[serde(default)]
    step: Option<Spanned<String>>,
    /// Words for it.
    #[serde(default)]
    pub words: ValueWords,
}

/// How a sentence speaks of the value.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ValueWords {
    /// It was taken.
    pub taken: String,
    /// It was given back.
    pub returned: String,
}

// === impl Route ===

impl Route {
    /// Reads and checks a route.
    ///
    /// # Errors
    /// [`Error::Route`] with line and column: not YAML, an unknown or missing key, two steps of one name, an alternative
    /// that names no step of the route, a version that is not 1.
    pub fn parse(yaml: &str) -> Result<Self, Error> {
        let route: Self = serde_saphyr::from_str(yaml).map_err(|error| {
            let place = error.location();
            Error::Route {
                line: place.map_or(0, |l| l.line()),
                column: place.map_or(0, |l| l.column()),
                message: first_line(&error.to_string()),
            }
        })?;
        route.check()?;
        Ok(route)
    }

    /// The step of the route, or of one of its alternatives, that is called `name`.
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.every_step().find(|s| s.name() == name)
    }

    /// Names of the steps that the step at `index` follows: what its `after` says, else the one before it.
    pub fn follows(&self, index: usize) -> Vec<&str> {
        match self.steps.get(index).and_then(|s| s.after.as_ref()) {
            Some(after) => after.iter().map(|s| s.value.as_str()).collect(),
            None => index.checked_sub(1).map(|before| self.steps[before].name()).into_iter().collect(),
        }
    }

    /// Every `service.name` that the route names, each once, in the order of the file.
    pub fn services(&self) -> Vec<&str> {
        let mut all: Vec<&str> = Vec::new();
        let steps = self.every_step();
        let marks = steps.flat_map(|s| s.begun.iter().chain(&s.done).chain(&s.stopped));
        for mark in marks.chain(self.ends.iter().flat_map(|e| &e.seen)) {
            if !all.contains(&mark.service.as_str()) {
                all.push(&mark.service);
            }
        }
        all
    }

    /// All deadlines one after another.
    pub(crate) fn longest(&self) -> Duration {
        let steps = self.every_step().map(|s| s.deadline);
        let all = steps.chain(self.ends.iter().filter_map(|e| e.deadline));
        all.fold(Duration::ZERO, Duration::saturating_add)
    }

    pub(crate) fn every_step(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().chain(self.alternatives.iter().flat_map(|a| &a.steps))
    }

    fn check(&self) -> Result<(), Error> {
        if self.version.value != 1 {
            return Err(at(&self.version, "version: only 1 is known".to_owned()));
        }
        if self.steps.is_empty() {
            return Err(at(&self.version, "steps: a route has at least one".to_owned()));
        }
        unique(self.steps.iter())?;
        for way in &self.alternatives {
            unique(self.steps.iter().chain(&way.steps))?;
        }
        for (i, step) in self.steps.iter().enumerate() {
            for name in step.after.iter().flatten() {
                if !self.steps[..i].iter().any(|s| s.name.value == name.value) {
                    return Err(at(name, format!("no step before this one is called {:?}", name.value)));
                }
            }
        }
        let ways = self.alternatives.iter().flat_map(|a| a.instead_of.iter().chain([&a.after]));
        let ends = self.ends.iter().filter_map(|e| e.after.as_ref());
        let value = self.value.iter().filter_map(|v| v.step.as_ref());
        for end in self.alternatives.iter().filter_map(|a| a.end.as_ref()) {
            if !self.ends.iter().any(|e| e.name == end.value) {
                return Err(at(end, format!("no end of the route is called {:?}", end.value)));
            }
        }
        for name in ways.chain(ends).chain(value) {
            if !self.steps.iter().any(|s| s.name.value == name.value) {
                return Err(at(name, format!("no step of the route is called {:?}", name.value)));
            }
        }
        Ok(())
    }
}

// === impl Step ===

impl Step {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name.value
    }

    /// Every `service.name` that does it.
    pub fn services(&self) -> Vec<&str> {
        let mut all: Vec<&str> = Vec::new();
        for mark in self.begun.iter().chain(&self.done).chain(&self.stopped) {
            if !all.contains(&mark.service.as_str()) {
                all.push(&mark.service);
            }
        }
        all
    }

    /// What people call it: its `title`, else its name.
    pub fn title(&self) -> &str {
        self.title.as_deref().unwrap_or(&self.name.value)
    }
}

// === impl Alternative ===

impl Alternative {
    /// The step of the route after which it branches off.
    pub fn after(&self) -> &str {
        &self.after.value
    }

    /// The end to which it leads.
    pub fn end(&self) -> Option<&str> {
        self.end.as_ref().map(|e| e.value.as_str())
    }

    /// Whether it takes the place of the step called `name`.
    pub fn replaces(&self, name: &str) -> bool {
        self.instead_of.iter().any(|s| s.value == name)
    }
}

// === impl End ===

impl End {
    /// The step that it shows to be done, with all before; what follows that step is still owed.
    pub fn after(&self) -> Option<&str> {
        self.after.as_ref().map(|s| s.value.as_str())
    }
}

// === impl ValueMarks ===

impl ValueMarks {
    /// The step that takes it: what never reached that step was not paid for.
    pub fn step(&self) -> Option<&str> {
        self.step.as_ref().map(|s| s.value.as_str())
    }
}

impl Default for ValueWords {
    fn default() -> Self {
        Self { taken: "paid".to_owned(), returned: "given back".to_owned() }
    }
}

fn unique<'a>(steps: impl Iterator<Item = &'a Step>) -> Result<(), Error> {
    let mut seen = Vec::new();
    for step in steps {
        if seen.contains(&&step.name.value) {
            return Err(at(&step.name, format!("two steps are called {:?}", step.name.value)));
        }
        seen.push(&step.name.value);
    }
    Ok(())
}

fn usual_lag() -> Duration {
    Duration::from_secs(3)
}

fn journey_noun() -> String {
    "Journey".to_owned()
}

fn at<T>(place: &Spanned<T>, message: String) -> Error {
    Error::Route { line: place.referenced.line(), column: place.referenced.column(), message }
}

/// The library's messages go on with an excerpt of the file.
fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|e| {
        serde::de::Error::custom(format!("{text:?} is not a duration such as 45s or 300ms: {e}"))
    })
}

fn maybe_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;

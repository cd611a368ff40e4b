//! One question from the text to the verdict.

use std::time::Duration;

use journey::{Case, Outcome, Route, Verdict, Witness};

use crate::{
    ask::{
        AskError, Backend, Books, Places, Records, Standing, Window,
        ids::{self, NoId, Reading},
        lookup::{Finder, Lookup, Named},
        now_ns, standing,
    },
    render::{Told, clean, json, next, status},
};

/// Asks one store about what travels on one route.
pub(super) struct Asker<'a> {
    backend: &'a Backend,
    route: &'a Route,
    places: Places,
    since: Duration,
    /// Whether all the evidence is wanted, even where the spans alone decide.
    all: bool,
    witnesses: bool,
}

/// What came out.
pub(super) enum Answer<'a> {
    Verdict(Box<Judged<'a>>),
    NotFound { asked: String, why: String },
    Several { asked: String, candidates: Vec<Named> },
    NoId { asked: String, why: NoId },
}

/// A verdict, and what it was made from.
pub(super) struct Judged<'a> {
    asked: String,
    route: &'a Route,
    pub(super) verdict: Verdict,
    links: Vec<String>,
    next: Vec<String>,
    case: Case,
}

// === impl Asker ===

impl<'a> Asker<'a> {
    pub(super) fn new(
        backend: &'a Backend,
        route: &'a Route,
        places: Places,
        since: Duration,
        all: bool,
        witnesses: bool,
    ) -> Self {
        Self { backend, route, places, since, all, witnesses }
    }

    /// The verdict on what `text` names.
    pub(super) async fn ask(&self, text: &str) -> Result<Answer<'a>, AskError> {
        let asked = text.trim().to_owned();
        let readings = match ids::readings(text) {
            Ok(readings) => readings,
            Err(why) => return Ok(Answer::NoId { asked, why }),
        };
        let finder = Finder::new(self.backend, self.route, Window::last(self.since));
        match finder.look_up(&readings).await? {
            Lookup::Found(case) => Ok(Answer::Verdict(Box::new(self.judge(asked, *case).await?))),
            Lookup::Several(candidates) => Ok(Answer::Several { asked, candidates }),
            Lookup::Nothing => {
                let why = self.nothing(&readings);
                let why = match self.on_record(&readings).await {
                    Some(books) => format!("{why}. {books}"),
                    None => why,
                };
                Ok(Answer::NotFound { asked, why })
            }
        }
    }

    /// The verdict on the same order now.
    pub(super) async fn again(&self, before: Judged<'a>) -> Result<Judged<'a>, AskError> {
        let finder = Finder::new(self.backend, self.route, Window::last(self.since));
        let case = finder.whole(before.case).await?;
        self.judge(before.asked, case).await
    }

    async fn judge(&self, asked: String, mut case: Case) -> Result<Judged<'a>, AskError> {
        let mut verdict = journey::judge(&case, self.route, &[], now_ns());
        // What the spans show to have arrived has arrived; all else is held against what others say.
        if self.all || verdict.outcome != Outcome::Arrived {
            if verdict.outcome != Outcome::UnderWay {
                case.heard = self.heard(&case).await?;
            }
            let witnesses = self.witnesses(&case).await;
            verdict = journey::judge(&case, self.route, &witnesses, now_ns());
        }
        let links = verdict.traces.iter().map(|id| self.backend.link(id)).collect();
        let next = next::next(&verdict, self.route, &self.places);
        Ok(Judged { asked, route: self.route, verdict, links, next, case })
    }

    async fn heard(&self, case: &Case) -> Result<journey::Heard, AskError> {
        let begun = case.traces.iter().flat_map(|t| &t.spans).map(|s| s.start_ns).min().unwrap_or(0);
        let window = Window { start_ns: begun, ..Window::last(Duration::ZERO) };
        self.backend.heard(&self.route.services(), window).await
    }

    /// What the services' own books say.
    async fn witnesses(&self, case: &Case) -> Vec<Witness> {
        if !self.witnesses {
            return Vec::new();
        }
        match Books::new(self.places.clone()) {
            Ok(books) => books.witnesses(case).await,
            Err(e) => {
                tracing::warn!(error = %e, "nobody but the trace store can be asked");
                Vec::new()
            }
        }
    }

    /// What the services' books say of an order of which the store has no span: then its telemetry is lost, not the order.
    async fn on_record(&self, readings: &[Reading]) -> Option<String> {
        let orders = readings.iter().filter_map(Reading::order).collect::<Vec<_>>();
        if !self.witnesses || orders.is_empty() {
            return None;
        }
        let mut all = Books::new(self.places.clone()).ok()?.of(&orders).await;
        let records = orders.iter().filter_map(|id| all.remove(id)).find(Records::know)?;
        let states = records.seen().map(|(service, entry)| format!("{service} {}", entry.state));
        let states = states.collect::<Vec<_>>().join(", ");
        let now_ms = i64::try_from(now_ns() / 1_000_000).unwrap_or(i64::MAX);
        let standing = match standing(&records, self.route, now_ms) {
            Standing::Stopped { step, cause } => format!("stopped at {step}, {cause}"),
            other => other.name().to_owned(),
        };
        let trace = records.trace().map(|id| format!(" of trace {id}")).unwrap_or_default();
        Some(format!(
            "The services' books know the order: {standing} ({states}). Its spans{trace} are missing, not the order: \
             `waybill lost` counts it by the books"
        ))
    }

    fn nothing(&self, readings: &[Reading]) -> String {
        let since = humantime::format_duration(self.since);
        let tried = readings.iter().map(|r| format!("{} {}", r.form.words(), r.value));
        format!(
            "{} has nothing of it: looked for as {}; spans of the last {since} were searched (--since)",
            self.backend.url(),
            tried.collect::<Vec<_>>().join(", "),
        )
    }
}

// === impl Judged ===

impl Judged<'_> {
    /// As it is told.
    pub(super) fn told(&self) -> Told<'_> {
        Told {
            asked: &self.asked,
            route: self.route,
            verdict: &self.verdict,
            links: self.links.clone(),
            next: self.next.clone(),
        }
    }
}

// === impl Answer ===

impl Answer<'_> {
    /// Exit status.
    pub(super) fn status(&self) -> u8 {
        match self {
            Self::Verdict(judged) => status(judged.verdict.outcome),
            Self::NotFound { .. } => 3,
            Self::Several { .. } | Self::NoId { .. } => 2,
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> serde_json::Value {
        match self {
            Self::Verdict(judged) => json::verdict(&judged.told()),
            Self::NotFound { asked, .. } => json::not_found(asked, &self.words()),
            Self::Several { asked, candidates } => json::several(asked, &self.words(), candidates),
            Self::NoId { asked, .. } => json::no_id(asked, &self.words()),
        }
    }

    /// For people, where it is no verdict.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Verdict(judged) => judged.told().sentence(),
            Self::NotFound { asked, why } => format!("Not found: {}. {why}.", clean(asked)),
            Self::NoId { why, .. } => clean(&why.to_string()),
            Self::Several { asked, candidates } => {
                let lines = candidates.iter().map(|c| {
                    let name = c.subject.clone().unwrap_or_else(|| format!("trace {}", c.trace));
                    clean(&format!("{name}  (by {} {}, trace {})", c.by.form.words(), c.by.value, c.trace))
                });
                let head = format!("{} means more than one; give one of these:", clean(asked));
                std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n  ")
            }
        }
    }
}

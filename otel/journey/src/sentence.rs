//! A verdict in one sentence of plain words.

use crate::{
    Outcome, Phase, Route, Stamp, State, Verdict, money,
    spans::whose,
    weigh::{list, people},
};

/// One sentence for people without trace vocabulary. `noun` is what travels, with its name: `Order 7F3K-…`.
pub fn sentence(verdict: &Verdict, route: &Route, noun: &str) -> String {
    let mut parts = match verdict.outcome {
        Outcome::Arrived => arrived(verdict, route, noun),
        Outcome::Stopped => stopped(verdict, route, noun),
        Outcome::UnderWay => vec![under_way(verdict, route, noun)],
        Outcome::Undecided => undecided(verdict, route, noun),
        Outcome::NotBegun => {
            vec![format!("{noun} never began: nothing shows the first step, {}", first(route))]
        }
    };
    if verdict.outcome != Outcome::UnderWay && verdict.outcome != Outcome::NotBegun {
        parts.extend(paid(verdict, route));
    }
    format!("{}.", parts.join("; "))
}

fn first(route: &Route) -> &str {
    route.steps.first().map_or("", |s| s.title())
}

fn arrived(verdict: &Verdict, route: &Route, noun: &str) -> Vec<String> {
    let mut head = format!("{noun} {}", end_words(verdict, route));
    let failed = verdict.stamps.iter().find(|s| s.state == State::Stopped);
    if verdict.alternative.is_some()
        && let Some(stamp) = failed
        && let Some(words) = &stamp.words
    {
        head = format!("{head}: {words}");
    }
    let mut parts = vec![head];
    let way = verdict.alternative.iter().flat_map(|w| &w.stamps);
    let missing: Vec<_> = verdict.stamps.iter().chain(way).filter(|s| s.state == State::Missing).collect();
    if !missing.is_empty() {
        parts.push(format!("the telemetry of {} is missing", titles(&missing, route)));
    }
    parts
}

fn stopped(verdict: &Verdict, route: &Route, noun: &str) -> Vec<String> {
    let Some(stop) = &verdict.stop else {
        return vec![format!("{noun} {}", end_words(verdict, route))];
    };
    let title = title(&stop.step, route);
    let good = verdict.end.as_ref().is_some_and(|name| route.ends.iter().any(|e| e.good && e.name == *name));
    let but = match &verdict.end {
        Some(_) if good => format!(" {}, but", end_words(verdict, route)),
        _ => String::new(),
    };
    let words = stop.words.clone().or_else(|| stop.cause.clone());
    let words = words.unwrap_or_else(|| phase_words(stop.phase).to_owned());
    let mut parts = vec![format!("{noun}{but} stopped at {title}: {words}")];
    let way = verdict.alternative.iter().flat_map(|w| &w.stamps);
    let aside = verdict.alternative.is_some();
    let never: Vec<_> = verdict
        .stamps
        .iter()
        .filter(|_| !aside)
        .chain(way)
        .filter(|s| s.state == State::Never && route.step(&s.step).is_some_and(|r| !r.optional))
        .collect();
    if !never.is_empty() {
        parts.push(format!("{} never began", titles(&never, route)));
    }
    parts
}

fn under_way(verdict: &Verdict, route: &Route, noun: &str) -> String {
    let way = verdict.alternative.iter().flat_map(|w| &w.stamps);
    let at = verdict.stamps.iter().chain(way).find(|s| s.state == State::UnderWay);
    let left = verdict.due_ns.and_then(|due| due.checked_sub(verdict.asked_ns)).filter(|left| *left > 0);
    let left = left.map(|left| people(std::time::Duration::from_secs(left.div_ceil(1_000_000_000))));
    let left = left.map(|left| format!(", which may take another {left}")).unwrap_or_default();
    match at {
        Some(stamp) => format!("{noun} is under way, at {}{left}", title(&stamp.step, route)),
        None => match route.ends.iter().find(|e| e.deadline.is_some()) {
            Some(end) => format!("{noun} is under way: every step is done, and it is not yet {}", end.name),
            None => format!("{noun} is under way"),
        },
    }
}

fn undecided(verdict: &Verdict, route: &Route, noun: &str) -> Vec<String> {
    let head = match &verdict.end {
        Some(_) => format!("{noun} {}, but", end_words(verdict, route)),
        None => noun.to_owned(),
    };
    let Some(stop) = &verdict.stop else {
        return vec![format!("{head} may be lost, or only its telemetry: the evidence does not decide")];
    };
    let step = route.step(&stop.step);
    let services = step.map(|s| s.services()).unwrap_or_default();
    let title = title(&stop.step, route);
    vec![
        format!(
            "{head} may have stopped at {title}, or only the telemetry of {} is missing",
            list(&services)
        ),
        format!("{} own record of it would decide", whose(&list(&services))),
    ]
}

/// What was taken and whether it was given back; nothing when neither is known, or all is as it should be.
fn paid(verdict: &Verdict, route: &Route) -> Option<String> {
    let value = verdict.value.as_ref()?;
    let words = &route.value.as_ref()?.words;
    let sum = money(value.amount_minor, &value.currency);
    let good = verdict.outcome == Outcome::Arrived;
    let rested = route.ends.iter().any(|e| e.good && verdict.end.as_ref() == Some(&e.name));
    if rested && verdict.outcome != Outcome::Arrived {
        return None;
    }
    match (value.taken?, value.returned) {
        (true, Some(true)) => Some(format!("{sum} was {} and {}", words.taken, words.returned)),
        (true, _) if good => None,
        (true, Some(false)) => Some(format!("{sum} was {} and not {}", words.taken, words.returned)),
        (true, None) => Some(format!("{sum} was {}", words.taken)),
        (false, _) => Some(format!("nothing was {}", words.taken)),
    }
}

fn end_words(verdict: &Verdict, route: &Route) -> String {
    let Some(name) = &verdict.end else { return "arrived".to_owned() };
    let words = route.ends.iter().find(|e| e.name == *name).and_then(|e| e.words.clone());
    words.unwrap_or_else(|| format!("was {name}"))
}

fn phase_words(phase: Phase) -> &'static str {
    match phase {
        Phase::NotSent => "it was never handed on",
        Phase::NotReceived => "it never got there",
        Phase::NotFinished => "nothing more was heard of it",
        Phase::Failed => "it failed",
    }
}

fn titles(stamps: &[&Stamp], route: &Route) -> String {
    let titles: Vec<_> = stamps.iter().map(|s| title(&s.step, route)).collect();
    list(&titles)
}

fn title<'a>(step: &'a str, route: &'a Route) -> &'a str {
    route.step(step).map_or(step, |s| s.title())
}

//! A verdict in one sentence of plain words.

use crate::{Outcome, Route, Verdict};

/// One sentence for people without trace vocabulary. `noun` is what travels, with its name: `Order 7F3K-…`.
pub fn sentence(verdict: &Verdict, _route: &Route, noun: &str) -> String {
    let end = verdict.end.as_deref().unwrap_or("at its end");
    match (verdict.outcome, &verdict.stop) {
        (Outcome::Arrived, _) => format!("{noun} is {end}."),
        (Outcome::Stopped, Some(stop)) => {
            let cause = stop
                .words
                .as_ref()
                .or(stop.cause.as_ref())
                .map_or("nothing more was heard of it", String::as_str);
            format!("{noun} stopped at {}: {cause}.", stop.step)
        }
        (Outcome::Stopped, None) => format!("{noun} stopped."),
        (Outcome::UnderWay, _) => format!("{noun} is under way."),
        (Outcome::Undecided, _) => {
            format!("{noun} may be lost, or only its telemetry: the evidence does not decide.")
        }
        (Outcome::NotBegun, _) => format!("{noun} never began."),
    }
}

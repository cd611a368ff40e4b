//! A verdict for people: the stamps, the sentence, the waterfall, what to do next, and on request the evidence.

use journey::{Stamp, State, Weight};

use super::{
    Look, Told, clean,
    units::{clock, day, length},
};

/// The lines of the card; with the evidence when `why`.
pub(crate) fn lines(told: &Told<'_>, look: Look, why: bool) -> Vec<String> {
    let mut lines = vec![head(told, look)];
    let way = told.verdict.alternative.as_ref();
    let stamps = told.verdict.stamps.iter().chain(way.iter().flat_map(|w| &w.stamps));
    let width = stamps.map(|s| s.step.chars().count()).max().unwrap_or(0).max("step".len());
    lines.push(look.dim(&columns(look, width)));
    lines.extend(told.verdict.stamps.iter().map(|stamp| row(stamp, width, look)));
    if let Some(way) = way {
        let arrow = if look.signs { "↩" } else { "instead:" };
        lines.push(format!("{arrow} {}", clean(&way.name)));
        lines.extend(way.stamps.iter().map(|stamp| row(stamp, width, look)));
    }
    lines.push(String::new());
    lines.push(look.bold(&told.sentence()));
    if why {
        lines.push(String::new());
        lines.extend(evidence(told, look));
    }
    lines.push(String::new());
    lines.extend(told.links.iter().map(|link| format!("waterfall  {link}")));
    lines.extend(told.next.iter().map(|next| format!("next       {next}")));
    lines
}

/// One line, for those who follow an order where nothing can be drawn anew: the time, the signs, the sentence.
pub(crate) fn line(told: &Told<'_>, look: Look) -> String {
    let stamps = told.verdict.stamps.iter();
    let signs: String = if look.signs {
        stamps.map(|s| s.state.emoji()).collect()
    } else {
        stamps.map(|s| s.state.word()).collect::<Vec<_>>().join(",")
    };
    format!("{}  {signs}  {}", clock(told.verdict.asked_ns), told.sentence())
}

fn head(told: &Told<'_>, look: Look) -> String {
    let began = told.verdict.stamps.iter().filter_map(|s| s.began_ns).min();
    let when = began.map(|ns| look.dim(&format!("  {}, times in UTC", day(ns)))).unwrap_or_default();
    format!("{}{when}", look.bold(&told.noun()))
}

fn columns(look: Look, width: usize) -> String {
    let sign = if look.signs { "   ".to_owned() } else { format!("{:<9}", "") };
    format!("{sign}{:<width$}  {:<12}  {:>9}  took", "step", "at", "hand-off")
}

fn row(stamp: &Stamp, width: usize, look: Look) -> String {
    let sign = look.sign(stamp.state);
    let time = stamp.began_ns.map(clock).unwrap_or_default();
    let handoff = stamp.handoff_ns.map(length).unwrap_or_default();
    let took = stamp.began_ns.zip(stamp.ended_ns);
    let took = took.and_then(|(from, to)| i64::try_from(to.checked_sub(from)?).ok()).map(length);
    let cause = stamp
        .words
        .as_deref()
        .or(stamp.cause.as_deref())
        .filter(|_| stamp.state == State::Stopped)
        .map(clean);
    let remark = match (took, cause) {
        (Some(took), Some(cause)) => format!("{took}, {cause}"),
        (took, cause) => took.or(cause).unwrap_or_default(),
    };
    let text = format!("{sign}{:<width$}  {time:<12}  {handoff:>9}  {remark}", clean(&stamp.step));
    text.trim_end().to_owned()
}

/// All findings, those that decided first.
fn evidence(told: &Told<'_>, look: Look) -> Vec<String> {
    let mut lines = vec![look.bold("why")];
    let findings = &told.verdict.findings;
    if findings.is_empty() {
        lines.push("  nothing but the stamps above".to_owned());
    }
    for (weight, word) in [
        (Weight::Decisive, "decides"),
        (Weight::Supporting, "agrees"),
        (Weight::Outweighed, "outweighed"),
        (Weight::Doubt, "doubt"),
    ] {
        for finding in findings.iter().filter(|f| f.weight == weight) {
            let step = finding.step.as_ref().map(|s| format!(" ({})", clean(s))).unwrap_or_default();
            lines.push(format!("  {word:<10}  {}: {}{step}", clean(&finding.source), clean(&finding.says)));
        }
    }
    lines
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use journey::{Finding, Outcome, Route, Verdict, Way};

    use super::*;

    const ROUTE: &str = "version: 1\nname: parcel\nsubject: parcel.id\nnoun: Parcel\nsteps:\n  \
        - { name: depot, deadline: 1h, done: [{ service: depot, span: scan }] }\n  \
        - { name: door, deadline: 1h, done: [{ service: van, span: ring }] }\n";
    const SECOND: u64 = 1_000_000_000;

    fn stamp(step: &str, state: State, began_s: Option<u64>) -> Stamp {
        Stamp {
            step: step.into(),
            state,
            began_ns: began_s.map(|s| s * SECOND),
            ended_ns: began_s.map(|s| s * SECOND + SECOND / 4),
            words: None,
            cause: Some("no_\u{1b}answer".into()).filter(|_| state == State::Stopped),
            handoff_ns: Some(3_000_000).filter(|_| began_s > Some(1)),
        }
    }

    fn verdict() -> Verdict {
        Verdict {
            route: "parcel".into(),
            subject: Some("P1".into()),
            traces: vec!["ab".into()],
            outcome: Outcome::Stopped,
            end: None,
            stop: None,
            stamps: vec![stamp("depot", State::Done, Some(1)), stamp("door", State::Stopped, Some(2))],
            alternative: Some(Way {
                name: "return".into(),
                stamps: vec![stamp("returned", State::Never, None)],
            }),
            value: None,
            findings: vec![Finding {
                step: Some("door".into()),
                source: "van's book".into(),
                says: "gave up".into(),
                weight: Weight::Decisive,
            }],
            asked_ns: 9 * SECOND,
            due_ns: None,
        }
    }

    fn shown(signs: bool, why: bool) -> Vec<String> {
        let (route, verdict) = (Route::parse(ROUTE).unwrap(), verdict());
        let links = vec!["http://j/trace/ab".to_owned()];
        let told =
            Told { asked: "P1", route: &route, verdict: &verdict, links, next: vec!["ring again".into()] };
        lines(&told, Look { signs, colour: false }, why)
    }

    #[test]
    fn every_step_has_its_sign_its_time_and_the_hand_off_before_it() {
        let lines = shown(true, false);
        assert_eq!(lines[2], "✅ depot     00:00:01.000             250 ms");
        assert_eq!(lines[3], "⚠️ door      00:00:02.000       3 ms  250 ms, no_ answer");
        assert_eq!(lines[4], "↩ return");
        assert_eq!(lines[5], "✗  returned");
        assert_eq!(&lines[lines.len() - 2..], ["waterfall  http://j/trace/ab", "next       ring again"]);
    }

    #[test]
    fn plain_cards_are_ascii() {
        let lines = shown(false, true);
        assert!(lines.iter().all(|l| l.is_ascii()), "{lines:#?}");
        assert!(lines[3].starts_with("stopped  door"), "{lines:#?}");
    }

    #[test]
    fn the_evidence_is_shown_with_its_weight_when_it_is_asked_for() {
        let wanted = "  decides     van's book: gave up (door)".to_owned();
        assert!(shown(true, true).contains(&wanted) && !shown(true, false).contains(&wanted));
    }
}

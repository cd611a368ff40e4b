//! A survey for people: the groups, then the reconciliation, then the orders on which its two sides differ.

use journey::{Outcome, Phase};

use super::{
    order::Money,
    reconcile::Side,
    survey::{Example, Group, Survey},
};
use crate::{
    ask::Backend,
    render::{Look, clean, clock},
};

/// The lines of it.
pub(crate) fn lines(survey: &Survey, backend: &Backend, look: Look) -> Vec<String> {
    let mut lines = vec![head(survey, look)];
    for group in &survey.stopped {
        lines.push(String::new());
        lines.extend(group_lines(group, "stopped at", backend, look));
    }
    for group in &survey.undecided {
        lines.push(String::new());
        lines.extend(group_lines(group, "undecided at", backend, look));
    }
    let set_aside = survey.set_aside.lines(backend, look);
    if !set_aside.is_empty() {
        lines.push(String::new());
        lines.extend(set_aside);
    }
    lines.push(String::new());
    lines.extend(reconciliation(survey, look));
    lines.extend(differences(survey, backend));
    lines.extend(remarks(survey));
    lines
}

fn head(survey: &Survey, look: Look) -> String {
    let count = |outcome: Outcome| survey.outcomes.get(&outcome).copied().unwrap_or_default();
    let told = format!(
        "{} orders: {} at rest, {} under way, {} stopped, {} undecided",
        survey.orders,
        count(Outcome::Arrived) + count(Outcome::NotBegun),
        count(Outcome::UnderWay),
        count(Outcome::Stopped),
        count(Outcome::Undecided),
    );
    let times = format!(
        "  {} to {} UTC",
        clock(survey.window.start_ns),
        clock(survey.asked_ns.min(survey.window.end_ns))
    );
    format!("{}{}", look.bold(&told), look.dim(&times))
}

fn group_lines(group: &Group, how: &str, backend: &Backend, look: Look) -> Vec<String> {
    let place = if group.step.is_empty() { "a place that nothing tells" } else { &group.step };
    let why = group.words.as_deref().or(group.cause.as_deref());
    let why = why.map(|w| format!(": {}", clean(w))).unwrap_or_default();
    let sign = if look.signs { "⚠️ " } else { "! " };
    let cause = match (group.phase, &group.cause) {
        (Some(phase), Some(cause)) => format!("  [{}, {}]", phase_word(phase), clean(cause)),
        _ => String::new(),
    };
    let owed = if group.owed.0.is_empty() {
        "nothing is owed".to_owned()
    } else {
        format!("{} owed", money(&group.owed))
    };
    let noun = if group.count == 1 { "order" } else { "orders" };
    let head = format!("{sign}{} {noun} {how} {}{why}, {owed}", group.count, clean(place));
    let mut lines = vec![format!("{}{}", look.bold(&head), look.dim(&cause))];
    lines.extend(group.examples.iter().map(|e| format!("   {}", example(e, backend))));
    if group.count > group.examples.len() {
        lines.push(look.dim(&format!("   … and {} more (--limit)", group.count - group.examples.len())));
    }
    lines
}

fn example(example: &Example, backend: &Backend) -> String {
    let amount = example.amount.as_ref().map(|(minor, currency)| journey::money(*minor, currency));
    let link = example.trace.as_ref().map_or_else(|| "no trace of it".to_owned(), |id| backend.link(id));
    format!("{}  {:>10}  {link}", clean(&example.order), amount.unwrap_or_default())
}

/// paid = delivered + refunded + under way + stopped, side by side.
fn reconciliation(survey: &Survey, look: Look) -> Vec<String> {
    let cells = |side: &Side| side.terms().map(|(_, term)| (term.count, money(&term.money)));
    let traces = cells(&survey.traces);
    let books = survey.books.as_ref().map(cells);
    let wide =
        |cells: &[(usize, String); 6]| cells.iter().map(|(_, m)| m.chars().count()).max().unwrap_or(0).max(6);
    let width = wide(&traces);
    let title = if books.is_some() { "the services' books" } else { "" };
    let mut lines =
        vec![look.dim(format!("{:<14}{:<w$}{title}", "money", "the traces", w = width + 12).trim_end())];
    for (i, (name, term)) in survey.traces.terms().iter().enumerate() {
        let other = survey.books.as_ref().map(|b| b.terms()[i].1);
        if *name == "undecided" && term.count == 0 && other.is_none_or(|t| t.count == 0) {
            continue;
        }
        let sign = ["", "= ", "+ ", "+ ", "+ ", "+ "][i];
        let cell = |(count, money): &(usize, String)| format!("{count:>6}  {money:>width$}");
        let mut line = format!("{:<12}  {}", format!("{sign}{name}"), cell(&traces[i]));
        if let (Some(books), Some(other)) = (&books, other) {
            let same = other.count == term.count && other.money == term.money;
            line = format!("{line}    {}{}", cell(&books[i]), if same { "" } else { "   differs" });
        }
        lines.push(line);
    }
    lines
}

fn differences(survey: &Survey, backend: &Backend) -> Vec<String> {
    if survey.books.is_none() {
        return Vec::new();
    }
    if survey.differences_total == 0 {
        return vec!["traces and books differ on no order that both decide".to_owned()];
    }
    let mut lines = vec![format!("traces and books differ on {} orders:", survey.differences_total)];
    for d in &survey.differences {
        let sum = |amount: &Option<(i64, String)>| {
            amount.as_ref().map(|(m, c)| format!(" {}", journey::money(*m, c))).unwrap_or_default()
        };
        let link = d.trace.as_ref().map(|id| backend.link(id)).unwrap_or_default();
        lines.push(format!(
            "   {}  traces: {}{}, books: {}{}  {link}",
            clean(&d.order),
            d.traces,
            sum(&d.amount),
            d.books,
            sum(&d.booked)
        ));
    }
    lines
}

fn remarks(survey: &Survey) -> Vec<String> {
    let mut lines = Vec::new();
    if survey.untraced > 0 {
        lines.push(format!(
            "{} orders are in the books and in no trace: judged by the books alone (`waybill doctor` says why)",
            survey.untraced
        ));
    }
    if !survey.silent.is_empty() {
        lines.push(format!("no book of: {}", survey.silent.join(", ")));
    }
    if survey.books.is_none() {
        lines.push("no books were asked: give --endpoints FILE of a running `waybill up`, or set the services' *_URL".to_owned());
    }
    lines
}

/// `$200.00`, of several currencies one after the other.
fn money(sums: &Money) -> String {
    if sums.0.is_empty() {
        return "-".to_owned();
    }
    sums.0.iter().map(|(currency, minor)| journey::money(*minor, currency)).collect::<Vec<_>>().join(" + ")
}

fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::NotSent => "never sent",
        Phase::NotReceived => "never received",
        Phase::NotFinished => "never finished",
        Phase::Failed => "failed",
    }
}

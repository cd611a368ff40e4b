//! The tables: one line per incident and kind of evidence, summed over its seeds.

use super::{
    mark::{Evidence, Graded},
    tally::{Share, Tally},
};

const HEAD: [&str; 11] = [
    "incident",
    "runs",
    "evidence",
    "orders",
    "lost found",
    "false alarms",
    "step",
    "phase",
    "cause",
    "told apart",
    "ms/verdict",
];

/// One line of cells per incident and kind of evidence, in the order of first appearance; with `each`, per run instead.
fn rows(runs: &[Graded], each: bool) -> Vec<Vec<String>> {
    let mut groups: Vec<(String, Vec<&Graded>)> = Vec::new();
    for run in runs {
        let r = &run.record;
        let mut name = r.incident.clone();
        if !r.resilience {
            name.push_str(" (resilience off)");
        }
        if each {
            name = format!("{name}, seed {}", r.seed);
        }
        match groups.iter_mut().find(|(n, _)| *n == name && !each) {
            Some((_, group)) => group.push(run),
            None => groups.push((name, vec![run])),
        }
    }
    let all = (groups.len() > 1).then(|| ("all".to_owned(), runs.iter().collect()));
    let mut rows = Vec::new();
    for (name, group) in groups.into_iter().chain(all) {
        for evidence in Evidence::ALL {
            let mut sum = Tally::default();
            group.iter().for_each(|run| sum += Tally::of(run, evidence));
            rows.push(row(&name, group.len(), evidence, &sum));
        }
    }
    rows
}

fn row(name: &str, runs: usize, evidence: Evidence, t: &Tally) -> Vec<String> {
    let first = evidence == Evidence::Traces;
    let once = |text: String| if first { text } else { String::new() };
    vec![
        once(name.to_owned()),
        once(runs.to_string()),
        evidence.name().to_owned(),
        once(t.orders.to_string()),
        share(t.found),
        t.false_alarms.to_string(),
        share(t.step),
        share(t.phase),
        share(t.cause),
        share(t.told_apart),
        format!("{:.2}", t.pace() * 1_000.0),
    ]
}

fn share(share: Share) -> String {
    match share {
        Share { of: 0, .. } => "–".to_owned(),
        Share { right, of } if right == of => format!("{of}/{of}"),
        Share { right, of } => format!("{right}/{of} ({:.0} %)", share.ratio() * 100.0),
    }
}

/// For a terminal.
pub(crate) fn text(runs: &[Graded], each: bool) -> String {
    let rows = rows(runs, each);
    let head: Vec<String> = HEAD.iter().map(|h| (*h).to_owned()).collect();
    let lines: Vec<_> = std::iter::once(&head).chain(&rows).collect();
    let widths: Vec<_> =
        (0..HEAD.len()).map(|i| lines.iter().map(|l| l[i].chars().count()).max().unwrap_or(0)).collect();
    let mut out = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// For documents.
pub(crate) fn markdown(runs: &[Graded], each: bool) -> String {
    let mut out = format!("| {} |\n|{}\n", HEAD.join(" | "), "--|".repeat(HEAD.len()));
    for row in rows(runs, each) {
        out.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    out
}

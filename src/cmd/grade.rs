//! `waybill grade`: the verdicts on recorded runs beside what truly happened.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use journey::{Outcome, Route, sentence};
use serde_json::{Value, json};

use crate::{
    failure::FAILED,
    grade::{self, Evidence, Graded, Tally, Thresholds},
    term,
};

/// Compare the verdicts on recorded incidents with what truly happened
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Needs nothing running. Every order is judged twice: from its id and the recorded traces alone, and with what the recorded
witnesses said. Undecided never counts as right; an order of which no trace is there is not found.

Examples:
  waybill grade /tmp/nye
  waybill grade runs/*/incident.json --min-recall 1.0 --max-false-alarms 0
  waybill grade /tmp/nye --why

Exit status: 0, or 1 below one of the thresholds given.")]
pub(crate) struct Args {
    /// incident.json of a run, or its folder
    #[arg(value_name = "FILE", required = true)]
    runs: Vec<PathBuf>,
    /// Least share of the lost orders that must be found
    #[arg(long, value_name = "SHARE")]
    min_recall: Option<f64>,
    /// Most orders that may be called lost and are not
    #[arg(long, value_name = "N")]
    max_false_alarms: Option<u32>,
    /// Least share of the lost orders whose step must be named
    #[arg(long, value_name = "SHARE")]
    min_step: Option<f64>,
    /// Least share of the lost orders of whose step it must be told how far it got
    #[arg(long, value_name = "SHARE")]
    min_phase: Option<f64>,
    /// Least share of the lost orders whose step and phase must be named, both
    #[arg(long, value_name = "SHARE", conflicts_with_all = ["min_step", "min_phase"])]
    min_stop_point: Option<f64>,
    /// Least share of the lost orders whose cause must be named
    #[arg(long, value_name = "SHARE")]
    min_cause: Option<f64>,
    /// Least share of the orders with damaged telemetry that must be told from lost ones
    #[arg(long, value_name = "SHARE")]
    min_told_apart: Option<f64>,
    /// Which verdicts the thresholds are for
    #[arg(long, value_enum, default_value = "both")]
    by: By,
    /// List every verdict that is not wholly right, with its ids
    #[arg(long)]
    misses: bool,
    /// With the evidence of each verdict listed
    #[arg(long)]
    why: bool,
    /// One line per run instead of one per incident
    #[arg(long)]
    each: bool,
    /// The table as Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Figures and misses as JSON
    #[arg(long)]
    json: bool,
    /// The route to judge by [default: the built-in route of an order]
    #[arg(long, value_name = "FILE")]
    route: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum By {
    Traces,
    Witnesses,
    Both,
}

// === impl Args ===

impl Args {
    /// Grades, reports, and judges.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let route = match &self.route {
            Some(path) => Route::parse(
                &std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?,
            )?,
            None => Route::parse(contracts::ROUTE)?,
        };
        let runs = self.runs.iter().map(|p| grade::grade(p, &route).with_context(|| p.display().to_string()));
        let runs = runs.collect::<anyhow::Result<Vec<_>>>()?;
        if self.json {
            term::say(&serde_json::to_string_pretty(&json(&runs, &route))?)?;
        } else {
            let table = if self.markdown { grade::markdown } else { grade::text };
            term::say(table(&runs, self.each).trim_end())?;
            if self.misses || self.why {
                misses(&runs, &route, self.why)?;
            }
        }
        let missed = self.missed(&runs);
        missed.iter().for_each(|line| term::complain(line));
        Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }

    fn missed(&self, runs: &[Graded]) -> Vec<String> {
        let demand = Thresholds {
            recall: self.min_recall,
            false_alarms: self.max_false_alarms,
            step: self.min_step.or(self.min_stop_point),
            phase: self.min_phase.or(self.min_stop_point),
            cause: self.min_cause,
            told_apart: self.min_told_apart,
        };
        let wanted = |evidence| match self.by {
            By::Traces => evidence == Evidence::Traces,
            By::Witnesses => evidence == Evidence::Witnesses,
            By::Both => true,
        };
        let of = |evidence: Evidence| {
            let mut sum = Tally::default();
            runs.iter().for_each(|run| sum += Tally::of(run, evidence));
            demand.missed(&sum).into_iter().map(move |line| format!("{}: {line}", evidence.name()))
        };
        Evidence::ALL.into_iter().filter(|e| wanted(*e)).flat_map(of).collect()
    }
}

/// Every verdict that is not wholly right.
fn misses(runs: &[Graded], route: &Route, why: bool) -> anyhow::Result<()> {
    for run in runs {
        for mark in run.marks.iter().filter(|m| !m.flawless(run.truth(m))) {
            let truth = run.truth(mark);
            let stop = truth
                .stop
                .as_ref()
                .map_or_else(String::new, |s| format!(" at {} ({}, {})", s.step, word(s.phase), s.cause));
            term::say(&format!(
                "\n{} seed {} #{}, {}: order {} trace {}, telemetry {}",
                run.record.incident,
                run.record.seed,
                truth.n,
                mark.evidence.name(),
                truth.order_id,
                truth.trace_id,
                word(truth.telemetry),
            ))?;
            term::say(&format!("  truth:   {}{stop}", word(truth.outcome)))?;
            let Some(verdict) = &mark.verdict else {
                term::say("  verdict: none, no trace bears its id")?;
                continue;
            };
            let stop = verdict.stop.as_ref().map_or_else(String::new, |s| {
                format!(" at {} ({}, {})", s.step, word(s.phase), s.cause.as_deref().unwrap_or("-"))
            });
            let signs: String = verdict.stamps.iter().map(|s| s.state.emoji()).collect();
            term::say(&format!("  verdict: {}{stop} {signs}", word(verdict.outcome)))?;
            if why {
                term::say(&format!("  {}", sentence(verdict, route, &format!("Order {}", truth.order_id))))?;
                for f in &verdict.findings {
                    term::say(&format!("  {:<10} {}: {}", word(f.weight), f.source, f.says))?;
                }
            }
        }
    }
    Ok(())
}

/// The word that the files have for it.
fn word(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn json(runs: &[Graded], route: &Route) -> Value {
    let runs: Vec<_> = runs
        .iter()
        .map(|run| {
            let misses: Vec<_> = run
                .marks
                .iter()
                .filter(|m| !m.flawless(run.truth(m)))
                .map(|m| {
                    let noun = format!("Order {}", run.truth(m).order_id);
                    json!({
                        "evidence": m.evidence.name(),
                        "truth": run.truth(m),
                        "verdict": m.verdict,
                        "sentence": m.verdict.as_ref().map(|v| sentence(v, route, &noun)),
                    })
                })
                .collect();
            json!({
                "incident": run.record.incident,
                "seed": run.record.seed,
                "time_scale": run.record.time_scale,
                "resilience": run.record.resilience,
                "lost": run.record.orders.iter().filter(|o| o.outcome == Outcome::Stopped).count(),
                "traces_alone": Tally::of(run, Evidence::Traces),
                "with_witnesses": Tally::of(run, Evidence::Witnesses),
                "misses": misses,
            })
        })
        .collect();
    json!({ "version": 1, "runs": runs })
}

//! `waybill where ID`: one id in, one sentence out.

mod asker;
mod watch;

use std::{
    io::{self, BufRead},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use journey::Route;

use crate::{
    ask::{Backend, BackendArgs, ids},
    failure::{UNREACHABLE, USAGE, Usage},
    render::{Look, card},
    runtime, term,
};
use asker::{Answer, Asker};

/// Say where an order is, or where it stopped, from any id that someone may hold
#[derive(Debug, clap::Args)]
#[command(after_help = "\
An ID is whatever a customer, a log line or a partner's ticket holds: an order or cart id however it is typed, a payment
reference (WB-…), a partner's own reference (ch_…), a trace id as 32 hex digits, without its leading zeros, or as a UUID, a
whole traceparent or Server-Timing value, a link to a Jaeger page, a line of a log. `-` reads one from each line of stdin.

The stamps: ✅ done  ⚠️ stopped here  ✗ never reached  ⏳ under way  ❔ telemetry missing

Examples:
  waybill where 7F3K-9QZD-XM42
  waybill where 'aff07316-eb47-41a4-bda0-26daf260ad0b' --why
  waybill where 7f3k9qzdxm42 --watch
  waybill where http://127.0.0.1:16686/trace/aff07316eb4741a4bda026daf260ad0b
  waybill where WB-7F3K-9QZD-XM42 --jaeger https://jaeger.example/base --token-file token
  waybill where 7F3K-9QZD-XM42 --jaeger https://jaeger.internal --ca-file our-authority.pem
  grep ERROR service.log | waybill where - --json | jq -r .sentence

Exit status: 0 arrived, or refunded   1 stopped   2 wrong usage, or an id that means several orders   3 not found, or a cart
that was never ordered   4 the trace store cannot be asked   5 under way   6 undecided. Of several ids the first of 4, 1, 6,
5, 2, 3, 0 that was met.")]
pub(crate) struct Args {
    /// What is looked for; several are told one after the other
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// For programs: one JSON object on a line for each id (docs/where.schema.json)
    #[arg(long)]
    json: bool,
    /// Without colour and signs
    #[arg(long, conflicts_with = "json")]
    plain: bool,
    /// The evidence too, weighed
    #[arg(long)]
    why: bool,
    /// Follow an order that is under way, until it comes to rest
    #[arg(long)]
    watch: bool,
    /// How far back is searched; traces are found by their own id however old they are
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = humantime::parse_duration)]
    since: Duration,
    /// The route to hold it against [default: the order's, services/contracts/route.yaml]
    #[arg(long, value_name = "FILE")]
    route: Option<PathBuf>,
    /// Judge by traces alone: ask no service for its book
    #[arg(long)]
    no_witnesses: bool,
    #[command(flatten)]
    backend: BackendArgs,
}

// === impl Args ===

impl Args {
    /// Looks up, judges, tells.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let route = route(self.route.as_ref())?;
        let look = Look::of_stdout(self.plain);
        let ids = joined(self.ids.clone());
        if self.watch && (ids.len() > 1 || ids == ["-"]) {
            return Err(Usage("--watch follows one order: give one ID".into()).into());
        }
        runtime::run(async {
            let backend = Backend::connect(&self.backend).await?;
            let places = self.backend.places()?;
            let asker = Asker::new(&backend, &route, places, self.since, self.why, !self.no_witnesses);
            if self.watch {
                return watch::follow(&asker, &ids[0], |answer| self.tell(answer, look), self.json, look)
                    .await;
            }
            let mut worst = 0;
            for text in texts(&ids) {
                let answer = asker.ask(&text?).await?;
                self.tell(&answer, look)?;
                worst = worse(worst, answer.status());
            }
            Ok(ExitCode::from(worst))
        })
    }

    fn tell(&self, answer: &Answer<'_>, look: Look) -> io::Result<()> {
        if self.json {
            return term::say(&answer.json().to_string());
        }
        match answer {
            Answer::Verdict(told) => {
                for line in card::lines(&told.told(), look, self.why) {
                    term::say(&line)?;
                }
            }
            other => {
                for line in other.words().lines() {
                    term::say(line)?;
                }
            }
        }
        if self.ids.len() > 1 || self.ids == ["-"] { term::say("") } else { Ok(()) }
    }
}

/// The route of `file`, else the order's.
///
/// # Errors
/// A file that cannot be read or is no route: status 2, with its line and column.
fn route(file: Option<&PathBuf>) -> anyhow::Result<Route> {
    let Some(file) = file else {
        return Ok(Route::parse(contracts::ROUTE)?);
    };
    let text =
        std::fs::read_to_string(file).map_err(|e| Usage(format!("--route {}: {e}", file.display())))?;
    Ok(Route::parse(&text).map_err(|e| Usage(format!("--route {}: {e}", file.display())))?)
}

/// `where 7f3k 9qzd xm42` is one id, in the groups in which it was read out.
fn joined(ids: Vec<String>) -> Vec<String> {
    let groups = ids.len() > 1 && ids.iter().all(|id| id.len() <= 4);
    let whole = ids.join(" ");
    let code =
        ids::readings(&whole).ok().filter(|r| matches!(r[0].form, ids::Form::Code | ids::Form::Payment));
    if groups && code.is_some() { vec![whole] } else { ids }
}

/// What was given, with the lines of stdin in the place of `-`; each is read when its turn comes.
fn texts(ids: &[String]) -> impl Iterator<Item = anyhow::Result<String>> {
    ids.iter().flat_map(|id| -> Box<dyn Iterator<Item = anyhow::Result<String>>> {
        if id != "-" {
            return Box::new(std::iter::once(Ok(id.clone())));
        }
        let lines = io::stdin().lock().lines().map(|line| line.context("reading stdin"));
        Box::new(lines.filter(|line| !line.as_ref().is_ok_and(|l| l.trim().is_empty())))
    })
}

/// The status that matters more.
fn worse(a: u8, b: u8) -> u8 {
    let order = [UNREACHABLE, 1, 6, 5, USAGE, 3, 0];
    order.into_iter().find(|s| *s == a || *s == b).unwrap_or(a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_in_groups_is_one_id_and_several_ids_are_several() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(joined(words("7f3k 9qzd xm42")), ["7f3k 9qzd xm42"]);
        assert_eq!(joined(words("7F3K-9QZD-XM42 7F3K-9QZD-XM43")).len(), 2);
        assert_eq!(joined(words("7f3k")), ["7f3k"]);
    }

    #[test]
    fn of_two_statuses_the_one_that_needs_someone_counts() {
        assert_eq!(worse(0, 5), 5);
        assert_eq!(worse(5, 1), 1);
        assert_eq!(worse(3, 0), 3);
        assert_eq!(worse(6, 5), 6);
    }
}

//! `waybill lost`: what stopped, how much money hangs on it, and whether the books agree.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use chassis::bus::DeadLetterBox;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use journey::Route;

use super::report::ReportArgs;
use crate::{
    ask::{AskError, Backend, Books, NatsArgs, Window},
    failure::{FAILED, Usage},
    lost::{self, Survey, Sweep, Wanted},
    runtime, term,
};

/// Between two sweeps of `--watch`.
const PAUSE: Duration = Duration::from_secs(5);

/// Say which orders stopped, where and why, how much was paid for them, and whether the books agree
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every order of the time is judged, as `waybill where` judges one: by its spans, and, where they do not decide, by the books of
the services. Orders that stopped are grouped by stop point and cause, the largest sum first. Then the money: paid =
delivered + refunded + under way + stopped, by the traces and by the books, and every order on which the two differ.
An order that the books know and no trace tells of is not lost: the books say where it stands.
Messages that were set aside after their last attempt are named with the step, the tries, the last error and the trace: of
the services' inboxes and, where --nats or NATS_URL says where, of the dead-letter stream, each once.

Examples:
  waybill lost                                   the last hour, of the fleet that runs here
  waybill lost --since 15m --step delivery-assignment
  waybill lost --since 1d --json | jq '.stopped[] | {step, cause, count, owed}'
  waybill lost --watch                           again and again
  waybill lost --jaeger https://jaeger.example --endpoints data/endpoints.json
  waybill lost --nats nats://127.0.0.1:4222      messages that NATS keeps as dead letters, too
  waybill lost --since 2h --until 1h --no-books  the hour before the last, by traces alone

Exit status: 0 nothing stopped   1 something did   2 wrong usage   4 the trace store cannot be asked")]
pub(crate) struct Args {
    /// Orders that began at most this long ago
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
    since: Duration,
    /// Orders that began at least this long ago [default: up to now]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    until: Option<Duration>,
    /// Tell only of orders that stopped at this step of the route
    #[arg(long, value_name = "STEP")]
    step: Option<String>,
    /// Most orders that are named of each group, and most differences
    #[arg(long, value_name = "N", default_value_t = 5)]
    limit: usize,
    /// Look again every five seconds, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Judge by traces alone: ask no service for its book, and NATS for no dead letters
    #[arg(long, conflicts_with = "nats")]
    no_books: bool,
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    nats: NatsArgs,
}

/// What is asked, in every sweep.
struct Sources {
    backend: Backend,
    route: Route,
    /// None with `--no-books`.
    books: Option<Books>,
    /// None where nobody said where NATS is.
    dead_letters: Option<DeadLetterBox>,
}

// === impl Args ===

impl Args {
    /// Sweeps, tells.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let route = Route::parse(contracts::ROUTE)?;
        self.check(&route)?;
        let dead_letters = if self.no_books { None } else { self.nats.dead_letters()? };
        runtime::run(async {
            let (backend, books) = self.report.sources().await?;
            let books = (!self.no_books).then_some(books);
            let sources = Sources { backend, route, books, dead_letters };
            if self.watch { self.again_and_again(&sources).await } else { self.once(&sources).await }
        })
    }

    fn check(&self, route: &Route) -> anyhow::Result<()> {
        if let Some(step) = &self.step
            && route.step(step).is_none()
        {
            let known: Vec<_> = route.steps.iter().map(journey::Step::name).collect();
            return Err(
                Usage(format!("--step {step:?}: no step is called so; one of {}", known.join(", "))).into()
            );
        }
        if self.until.is_some_and(|until| until >= self.since) {
            return Err(Usage(
                "--until must be shorter ago than --since, such as --since 2h --until 1h".into(),
            )
            .into());
        }
        Ok(())
    }

    async fn once(&self, sources: &Sources) -> anyhow::Result<ExitCode> {
        let survey = self.sweep(sources).await?;
        for line in self.lines(&survey, &sources.backend) {
            term::say(&line)?;
        }
        Ok(ExitCode::from(if survey.lost() > 0 { FAILED } else { 0 }))
    }

    async fn again_and_again(&self, sources: &Sources) -> anyhow::Result<ExitCode> {
        let screen = (io::stdout().is_terminal() && !self.report.json)
            .then(|| ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout()));
        if let Some(screen) = &screen {
            screen.set_style(ProgressStyle::with_template("{msg}")?);
        }
        let mut stop = std::pin::pin!(tokio::signal::ctrl_c());
        let mut lost = 0;
        loop {
            let survey = tokio::select! {
                survey = self.sweep(sources) => survey?,
                _ = &mut stop => break,
            };
            lost = survey.lost();
            let lines = self.lines(&survey, &sources.backend);
            match &screen {
                Some(screen) => screen.set_message(lines.join("\n")),
                None => lines.iter().try_for_each(|line| term::say(line))?,
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                _ = &mut stop => break,
            }
        }
        if let Some(screen) = screen {
            screen.abandon();
        }
        Ok(ExitCode::from(if lost > 0 { FAILED } else { 0 }))
    }

    async fn sweep(&self, sources: &Sources) -> Result<Survey, AskError> {
        let mut window = Window::last(self.since);
        if let Some(until) = self.until {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let end = now.saturating_sub(until).as_nanos();
            window.end_ns = u64::try_from(end).unwrap_or(u64::MAX);
        }
        let progress = ProgressBar::new_spinner();
        if self.watch {
            progress.set_draw_target(ProgressDrawTarget::hidden());
        }
        progress.enable_steady_tick(Duration::from_millis(120));
        let wanted = Wanted { step: self.step.clone(), limit: self.limit };
        let Sources { backend, route, books, dead_letters } = sources;
        let (books, dead_letters) = (books.as_ref(), dead_letters.as_ref());
        Sweep { backend, route, books, dead_letters, window, wanted, progress }.run().await
    }

    fn lines(&self, survey: &Survey, backend: &Backend) -> Vec<String> {
        if self.report.json {
            return vec![lost::json(survey, backend).to_string()];
        }
        lost::lines(survey, backend, self.report.look())
    }
}

//! `--watch`: an order followed until it comes to rest. A terminal shows one card that changes; anything else gets a line
//! for each change.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use journey::{Outcome, State};

use super::asker::{Answer, Asker, Judged};
use crate::{
    render::{Look, card, json},
    term,
};

/// Between two questions.
const PAUSE: Duration = Duration::from_secs(1);
/// Spans of an order that was placed a moment ago may not be in the store yet.
const PATIENCE: Duration = Duration::from_secs(10);

/// Follows what `text` names; `tell` tells the end of it.
pub(super) async fn follow<'a>(
    asker: &Asker<'a>,
    text: &str,
    tell: impl Fn(&Answer<'a>) -> io::Result<()>,
    programs: bool,
    look: Look,
) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let mut screen = Screen::new(programs, look)?;
    let mut answer = asker.ask(text).await?;
    loop {
        answer = match answer {
            Answer::Verdict(judged) if judged.verdict.outcome == Outcome::UnderWay => {
                screen.show(&judged)?;
                tokio::time::sleep(PAUSE).await;
                Answer::Verdict(Box::new(asker.again(*judged).await?))
            }
            Answer::NotFound { .. } if begun.elapsed() < PATIENCE => {
                tokio::time::sleep(PAUSE).await;
                asker.ask(text).await?
            }
            end => {
                screen.clear();
                tell(&end)?;
                return Ok(ExitCode::from(end.status()));
            }
        };
    }
}

struct Screen {
    /// Draws anew on a terminal.
    card: Option<ProgressBar>,
    programs: bool,
    look: Look,
    last: Vec<State>,
}

// === impl Screen ===

impl Screen {
    fn new(programs: bool, look: Look) -> anyhow::Result<Self> {
        let card = (io::stdout().is_terminal() && !programs)
            .then(|| -> anyhow::Result<_> {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
                bar.set_style(ProgressStyle::with_template("{msg}")?);
                Ok(bar)
            })
            .transpose()?;
        Ok(Self { card, programs, look, last: Vec::new() })
    }

    fn show(&mut self, judged: &Judged<'_>) -> io::Result<()> {
        let told = judged.told();
        if let Some(card) = &self.card {
            card.set_message(card::lines(&told, self.look, false).join("\n"));
            return Ok(());
        }
        let way = judged.verdict.alternative.iter().flat_map(|w| &w.stamps);
        let states: Vec<_> = judged.verdict.stamps.iter().chain(way).map(|s| s.state).collect();
        if states == self.last {
            return Ok(());
        }
        self.last = states;
        if self.programs {
            term::say(&json::verdict(&told).to_string())
        } else {
            term::say(&card::line(&told, self.look))
        }
    }

    fn clear(&self) {
        if let Some(card) = &self.card {
            card.finish_and_clear();
        }
    }
}

//! Messages that were set aside after their last attempt: what the services' inboxes say, and what the dead-letter stream of
//! NATS holds. A message that both know is one message.

use std::collections::HashMap;

use chassis::{
    Settings,
    book::{Letter, LetterState},
    bus::{DeadLetter, DeadLetterBox},
};

use super::{AskError, Records, Window, books::step_of};
use crate::runtime;

/// Most dead letters that are read of NATS, the newest.
const MOST: usize = 10_000;
/// Clocks of two machines differ: so much earlier is read.
const CLOCKS_MS: i64 = 60_000;
/// What names the server.
const URL: &str = "NATS_URL";

/// Where the dead-letter stream is.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct NatsArgs {
    /// NATS server of the services, whose dead letters are read, such as nats://host:4222; with a password rather by
    /// environment [default: what NATS_URL, NATS_URL_FILE and NATS_CREDS say, as the services have it]
    #[arg(long, value_name = "URL")]
    nats: Option<String>,
}

/// A message that nobody works on any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SetAside {
    /// Public order id; empty where the message names none.
    pub(crate) order: String,
    /// Whom it was for.
    pub(crate) service: String,
    /// The step of the route that it would have begun; none where no step waits for it.
    pub(crate) step: Option<&'static str>,
    /// Such as `order.accepted`.
    pub(crate) event_type: String,
    /// Who sent it.
    pub(crate) from: String,
    /// How often it was tried.
    pub(crate) attempts: u64,
    /// What the last attempt failed of.
    pub(crate) error: String,
    /// When it was set aside, Unix milliseconds; none where only the inbox tells.
    pub(crate) at_ms: Option<i64>,
    /// The order's trace.
    pub(crate) trace: Option<String>,
    /// The service's inbox tells of it.
    pub(crate) in_inbox: bool,
    /// NATS does.
    pub(crate) in_nats: bool,
}

/// The dead letters of NATS, as they were when a sweep began.
#[derive(Debug, Default)]
pub(crate) struct NatsLetters {
    by_order: HashMap<String, Vec<DeadLetter>>,
    /// How many more there are than are read.
    pub(crate) unread: u64,
    /// Why none could be read.
    pub(crate) trouble: Option<String>,
}

// === impl NatsArgs ===

impl NatsArgs {
    /// Where to read, if anybody said.
    ///
    /// # Errors
    /// A URL or a file that cannot be used.
    pub(crate) fn dead_letters(&self) -> Result<Option<DeadLetterBox>, AskError> {
        let mut variables = runtime::variables();
        if let Some(url) = &self.nats {
            variables.retain(|(name, _)| !name.starts_with(URL));
            variables.push((URL.to_owned(), url.clone()));
        }
        let settings = Settings::from_pairs(variables);
        let found = DeadLetterBox::from_settings(&settings);
        let by = if self.nats.is_some() { "--nats: " } else { "" };
        settings.check().map_err(|e| AskError::Settings(format!("{by}{e}")))?;
        Ok(found)
    }
}

// === impl NatsLetters ===

impl NatsLetters {
    /// What was given up since `window` began. A server that cannot be read is no failure of the one who asks.
    pub(crate) async fn read(from: Option<&DeadLetterBox>, window: Window) -> Self {
        let Some(from) = from else { return Self::default() };
        let since = i64::try_from(window.start_ns / 1_000_000).unwrap_or(i64::MAX);
        match from.read(since.saturating_sub(CLOCKS_MS), MOST).await {
            Ok(read) => Self { unread: read.unread, ..Self::of(read.letters) },
            Err(e) => Self { trouble: Some(e.to_string()), ..Self::default() },
        }
    }

    fn of(letters: Vec<DeadLetter>) -> Self {
        let mut this = Self::default();
        for letter in letters {
            this.by_order.entry(letter.order_id.clone()).or_default().push(letter);
        }
        this
    }

    /// Orders of which a message that was made within `window` was set aside.
    pub(crate) fn orders(&self, window: Window) -> Vec<String> {
        let ms = |ns: u64| i64::try_from(ns / 1_000_000).unwrap_or(i64::MAX);
        let within = ms(window.start_ns)..=ms(window.end_ns);
        let made = |l: &DeadLetter| l.created_ms.is_some_and(|at| within.contains(&at));
        let named = self.by_order.iter().filter(|(id, letters)| !id.is_empty() && letters.iter().any(made));
        named.map(|(id, _)| id.clone()).collect()
    }

    /// Whether one is of `order`.
    pub(crate) fn tell_of(&self, order: &str) -> bool {
        self.by_order.contains_key(order)
    }

    /// Adds to `records` what only NATS tells of `order`, and gives all of its messages that were set aside.
    pub(crate) fn complete(&self, order: &str, records: &mut Records) -> Vec<SetAside> {
        let dead = |(_, letter): &&(String, Letter)| letter.state == LetterState::Dead;
        let inbox = records.letters.iter().filter(dead);
        let mut all: Vec<_> = inbox.map(|(service, letter)| SetAside::of_inbox(service, letter)).collect();
        for letter in self.by_order.get(order).into_iter().flatten() {
            let same = |s: &&mut SetAside| {
                !s.in_nats
                    && (&s.service, &s.event_type, &s.from) == key(letter)
                    && s.order == letter.order_id
            };
            if let Some(known) = all.iter_mut().find(same) {
                known.in_nats = true;
                known.at_ms = letter.failed_ms;
                known.trace.clone_from(&letter.trace_id);
            } else {
                all.push(SetAside::of_nats(letter));
                records.letters.push((letter.service.clone(), as_in_inbox(letter)));
            }
        }
        all
    }

    /// Those of orders for which `named` does not hold: of orders that began before, or that no message names.
    pub(crate) fn others(&self, named: impl Fn(&str) -> bool) -> Vec<SetAside> {
        let others = self.by_order.iter().filter(|(id, _)| !named(id));
        others.flat_map(|(_, letters)| letters).map(SetAside::of_nats).collect()
    }
}

// === impl SetAside ===

impl SetAside {
    fn of_inbox(service: &str, letter: &Letter) -> Self {
        Self {
            order: letter.order_id.clone(),
            service: service.to_owned(),
            step: step_of(service, &letter.event_type),
            event_type: letter.event_type.clone(),
            from: letter.peer.clone(),
            attempts: u64::try_from(letter.attempts).unwrap_or_default(),
            error: letter.reason.clone(),
            at_ms: None,
            trace: None,
            in_inbox: true,
            in_nats: false,
        }
    }

    fn of_nats(letter: &DeadLetter) -> Self {
        Self {
            order: letter.order_id.clone(),
            service: letter.service.clone(),
            step: step_of(&letter.service, &letter.event_type),
            event_type: letter.event_type.clone(),
            from: letter.source.clone(),
            attempts: letter.attempts.into(),
            error: letter.error.clone(),
            at_ms: letter.failed_ms,
            trace: letter.trace_id.clone(),
            in_inbox: false,
            in_nats: true,
        }
    }
}

fn key(letter: &DeadLetter) -> (&String, &String, &String) {
    (&letter.service, &letter.event_type, &letter.source)
}

fn as_in_inbox(letter: &DeadLetter) -> Letter {
    Letter {
        order_id: letter.order_id.clone(),
        event_type: letter.event_type.clone(),
        state: LetterState::Dead,
        peer: letter.source.clone(),
        attempts: letter.attempts.into(),
        reason: letter.error.clone(),
        since_ms: letter.created_ms.or(letter.failed_ms).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(order: &str, event_type: &str, created_ms: i64) -> DeadLetter {
        DeadLetter {
            service: "delivery-assignment".into(),
            event_type: event_type.into(),
            event_id: "e".into(),
            source: "restaurant-orders".into(),
            order_id: order.into(),
            error: "never".into(),
            attempts: 3,
            created_ms: Some(created_ms),
            failed_ms: Some(created_ms + 5),
            trace_id: Some("a".repeat(32)),
        }
    }

    #[test]
    fn a_message_that_inbox_and_nats_know_is_told_once() {
        let nats =
            NatsLetters::of(vec![letter("o", "order.accepted", 1), letter("o", "order.unheard_of", 2)]);
        let known = ("delivery-assignment".to_owned(), as_in_inbox(&letter("o", "order.accepted", 1)));
        let mut records = Records { letters: vec![known], ..Records::default() };
        let all = nats.complete("o", &mut records);
        let told: Vec<_> = all.iter().map(|s| (s.event_type.as_str(), s.in_inbox, s.in_nats)).collect();
        assert_eq!(told, [("order.accepted", true, true), ("order.unheard_of", false, true)]);
        assert_eq!(records.letters.len(), 2, "what only NATS knows is added, once");
        assert_eq!((all[0].step, all[1].step), (Some("delivery-assignment"), None));
        assert_eq!(all[0].trace.as_deref(), Some("a".repeat(32).as_str()));
    }

    #[test]
    fn an_order_belongs_to_the_time_in_which_its_message_was_made() {
        let nats = NatsLetters::of(vec![letter("old", "x", 10), letter("new", "x", 30), letter("", "x", 30)]);
        let window = Window { start_ns: 20_000_000, end_ns: 40_000_000 };
        assert_eq!(nats.orders(window), ["new"]);
        let mut others: Vec<_> = nats.others(|id| id == "new").into_iter().map(|s| s.order).collect();
        others.sort();
        assert_eq!(others, ["", "old"]);
    }

    #[test]
    fn a_url_that_is_none_of_nats_is_refused_by_name() {
        let args = NatsArgs { nats: Some("http://h:4222".into()) };
        let told = args.dead_letters().unwrap_err().to_string();
        assert!(told.contains("--nats") && told.contains("nats://"), "{told}");
    }
}

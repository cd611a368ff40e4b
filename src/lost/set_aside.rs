//! The messages that were set aside, as a survey tells of them: the newest by name, the rest counted.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{order::Order, survey::Wanted};
use crate::{
    ask::{Backend, NatsLetters, SetAside, Window},
    render::{Look, clean, clock, rfc3339},
};

/// Longest error of a line, in characters.
const WORDS: usize = 160;

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    /// The newest first.
    pub(super) named: Vec<SetAside>,
    pub(super) total: usize,
    /// Dead letters of NATS that were too many to be read.
    pub(super) unread: u64,
    /// Why NATS could not be asked.
    pub(super) trouble: Option<String>,
}

// === impl Messages ===

impl Messages {
    /// Those of the orders that were judged, and those that were set aside within `window`.
    pub(super) fn of(
        mut all: Vec<SetAside>,
        dead: NatsLetters,
        orders: &HashMap<Box<str>, Order>,
        wanted: &Wanted,
        window: Window,
    ) -> Self {
        let end_ms = i64::try_from(window.end_ns / 1_000_000).unwrap_or(i64::MAX);
        let judged = |s: &SetAside| orders.get(s.order.as_str());
        all.retain(|s| judged(s).is_some() || s.at_ms.is_none_or(|at| at <= end_ms));
        all.retain(|s| wanted.step.as_deref().is_none_or(|step| s.step == Some(step)));
        all.sort_by(|a, b| (b.at_ms, &a.order).cmp(&(a.at_ms, &b.order)));
        let total = all.len();
        all.truncate(wanted.limit);
        for message in &mut all {
            let trace = judged(message).and_then(Order::trace_id);
            message.trace = message.trace.take().or(trace);
        }
        Self { named: all, total, unread: dead.unread, trouble: dead.trouble }
    }

    /// Nothing, where nothing was set aside and nobody failed to answer.
    pub(super) fn lines(&self, backend: &Backend, look: Look) -> Vec<String> {
        let mut lines = Vec::new();
        if self.total > 0 {
            let noun = if self.total == 1 { "message was" } else { "messages were" };
            lines.push(look.bold(&format!("{} {noun} set aside after the last attempt:", self.total)));
            lines.extend(self.named.iter().map(|m| format!("   {}", line(m, backend))));
            if self.total > self.named.len() {
                lines.push(look.dim(&format!("   … and {} more (--limit)", self.total - self.named.len())));
            }
        }
        if self.unread > 0 {
            lines.push(format!(
                "{} further dead letters of NATS were not read: give a shorter --since",
                self.unread
            ));
        }
        if let Some(trouble) = &self.trouble {
            lines.push(format!(
                "{}: dead letters that it alone holds are not in this report (--nats, NATS_URL)",
                clean(trouble)
            ));
        }
        lines
    }

    /// The keys of docs/lost.md.
    pub(super) fn json(&self, backend: &Backend) -> Value {
        json!({
            "messages": self.named.iter().map(|m| object(m, backend)).collect::<Vec<_>>(),
            "total": self.total,
            "unread": self.unread,
            "nats_error": self.trouble,
        })
    }
}

fn line(message: &SetAside, backend: &Backend) -> String {
    let order = if message.order.is_empty() { "(names no order)" } else { &message.order };
    let place = match message.step {
        Some(step) if step != message.service => format!("{} for {step}", message.service),
        _ => message.service.clone(),
    };
    let event = if message.event_type.is_empty() { "a message" } else { &message.event_type };
    let tries = if message.attempts == 1 { "once" } else { &format!("{} times", message.attempts) };
    let at = message.at_ms.and_then(ns).map(|at| format!(" until {}", clock(at))).unwrap_or_default();
    let error: String = message.error.chars().take(WORDS).collect();
    let told = format!("{order}  {event} at {place}, tried {tries}{at}: {error}");
    let link = message.trace.as_ref().map_or_else(|| "no trace of it".to_owned(), |id| backend.link(id));
    format!("{}  {link}", clean(&told))
}

fn object(message: &SetAside, backend: &Backend) -> Value {
    let known = [(message.in_inbox, "inbox"), (message.in_nats, "nats")];
    json!({
        "order": message.order,
        "step": message.step,
        "service": message.service,
        "event_type": message.event_type,
        "from": message.from,
        "attempts": message.attempts,
        "error": message.error,
        "set_aside_at": message.at_ms.and_then(ns).map(rfc3339),
        "trace": message.trace,
        "link": message.trace.as_ref().map(|id| backend.link(id)),
        "known_from": known.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect::<Vec<_>>(),
    })
}

fn ns(ms: i64) -> Option<u64> {
    u64::try_from(ms).ok()?.checked_mul(1_000_000)
}

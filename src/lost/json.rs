//! A survey for programs. docs/lost.md names the keys; one that goes or changes its meaning makes a new version.

use serde_json::{Value, json};

use super::survey::{Example, Group, Survey};
use crate::{ask::Backend, render::rfc3339};

/// Version of the form.
const VERSION: u32 = 1;

/// The survey as one object.
pub(crate) fn json(survey: &Survey, backend: &Backend) -> Value {
    let groups = |groups: &[Group]| groups.iter().map(|g| group(g, backend)).collect::<Vec<_>>();
    let sum = |amount: &Option<(i64, String)>| {
        amount.as_ref().map(|(minor, currency)| json!({"amount_minor": minor, "currency": currency}))
    };
    let differences: Vec<_> = survey
        .differences
        .iter()
        .map(|d| {
            json!({
                "order": d.order,
                "traces": {"standing": d.traces, "amount": sum(&d.amount)},
                "books": {"standing": d.books, "amount": sum(&d.booked)},
                "link": d.trace.as_ref().map(|id| backend.link(id)),
            })
        })
        .collect();
    json!({
        "version": VERSION,
        "asked_at": rfc3339(survey.asked_ns),
        "since": rfc3339(survey.window.start_ns),
        "until": rfc3339(survey.window.end_ns.min(survey.asked_ns)),
        "orders": survey.orders,
        "outcomes": survey.outcomes.iter().map(|(outcome, n)| (word(outcome), json!(n))).collect::<serde_json::Map<_, _>>(),
        "lost": survey.lost(),
        "stopped": groups(&survey.stopped),
        "undecided": groups(&survey.undecided),
        "set_aside": survey.set_aside.json(backend),
        "reconciliation": {
            "traces": survey.traces,
            "books": survey.books,
            "differences": differences,
            "differences_total": survey.differences_total,
        },
        "untraced": survey.untraced,
        "silent_books": survey.silent,
    })
}

fn group(group: &Group, backend: &Backend) -> Value {
    json!({
        "step": group.step,
        "phase": group.phase,
        "cause": group.cause,
        "words": group.words,
        "count": group.count,
        "owed": group.owed.0,
        "examples": group.examples.iter().map(|e| example(e, backend)).collect::<Vec<_>>(),
    })
}

fn example(example: &Example, backend: &Backend) -> Value {
    json!({
        "order": example.order,
        "amount": example.amount.as_ref().map(|(minor, currency)| json!({"amount_minor": minor, "currency": currency})),
        "trace": example.trace,
        "link": example.trace.as_ref().map(|id| backend.link(id)),
    })
}

/// `under_way`, as in `waybill where --json`.
fn word(outcome: &journey::Outcome) -> String {
    serde_json::to_value(outcome).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

//! Parents that no span bears, in traces that have come to rest.

use super::{Chart, Notes, Symptom, Tree};
use crate::{Kind, Span};

/// Notes what `tree` shows, at the service that owes the parent.
pub(super) fn examine(tree: &Tree<'_>, chart: &Chart<'_>, notes: &mut Notes) {
    for span in &tree.trace.spans {
        if span.parent.is_none() || tree.parent(span).is_some() {
            continue;
        }
        let (owing, says) = owing(span, chart);
        let detail = format!("the parent of {} {:?} is missing{says}", span.service, span.name);
        notes.add(Symptom::ParentMissing, owing, detail, Some(&tree.trace.id));
    }
}

/// Whose span the parent would be. A call or a message is made within the same service; what is taken was sent by another.
fn owing<'a>(span: &'a Span, chart: &Chart<'a>) -> (&'a str, &'static str) {
    let receipt = || chart.steps_of(span).any(|s| s.begun.iter().any(|m| m.fits(span)));
    let taken = match span.kind {
        Kind::Server | Kind::Consumer => true,
        Kind::Internal => receipt(),
        Kind::Client | Kind::Producer => false,
    };
    match (taken, chart.senders(span).as_slice()) {
        (true, [sender]) => (sender, ""),
        (true, _) => (&span.service, ": its sender's"),
        (false, _) => (&span.service, ""),
    }
}

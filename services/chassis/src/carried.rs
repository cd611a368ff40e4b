//! What travels with an order beyond one request: its trace and its baggage, as one text to be stored beside its state.

use std::collections::BTreeMap;

use contracts::keys;
use serde::{Deserialize, Serialize};
use telemetry::context::{self, Scope, StoredContext};

/// The context of an order, to be kept in a column and taken up again after a pause or a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    #[serde(default)]
    traceparent: String,
    #[serde(default)]
    tracestate: String,
    #[serde(default)]
    baggage: BTreeMap<String, String>,
}

// === impl Carried ===

impl Carried {
    /// The running span, and the baggage that belongs to the order.
    pub fn now(order_id: &str) -> Self {
        let stored = context::store();
        Self { traceparent: stored.traceparent, tracestate: stored.tracestate, baggage: baggage(order_id) }
    }

    /// As stored; what cannot be read is an empty context.
    pub fn from_text(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// To be stored.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The stored span itself, for links.
    pub fn span(&self) -> StoredContext {
        StoredContext { traceparent: self.traceparent.clone(), tracestate: self.tracestate.clone() }
    }

    /// A scope under the stored span, with the stored baggage: `carried.scope().run(work)`.
    pub fn scope(&self) -> Scope {
        scope(&self.baggage).with_parent(&self.span())
    }
}

/// The running baggage that may travel, with the order's id.
pub(crate) fn baggage(order_id: &str) -> BTreeMap<String, String> {
    let kept = keys::BAGGAGE.iter().filter_map(|key| Some(((*key).to_owned(), context::baggage(key)?)));
    kept.chain([(keys::ORDER_ID.to_owned(), order_id.to_owned())]).collect()
}

/// A scope with this baggage and no span.
pub(crate) fn scope(baggage: &BTreeMap<String, String>) -> Scope {
    baggage.iter().fold(context::root(), |scope, (k, v)| scope.with_baggage(k, v))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_survives_its_column() {
        let carried = Carried {
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
            tracestate: "a=1".into(),
            baggage: [("order.id".to_owned(), "o-1".to_owned())].into(),
        };
        let back = Carried::from_text(&carried.to_text());
        assert_eq!(back, carried);
        assert_eq!(back.scope().traceparent(), Some(carried.traceparent));
        assert_eq!(Carried::from_text("nonsense"), Carried::default());
    }
}

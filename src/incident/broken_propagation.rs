//! A trace that is torn in two.

use super::{
    Incident,
    proxy::{Carries, Change, Line},
    stage::{Draw, Holes, Stage},
};

/// See [`Incident::tells`].
pub(super) struct BrokenPropagation;

impl Incident for BrokenPropagation {
    fn name(&self) -> &'static str {
        "broken-propagation"
    }

    fn tells(&self) -> &'static str {
        "One service drops the trace context, or it is stripped from its messages: an order falls into several traces."
    }

    fn resilient(&self) -> bool {
        false
    }

    fn stage(&self, draw: &mut Draw) -> anyhow::Result<Stage> {
        let stage = Stage { holes: Holes::All, ..Stage::bad_night(draw) };
        let deaf =
            ["payment-gateway", "restaurant-orders", "delivery-assignment", "tracking", "notification"];
        let part = draw.one(&deaf);
        if draw.one(&[true, false]) {
            return Ok(stage.set(part, "OTEL_PROPAGATORS", "none"));
        }
        let wire = WIRES[draw.one(&[0, 1])].clone();
        Ok(Stage { wires: vec![wire], ..stage })
    }
}

/// Everything that carries a context on a message.
const HEADERS: &[&str] = &["traceparent", "tracestate", "baggage", "ce-traceparent", "ce-tracestate"];

const WIRES: [Line; 2] = [
    strip(
        "restaurant-orders → delivery-assignment",
        "restaurant-orders",
        "DELIVERY_ASSIGNMENT_URL",
        "delivery-assignment",
    ),
    strip("tracking → notification", "tracking", "NOTIFICATION_URL", "notification"),
];

const fn strip(name: &'static str, from: &'static str, key: &'static str, to: &'static str) -> Line {
    Line { name, from, key, to, carries: Carries::Requests(Change::Strip(HEADERS)) }
}

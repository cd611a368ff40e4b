//! A service of which little is heard, and which does its work.

use super::{
    Incident,
    stage::{Draw, Holes, Stage},
};

/// See [`Incident::tells`].
pub(super) struct DroppingExporter;

impl Incident for DroppingExporter {
    fn name(&self) -> &'static str {
        "dropping-exporter"
    }

    fn tells(&self) -> &'static str {
        "The exporter of one service drops most of its spans, or all; some orders are lost, too."
    }

    fn resilient(&self) -> bool {
        false
    }

    fn stage(&self, draw: &mut Draw) -> anyhow::Result<Stage> {
        let stage = Stage { holes: Holes::All, ..Stage::bad_night(draw) };
        let parts =
            ["payment-gateway", "restaurant-orders", "delivery-assignment", "tracking", "notification"];
        let part = draw.one(&parts);
        if draw.one(&[true, false]) {
            // Nobody listens on the discard port.
            let nowhere = "http://127.0.0.1:9/v1/traces";
            return Ok(stage.set(part, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", nowhere));
        }
        let stage =
            stage.set(part, "OTEL_BSP_MAX_QUEUE_SIZE", "4").set(part, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4");
        Ok(stage.set(part, "OTEL_BSP_SCHEDULE_DELAY", "2000"))
    }
}

//! A collector that keeps every trace that is not wholly good, and one in ten of the others.

use std::time::Duration;

use super::{
    Incident,
    stage::{Draw, Holes, Stage},
};

/// See [`Incident::tells`].
pub(super) struct TailSampling;

/// The design's sampling, as it is shipped.
const CONFIG: &str = include_str!("../../collector-sampling.yaml");

impl Incident for TailSampling {
    fn name(&self) -> &'static str {
        "tail-sampling"
    }

    fn tells(&self) -> &'static str {
        "The collector keeps one in ten of the traces in which all went well, and every other; some orders are lost."
    }

    fn resilient(&self) -> bool {
        false
    }

    fn stage(&self, draw: &mut Draw) -> anyhow::Result<Stage> {
        let mut stage = Stage::bad_night(draw);
        stage.collector = Some(CONFIG);
        stage.holes = Holes::All;
        stage.held_back = Duration::from_secs(60);
        // As the file has them: sixty seconds, and forty-five.
        stage.paced = vec![
            ("collector", "WAYBILL_SAMPLING_DECISION_WAIT", 60),
            ("collector", "WAYBILL_SAMPLING_LATE_MS", 45),
        ];
        Ok(stage)
    }
}

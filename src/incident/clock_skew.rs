//! Spans that begin before their cause, or long after it.

use std::path::Path;

use anyhow::bail;

use super::{
    Incident,
    stage::{Draw, Holes, Stage},
};

/// See [`Incident::tells`].
pub(super) struct ClockSkew;

impl Incident for ClockSkew {
    fn name(&self) -> &'static str {
        "clock-skew"
    }

    fn tells(&self) -> &'static str {
        "The clock of one service is a minute and a half off; some orders are lost, too."
    }

    fn resilient(&self) -> bool {
        false
    }

    fn stage(&self, draw: &mut Draw) -> anyhow::Result<Stage> {
        let library = library()?;
        let parts =
            ["payment-gateway", "restaurant-orders", "delivery-assignment", "tracking", "notification"];
        let (part, by) = (draw.one(&parts), draw.one(&["+90s", "-90s"]));
        let stage = Stage { holes: Holes::All, ..Stage::bad_night(draw) };
        // The monotonic clock stays true: timers and deadlines are not what is wrong here.
        let stage = stage.set(part, "FAKETIME", by).set(part, "FAKETIME_DONT_FAKE_MONOTONIC", "1");
        Ok(stage.set(part, "LD_PRELOAD", library))
    }
}

/// Where distributions put the library that shifts a process's clock.
const PLACES: [&str; 6] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
    "/opt/homebrew/lib/faketime/libfaketimeMT.1.dylib",
];

fn library() -> anyhow::Result<String> {
    match PLACES.into_iter().find(|p| Path::new(p).exists()) {
        Some(place) => Ok(place.to_owned()),
        None => bail!("clock-skew needs libfaketime, which is not here: apt-get install libfaketime"),
    }
}

//! The road: couriers move as time passes, measured by a clock that nobody can set.

use std::time::Duration;

use contracts::message::Ride;
use telemetry::context;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::rides::Rides;

/// Moves all rides until `stop`. What was covered is on disk at every tick: after a restart a ride goes on from there, and
/// the time of the pause does not count.
pub(crate) async fn ride_on(rides: Rides, tick: Duration, stop: CancellationToken) {
    let mut ticks = interval(tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        let now = Instant::now();
        if !rides.ours().await {
            // Another process moves them; time counts for us from when we take over.
            last = now;
            continue;
        }
        match rides.advance(now - last).await {
            Ok(there) => {
                last = now;
                for at_the_door in there {
                    at_the_door.context.scope().run(hand_over(&rides, &at_the_door.ride)).await;
                }
            }
            // The time is not lost: it counts at the next tick that can be written down.
            Err(e) => tracing::warn!(error = %e, "cannot write down how far the rides are"),
        }
    }
}

#[tracing::instrument(name = "ride.deliver", skip_all)]
async fn hand_over(rides: &Rides, ride: &Ride) {
    if let Err(e) = rides.deliver(ride).await {
        context::fail("not_recorded", e.to_string());
        tracing::error!(error.type = "not_recorded", error = %e, "a delivery could not be written down; again at the next tick");
    }
}
